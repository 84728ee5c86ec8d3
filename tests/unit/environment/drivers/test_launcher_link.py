"""Commands that the launcher answers: each answer finds who asked; nobody waits for one that is gone."""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from squib.environment.drivers.launcher_link import LauncherLink, LauncherRefused
from squib.model.errors import PlatformError


def with_link(story: Callable[[LauncherLink, socket.socket, list[Any]], Awaitable[None]]) -> None:
    """A link, the launcher's end of it, and what came that nobody had asked for."""

    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        others: list[Any] = []
        link = LauncherLink(ours, lambda answer, fds: others.append(answer), others.append)
        link.open()
        with ours, theirs:
            await story(link, theirs, others)
            link.stop()

    asyncio.run(main())


def say(launcher: socket.socket, fds: tuple[int, ...] = (), **answer: Any) -> None:
    socket.send_fds(launcher, [json.dumps(answer).encode()], list(fds))


def test_answers_find_who_asked_whatever_their_order() -> None:
    async def story(link: LauncherLink, launcher: socket.socket, others: list[Any]) -> None:
        one = asyncio.create_task(link.ask("socket", slot=1))
        two = asyncio.create_task(link.ask("socket", slot=2))
        third = asyncio.create_task(link.ask("clone-slot"))
        await asyncio.sleep(0)
        say(launcher, op="slot", slot=2)
        say(launcher, op="clone-slot", number=9, error=None)
        say(launcher, op="socket", slot=2, error=None)
        say(launcher, op="socket", slot=1, error="none there")
        assert (await two)[0]["slot"] == 2
        assert (await third)[0]["number"] == 9
        with pytest.raises(LauncherRefused, match="none there"):
            await one
        assert others == [{"op": "slot", "slot": 2}]

    with_link(story)


def test_descriptors_go_with_a_command_and_those_nobody_waits_for_are_closed() -> None:
    async def story(link: LauncherLink, launcher: socket.socket, others: list[Any]) -> None:
        read_end, write_end = os.pipe()
        asking = asyncio.create_task(link.ask("adopt", [read_end], slot=1, template=2))
        await asyncio.sleep(0)
        message, fds, _, _ = socket.recv_fds(launcher, 4096, 1)
        assert json.loads(message) == {"op": "adopt", "slot": 1, "template": 2}
        os.write(write_end, b"x")
        assert os.read(fds[0], 1) == b"x"
        os.close(fds[0])
        asking.cancel()
        await asyncio.sleep(0)
        say(launcher, (read_end,), op="adopt", slot=1, error=None)
        os.close(read_end)
        with pytest.raises(BrokenPipeError):
            while True:  # as long as the other end lies in the socket
                os.write(write_end, b"x")
                await asyncio.sleep(0)
        os.close(write_end)

    with_link(story)


def test_nobody_waits_for_a_launcher_that_is_gone() -> None:
    async def story(link: LauncherLink, launcher: socket.socket, others: list[Any]) -> None:
        asking = asyncio.create_task(link.ask("snapshot", slot=1))
        await asyncio.sleep(0)
        launcher.close()
        with pytest.raises(PlatformError):
            await asking
        with pytest.raises(PlatformError):
            await link.ask("snapshot", slot=1)
        assert len(others) == 1

    with_link(story)
