"""Commands to the launcher: none is lost and none overtakes another, however far behind the launcher is."""

import asyncio
import json
import socket

from squib.environment.drivers.sandbox import SandboxDriverOptions, ZygoteDriver

COUNT = 5_000  # far more than a socket holds


def test_commands_wait_for_a_launcher_that_is_behind() -> None:
    lost: list[str] = []

    async def main() -> list[int]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        driver = ZygoteDriver(ours, {}, {}, SandboxDriverOptions(), lost.append)
        for number in range(COUNT):
            driver.kill_inside(number)
        loop = asyncio.get_running_loop()
        received = [json.loads(await loop.sock_recv(theirs, 4096))["slot"] for _ in range(COUNT)]
        theirs.close()
        ours.close()
        return received

    assert asyncio.run(main()) == list(range(COUNT))
    assert lost == []
