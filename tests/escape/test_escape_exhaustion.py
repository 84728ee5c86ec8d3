"""Exhaustion: memory, disk, descriptors, processor, logs. Others get their share, and it passes."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.functions import Function
from harness.probe import Probe, deploy_probe
from harness.squib import FUNCTION_TIMEOUT_S, Squib

libc: Any = None  # given by the probe
held: list[Any] = []
MIB = 1 << 20


def daemon_mib(squib: Squib) -> int:
    """Resident memory of squib's daemon."""
    text = Path(f"/proc/{squib.process.pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def test_a_full_tmp_says_no_space_and_the_next_one_is_empty(squib: Squib) -> None:
    probe = deploy_probe(squib, Timeout=30)

    def fill() -> int:
        import errno

        total = 0
        with open("/tmp/full", "wb", 0) as file:
            try:
                while True:
                    total += file.write(bytes(1 << 20))
            except OSError as error:
                assert error.errno == errno.ENOSPC
        return total

    def left() -> list[Any]:
        import os

        free = os.statvfs("/tmp")
        return [os.listdir("/tmp"), free.f_bavail * free.f_frsize]

    assert 480 * MIB <= probe.value(fill) <= 530 * MIB
    names, free = probe.value(left)
    assert names == ["full"]
    assert free < MIB
    probe.function.configure(Description="a new environment")
    names, free = probe.value(left)
    assert names == []
    assert free > 480 * MIB
    probe.function.delete()


def hoard_bytes() -> None:
    hoard = []
    while True:
        hoard.append(b"x" * (8 << 20))


def hoard_shared() -> None:
    import mmap

    hoard = []
    while True:
        block = mmap.mmap(-1, 8 << 20)
        block.write(b"x" * (8 << 20))
        hoard.append(block)


def hoard_in_children() -> None:
    import os
    import time

    while True:
        if os.fork() == 0:
            hoard = b"x" * (32 << 20)
            time.sleep(len(hoard))


def hoard_in_memory_files() -> None:
    import os

    while True:
        os.write(os.memfd_create("hoard"), b"x" * (8 << 20))


def hoard_in_shared_segments() -> None:
    import ctypes

    libc.shmat.restype = ctypes.c_void_p
    while True:
        segment = libc.shmget(0, 8 << 20, 0o1600)
        if segment < 0:
            raise MemoryError("no segment")
        address = libc.shmat(segment, None, 0)
        ctypes.memset(address, 1, 8 << 20)


def hoard_in_message_queues() -> None:
    import os

    def fill(kept: list[int]) -> None:
        while True:
            queue = libc.msgget(0, 0o1600)
            if queue < 0:
                break
            while libc.msgsnd(queue, b"\1" * 8 + bytes(8000), 8000, 0o4000) == 0:
                kept.append(queue)

    kept: list[int] = []
    fill(kept)
    if len(kept) < 2000:
        raise OSError(28, "few queues")
    os.abort()


def hoard_in_semaphores() -> None:
    import os

    made = 0
    while libc.semget(0, 30_000, 0o1600) >= 0:
        made += 30_000
    if made < 100_000:
        raise OSError(28, "few semaphores")
    os.abort()


def hoard_in_sockets() -> None:
    import socket

    pairs = []
    while True:
        pair = socket.socketpair()
        for end in pair:
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            try:
                while True:
                    end.send(bytes(65536))
            except OSError:
                pass
        pairs.append(pair)


HOARDS = [
    hoard_bytes,
    hoard_shared,
    hoard_in_children,
    hoard_in_memory_files,
    hoard_in_shared_segments,
    hoard_in_message_queues,
    hoard_in_semaphores,
    hoard_in_sockets,
]


@pytest.mark.slow
@pytest.mark.parametrize("hoard", HOARDS, ids=lambda hoard: hoard.__name__)
def test_memory_ends_and_the_next_invocation_has_it_all_again(squib: Squib, hoard: Any) -> None:
    probe = deploy_probe(squib, MemorySize=128, Timeout=5)

    def use(mib: int) -> int:
        return len(bytearray(mib << 20)) >> 20

    result = probe.attempt(hoard)
    assert result.error == "Unhandled" or "refused" in result.payload
    assert result.report.used_mib <= 128
    again = probe.attempt(use, 60)
    assert again.error is None, again
    assert again.value == {"value": 60}
    probe.function.delete()


def test_bodies_that_never_end_cost_squib_little(squib: Squib) -> None:
    probe = deploy_probe(squib, Timeout=30)

    def hold(target: str, path: str, size: int) -> int:
        import os
        import socket

        global held
        held = []
        host, _, port = os.environ[target].removeprefix("http://").rstrip("/").rpartition(":")
        for _ in range(24):
            try:
                client = socket.create_connection((host, int(port)), 2)
                client.settimeout(2)
                client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
                left = size - 1
                while left > 0:
                    left -= client.send(bytes(min(left, 1 << 20)))
            except OSError:
                client.close()
            held.append(client)
        return len([client for client in held if client.fileno() >= 0])

    before = daemon_mib(squib)
    probe.value(hold, "AWS_LAMBDA_RUNTIME_API", "/2018-06-01/runtime/invocation/x/response", 6_000_000)
    assert daemon_mib(squib) - before < 60
    probe.value(hold, "AWS_ENDPOINT_URL", "/2015-03-31/functions", 70_000_000)
    assert daemon_mib(squib) - before < 250
    probe.function.delete()


def test_descriptors_end_at_1024(probe: Probe) -> None:
    def open_all() -> int:
        import os

        made = []
        try:
            while True:
                made.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return max(made) + 1
        finally:
            for fd in made:
                os.close(fd)

    assert probe.value(open_all) == 1024


def test_leaked_descriptors_do_not_outlive_the_runtime(squib: Squib) -> None:
    probe = deploy_probe(squib)

    def leak() -> None:
        import os

        while True:
            os.dup(0)

    answer = probe.attempt(leak)
    assert answer.error == "Unhandled" or answer.payload.get("refused") == "EMFILE"

    def crash() -> None:
        import os

        os._exit(1)

    probe.attempt(crash)

    def count() -> int:
        import os

        return len(os.listdir("/proc/self/fd"))

    assert probe.value(count) < 20
    probe.function.delete()


@pytest.mark.slow
def test_eating_all_processors_leaves_others_theirs(squib: Squib, bystander: Function) -> None:
    probe = deploy_probe(squib, Timeout=3, MemorySize=256)

    def eat() -> None:
        import os

        for _ in range(20):
            if os.fork() == 0:
                break
        while True:
            pass

    with ThreadPoolExecutor(1) as thread:
        eating = thread.submit(probe.attempt, eat)
        waits = []
        while not eating.done():
            started = time.monotonic()
            assert bystander.invoke(1).value == 1
            waits.append(time.monotonic() - started)
        assert eating.result().payload["errorType"] == "Sandbox.Timedout"
    waits.sort()
    assert len(waits) >= 3
    assert waits[len(waits) // 2] < 1.0
    probe.function.delete()


@pytest.mark.slow
def test_a_hundred_megabytes_of_log_hurt_nobody(squib: Squib, bystander: Function) -> None:
    probe = deploy_probe(squib, Timeout=15)

    def shout() -> str:
        import sys

        block = ("x" * 999 + "\n") * 1000
        for _ in range(100):
            sys.stdout.write(block)
        return "done"

    with ThreadPoolExecutor(1) as thread:
        shouting = thread.submit(probe.attempt, shout)
        waits = []
        while not shouting.done():
            started = time.monotonic()
            assert bystander.invoke(1).value == 1
            waits.append(time.monotonic() - started)
        result = shouting.result()
    assert result.error is None or result.payload["errorType"] == "Sandbox.Timedout"
    assert len(result.log.encode()) <= 4096
    assert max(waits) < 5.0
    assert daemon_mib(squib) < 600
    probe.function.delete()


def test_a_giant_line_is_cut_into_events(squib: Squib) -> None:
    probe = deploy_probe(squib, Timeout=2 * FUNCTION_TIMEOUT_S)

    def line(size: int) -> str:
        import sys

        sys.stdout.write("y" * size + "\n")
        sys.stderr.write("z" * size)
        return "done"

    assert probe.value(line, 20 * MIB) == "done"
    logs = squib.client("logs")
    group = f"/aws/lambda/{probe.function.name}"
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    page = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    sizes = [len(event["message"]) for event in page["events"]]
    assert max(sizes) <= 256 * 1024
    assert daemon_mib(squib) < 600
    probe.function.delete()


def test_garbage_in_the_logs_is_kept_as_text(squib: Squib) -> None:
    probe = deploy_probe(squib)

    def garbage() -> str:
        import os

        os.write(1, bytes(range(256)) * 16 + b"\x1b[2J\x00\r\n\n\n\xff\xfe")
        os.write(1, b"START RequestId: 00000000-0000-0000-0000-000000000000 Version: $LATEST\n")
        os.write(1, b"REPORT RequestId: 0 Duration: 0\n")
        return "done"

    assert probe.value(garbage) == "done"
    probe.function.delete()
