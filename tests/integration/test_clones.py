"""Clones of templates, with AWS's Python client: they go on from the snapshot, each for itself, and end."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.clones import ask, run_story
from harness.drivers import Bench
from harness.machine import descendants
from squib.environment.driver import End, EndCause, TemplateLost
from squib.model.errors import PlatformError

pytestmark = [pytest.mark.slow, pytest.mark.root]


@pytest.mark.parametrize("runtime", ["python3.9", "python3.10", "python3.11", "python3.12", "python3.13"])
def test_clones_go_on_from_the_snapshot_and_draw_chance_for_themselves(runtime: str) -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template(runtime, "app.handler")
        clones = [await bench.clone(template) for _ in range(3)]
        assert len({await ask(clone, "result = BORN") for clone in clones}) == 1
        for draw in ("random.random()", "uuid.uuid4().hex", "__import__('ssl').RAND_bytes(8).hex()"):
            assert len({await ask(clone, f"result = {draw}") for clone in clones}) == 3
        assert [await ask(clone, "result = count") for clone in clones] == [5, 5, 5]
        assert (
            await ask(clones[0], "result = subprocess.run(['echo', 'x'], capture_output=True).returncode")
            == 0
        )
        pids = [await ask(clone, "result = os.getpid()") for clone in clones]
        assert max(pids) < 100  # the template's is above 300: OpenSSL and others tell forks by it

    run_story(story, {}, runtime)


def test_hooks_run_where_aws_runs_them(tmp_path: Path) -> None:
    program = """
