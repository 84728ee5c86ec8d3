"""The sandbox driver's slots when the daemon has no descriptors left, and what the launcher says of disks."""

import asyncio
import errno
import json
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from squib.environment.driver import SandboxSpec
from squib.environment.drivers.fork_server import ReadySlot, Zygote
from squib.environment.drivers.sandbox import SandboxDriverOptions, ZygoteDriver
from squib.model.units import ArchiveDigest, EnvironmentId

SPEC = SandboxSpec(
    environment_id=EnvironmentId("0" * 32),
    runtime="python3.12",
    memory_mib=128,
    ephemeral_mib=1024,
    code=ArchiveDigest("00" * 32),
    handler="f.h",
    variables={},
)


def with_driver(story: Callable[[Any, socket.socket, Zygote], Awaitable[None]]) -> None:
    """A driver, the launcher's end of its control socket, and a fork server that is only a socket."""

    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        commands, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, commands, other:
            theirs.setblocking(False)
            driver: Any = ZygoteDriver(ours, {}, {}, SandboxDriverOptions())
            await story(driver, theirs, Zygote(SPEC.runtime, commands, driver))

    asyncio.run(main())


def slot() -> ReadySlot:
    return ReadySlot(7, socket.socket(), socket.socket(), os.open("/dev/null", os.O_RDONLY))


def commands(launcher: socket.socket) -> list[dict[str, Any]]:
    found = []
    while True:
        try:
            found.append(json.loads(launcher.recv(4096)))
        except BlockingIOError:
            return found


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("allowed", [0, 1], ids=["first pipe", "second pipe"])
@pytest.mark.parametrize("is_blank", [True, False])
def test_slot_goes_back_when_there_are_no_descriptors(
    monkeypatch: pytest.MonkeyPatch, allowed: int, is_blank: bool
) -> None:
    pipe2, left = os.pipe2, [None] * allowed

    def few(flags: int) -> tuple[int, int]:
        if not left:
            raise OSError(errno.EMFILE, "Too many open files")
        left.pop()
        return pipe2(flags)

    async def story(driver: Any, launcher: socket.socket, zygote: Zygote) -> None:
        before = open_descriptors()
        driver._ready.append(slot())
        monkeypatch.setattr(os, "pipe2", few)
        if is_blank:
            driver._blanks[SPEC.runtime] = []
            driver._zygotes[SPEC.runtime] = asyncio.get_running_loop().create_future()
            driver._zygotes[SPEC.runtime].set_result(zygote)
            driver._refill(SPEC.runtime)
            assert driver._making_blanks.get(SPEC.runtime, 0) == 0
        else:
            with pytest.raises(OSError, match="Too many open files"):
                await driver._fresh(SPEC, zygote)
        assert commands(launcher) == [{"op": "took"}, {"op": "recycle", "slot": 7}]
        assert driver._sandboxes == set()
        assert open_descriptors() == before

    with_driver(story)


def test_tmp_that_cannot_be_made_is_told_at_once_and_the_slot_goes_back() -> None:
    async def story(driver: Any, launcher: socket.socket, zygote: Zygote) -> None:
        driver._ready.append(slot())
        making = asyncio.create_task(driver._fresh(SPEC, zygote))
        await asyncio.sleep(0)
        driver._link.handle({"op": "tmp", "slot": 7, "error": "nearly full"}, [])
        with pytest.raises(OSError, match="nearly full"):
            await making
        assert [command["op"] for command in commands(launcher)] == ["took", "tmp", "recycle"]

    with_driver(story)


def test_complaint_of_the_launcher_is_passed_on_once(capsys: pytest.CaptureFixture[str]) -> None:
    async def story(driver: Any, launcher: socket.socket, zygote: Zygote) -> None:
        for error in ("full", "full", "other", "full"):
            driver._handle({"op": "error", "error": error}, [])

    with_driver(story)
    assert capsys.readouterr().err.count("squib launcher: ") == 3


def test_place_of_a_clone_that_nobody_waits_for_any_more_goes_back() -> None:
    async def story(driver: Any, launcher: socket.socket, zygote: Zygote) -> None:
        asked = asyncio.create_task(driver.place_clone())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        driver._link.handle({"op": "clone-slot", "number": 9, "error": None}, [])
        for _ in range(3):
            await asyncio.sleep(0)
        assert commands(launcher) == [{"op": "clone-slot"}, {"op": "recycle", "slot": 9}]
        assert driver._clones == set()

    with_driver(story)
