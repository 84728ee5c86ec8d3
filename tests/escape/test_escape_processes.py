"""Processes: a function sees and signals its own only, and none of them outlives what it may."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import machine
from harness.functions import Function
from harness.machine import eventually
from harness.probe import Probe, deploy_probe
from harness.squib import Squib


def pids() -> list[int]:
    import os

    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def running(marker: str) -> list[machine.Process]:
    """Processes of the host that carry the marker on their command line."""
    return [process for process in machine.all_processes() if marker in process.command]


def new_marker() -> str:
    """A number of seconds for sleep(1) that nobody else uses."""
    return str(uuid.uuid4().int % 10**12 + 10**12)


def detach(marker: str, count: int = 1) -> list[int]:
    """Leaves processes behind that belong to no one: double fork, own session."""
    import os
    import signal

    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                os.execv("/bin/sleep", ["sleep", marker])
            os._exit(0)
        os.wait()
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def test_it_sees_itself_and_its_init_only(probe: Probe) -> None:
    import os

    seen = probe.value(pids)
    assert seen[0] == 1
    assert len(seen) == 2

    def threads_of_init() -> list[str]:
        with open("/proc/1/cmdline", "rb") as file:
            return file.read().decode().split("\0")

    assert str(os.getpid()) not in probe.value(threads_of_init)


def test_ps_shows_nobody_else(probe: Probe) -> None:
    def ps() -> list[str]:
        import subprocess

        try:
            return subprocess.run(["ps", "-eo", "pid="], capture_output=True, text=True).stdout.split()
        except FileNotFoundError:
            return []

    assert len(probe.value(ps)) <= 3


@pytest.mark.parametrize("signal_number", [9, 15, 19, 0])
def test_its_init_cannot_be_signalled(probe: Probe, signal_number: int) -> None:
    def send(number: int) -> None:
        import os

        os.kill(1, number)

    assert probe.ask(send, signal_number).refused == "EPERM"
    assert probe.value(pids)[0] == 1


def test_signalling_everybody_reaches_nobody_else(squib: Squib, probe: Probe) -> None:
    def send() -> str:
        import os
        import signal

        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return "alive"

    before = {process.pid for process in [squib.launcher(), *squib.fork_servers()]}
    assert probe.ask(send).value == "alive" or probe.ask(send).refused == "EPERM"
    assert {process.pid for process in [squib.launcher(), *squib.fork_servers()]} == before

    def host_pids(numbers: list[int]) -> list[int]:
        import os

        reached = []
        for number in numbers:
            try:
                os.kill(number, 0)
                reached.append(number)
            except OSError:
                pass
        return reached

    assert probe.value(host_pids, [squib.process.pid, *before]) == []


def test_a_detached_process_is_frozen_between_invocations(squib: Squib) -> None:
    probe = deploy_probe(squib)

    def count() -> None:
        import os
        import time

        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                with open("/tmp/beats", "w") as file:
                    while True:
                        file.write(f"{time.monotonic()}\n")
                        file.flush()
                        time.sleep(0.002)
            os._exit(0)
        os.wait()
        time.sleep(0.2)

    def longest_gap() -> list[float]:
        import itertools
        import time

        time.sleep(0.2)
        with open("/tmp/beats") as file:
            beats = [float(line) for line in file.read().splitlines()]
        return [
            max(later - earlier for earlier, later in itertools.pairwise(beats)),
            beats[-1] - beats[0],
            len(beats),
        ]

    import threading

    probe.value(count)
    threading.Event().wait(1.5)  # the environment is idle for this long
    gap, span, beats = probe.value(longest_gap)
    assert beats > 20, "it runs while the function does"
    assert gap > 1.2, f"it ran while the environment was idle: {beats} beats in {span:.1f} s"
    probe.function.delete()


def test_detached_processes_end_with_a_timeout(squib: Squib) -> None:
    probe, marker = deploy_probe(squib, Timeout=1), new_marker()

    def stay(marker: str) -> None:
        import os
        import time

        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execv("/bin/sleep", ["sleep", marker])
            os._exit(0)
        time.sleep(60)

    assert probe.attempt(stay, marker).payload["errorType"] == "Sandbox.Timedout"
    assert len(probe.value(pids)) == 2
    assert running(marker) == []


def test_detached_processes_end_with_a_crash(squib: Squib) -> None:
    probe, marker = deploy_probe(squib), new_marker()

    def leave(marker: str) -> None:
        import os

        if os.fork() == 0:
            os.setsid()
            os.execv("/bin/sleep", ["sleep", marker])
        os._exit(1)

    assert probe.attempt(leave, marker).error == "Unhandled"
    assert len(probe.value(pids)) == 2
    assert running(marker) == []


def test_detached_processes_end_with_the_function(squib: Squib) -> None:
    probe, marker = deploy_probe(squib), new_marker()
    assert len(probe.value(detach, marker, 5)) == 7
    assert len(running(marker)) == 5
    probe.function.delete()
    eventually(lambda: not running(marker), what="the processes end")


def test_detached_processes_end_with_an_update(squib: Squib) -> None:
    probe, marker = deploy_probe(squib), new_marker()
    probe.value(detach, marker)
    assert running(marker)
    probe.function.configure(Description="new environments")
    eventually(lambda: not running(marker), what="the process ends")


def test_a_fork_bomb_ends_at_the_timeout(squib: Squib, bystander: Function) -> None:
    probe = deploy_probe(squib, Timeout=2, MemorySize=512)

    def bomb() -> None:
        import os

        while True:
            try:
                os.fork()
            except OSError:
                pass

    with ThreadPoolExecutor(1) as thread:
        bombing = thread.submit(probe.attempt, bomb)
        waits = []
        while not bombing.done():
            started = time.monotonic()
            assert bystander.invoke(1).value == 1
            waits.append(time.monotonic() - started)
        result = bombing.result()
    assert result.error == "Unhandled"
    assert result.payload["errorType"] in ("Sandbox.Timedout", "Runtime.OutOfMemory", "Runtime.ExitError")
    assert sorted(waits)[len(waits) // 2] < 1.0
    assert eventually(lambda: probe.attempt(pids).error is None, within_s=20, what="it works again")
    assert len(probe.value(pids)) == 2


@pytest.mark.parametrize("number", [19, 20, 9, 11])
def test_signalling_itself_fails_its_own_invocation_only(squib: Squib, number: int) -> None:
    probe = deploy_probe(squib, Timeout=1)

    def send(number: int) -> None:
        import os

        os.kill(os.getpid(), number)

    result = probe.attempt(send, number)
    if number != 20:  # without a terminal nothing stops by SIGTSTP
        assert result.error == "Unhandled"
    assert len(probe.value(pids)) == 2
    probe.function.delete()


def test_processes_and_threads_are_limited_to_1024(squib: Squib) -> None:
    probe = deploy_probe(squib, MemorySize=1024, Timeout=20)

    def fill() -> int:
        import threading

        threading.stack_size(65536)
        over = threading.Event()
        made: list[threading.Thread] = []
        try:
            while len(made) < 3000:
                thread = threading.Thread(target=over.wait)
                thread.start()
                made.append(thread)
        except RuntimeError:
            pass
        over.set()
        for thread in made:
            thread.join()
        return len(made)

    assert 900 <= probe.value(fill) <= 1024
    assert len(probe.value(pids)) == 2


def test_its_memory_is_not_readable_to_a_neighbour(probe: Probe, squib: Squib) -> None:
    def try_all() -> list[int]:
        reached = []
        for pid in range(2, 400):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if file.read():
                        reached.append(pid)
            except OSError:
                pass
        return reached

    assert len(probe.value(try_all)) <= 1