from snapshot_restore_py import register_after_restore, register_before_snapshot
ran = []
register_before_snapshot(lambda: ran.append(["before", BORN]))
register_after_restore(lambda: ran.append(["after", uuid.uuid4().hex]))
print("printed by initialization", end="")
"""

    async def story(bench: Bench) -> None:
        template = await bench.template(handler="hooks.handler")
        one, other = await bench.clone(template), await bench.clone(template)
        first, second = await ask(one, "result = ran"), await ask(other, "result = ran")
        assert [name for name, _ in first] == ["before", "after"]
        assert first[0] == second[0] and first[1] != second[1]
        template.sandbox.drain_logs()
        assert template.output() == "printed by initialization"
        assert await ask(one, "print('mine', flush=True); result = 1") == 1
        assert (one.output(), other.output()) == ("mine\n", "")

    run_story(story, {"hooks": program})


def test_each_clone_has_its_own_processes_tmp_and_network() -> None:
    program = "open('/tmp/made', 'w').write('by initialization')"

    async def story(bench: Bench) -> None:
        template = await bench.template(handler="tmp.handler")
        one, other = await bench.clone(template), await bench.clone(template)
        for clone in (one, other):
            assert await ask(clone, "result = open('/tmp/made').read()") == "by initialization"
        await ask(one, "open('/tmp/made', 'w').write('changed'); open('/tmp/more', 'w')")
        assert await ask(other, "result = open('/tmp/made').read()") == "by initialization"
        third = await bench.clone(template)
        assert await ask(third, "result = sorted(os.listdir('/tmp'))") == ["made"]
        pids = await ask(one, "result = sorted(int(n) for n in os.listdir('/proc') if n.isdigit())")
        assert pids[0] == 1 and len(pids) == 2
        listen = "s = socket.socket(); s.bind(('127.0.0.1', 4000)); s.listen(); globals()['kept'] = s"
        for clone in (one, other):
            assert await ask(clone, listen) is None  # the port is free in each
        connect = "socket.create_connection(('127.0.0.1', 4000), 2)"
        assert await ask(third, connect) == "ECONNREFUSED"
        assert await ask(one, "result = socket.gethostname()") == "sandbox"
        assert await ask(one, "result = os.statvfs('/tmp').f_blocks * 4096 >> 20") in range(500, 560)
        with await one.sandbox.open_socket() as inside:
            inside.setblocking(True)
            inside.connect(("127.0.0.1", 4000))

    run_story(story, {"tmp": program})


@pytest.mark.parametrize(
    ("do", "end"),
    [
        ("os._exit(3)", End(cause=EndCause.EXITED, status=3)),
        ("os.kill(os.getpid(), 6)", End(cause=EndCause.SIGNALED, status=6)),
        ("os.kill(1, 9); time.sleep(9)", None),
        ("x = bytearray(400 << 20)", End(cause=EndCause.OUT_OF_MEMORY, status=9)),
    ],
)
def test_end_of_a_clone_is_told_and_is_nobody_elses(do: str, end: End | None) -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template()
        one, other = await bench.clone(template), await bench.clone(template)
        if end is None:  # a process has no power over the first of its namespace
            assert await ask(one, "os.kill(1, 9); result = 'alive'") == "alive"
        else:
            await one.ready.get()
            one.send(b'{"do": "%s"}' % do.encode())
            assert await one.ends.get() == end
        await one.sandbox.destroy()
        assert await ask(other, "result = count") == 1
        third = await bench.clone(template)
        assert await ask(third, "result = count") == 1
        assert one.ends.empty()

    run_story(story, {})


def test_clone_is_killed_frozen_and_thawed_from_outside() -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template()
        one, other = await bench.clone(template), await bench.clone(template)
        await one.ready.get()
        one.sandbox.freeze()
        one.send(b'{"do": ""}')
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await one.answers.get()
        one.sandbox.thaw()
        assert b'"count": 1' in await one.answers.get()
        assert one.sandbox.memory_peak_bytes() > 5 << 20
        one.sandbox.freeze()
        await one.sandbox.kill()
        assert (await one.ends.get()).cause is EndCause.SIGNALED
        await one.sandbox.kill()
        with pytest.raises(PlatformError):
            await one.sandbox.restart()
        await other.ready.get()
        other.sandbox.terminate_runtime()
        assert await other.ends.get() == End(cause=EndCause.SIGNALED, status=15)

    run_story(story, {})


def test_clones_outlive_the_process_of_their_template_but_no_more_are_made() -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template()
        one = await bench.clone(template)
        await template.sandbox.kill()
        assert (await template.ends.get()).cause is EndCause.SIGNALED
        with pytest.raises(TemplateLost):
            await bench.clone(template)
        await template.sandbox.destroy()
        assert await ask(one, "result = count") == 1
        await one.sandbox.destroy()

    run_story(story, {})


def test_nothing_is_left_when_all_is_destroyed() -> None:
    async def story(bench: Bench) -> None:
        launchers = [
            process
            for process in descendants(os.getpid())
            if process.parent == os.getpid() and "isolation.launcher" in process.command
        ]
        launcher = max(launchers, key=lambda process: process.started_ticks).pid  # others may be ending
        driver: Any = bench.driver
        own = "squib" + next(iter(driver.facts["cgroups"].values()))[-2:] + "-"

        def held() -> dict[str, int]:
            return {
                "descriptors here": len(os.listdir("/proc/self/fd")),
                "descriptors of the launcher": len(os.listdir(f"/proc/{launcher}/fd")),
                "cgroups": len(list(driver.cgroups.slots())),
                "processes": len(descendants(launcher)),
                "interfaces": len([name for _, name in socket.if_nameindex() if name.startswith(own)]),
            }

        async def round_trip() -> None:
            template = await bench.template()
            clones = [await bench.clone(template) for _ in range(4)]
            for clone in clones:
                await ask(clone, "result = 1")
            await clones[0].sandbox.kill()
            for clone in clones[:2]:
                await clone.sandbox.destroy()
            await template.sandbox.destroy()
            for clone in clones[2:]:
                assert await ask(clone, "result = count") == 2
                await clone.sandbox.destroy()

        await round_trip()
        await settled(held)
        before = await settled(held)
        rounds = 8
        for _ in range(rounds):
            await round_trip()
        # How many places there are depends on how many were needed at once; a leak is one for each clone.
        async with asyncio.timeout(20):
            while any(count >= before[name] + rounds * 4 for name, count in held().items()):
                await asyncio.sleep(0.05)

    run_story(story, {}, outside=True)


def test_place_of_a_template_is_given_back_once(capfd: pytest.CaptureFixture[str]) -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template()
        await (await bench.clone(template)).sandbox.destroy()
        async with asyncio.timeout(20):
            while not template.sandbox.source._ready:  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
        await template.sandbox.destroy()
        await bench.template()  # by then the launcher has answered

    run_story(story, {})
    assert "unknown command" not in capfd.readouterr().err


async def settled(look: Callable[[], dict[str, int]]) -> dict[str, int]:
    """What is there when it has not changed for a while."""
    last, since = look(), 0
    while since < 10:
        await asyncio.sleep(0.05)
        now = look()
        since = since + 1 if now == last else 0
        last = now
    return last
