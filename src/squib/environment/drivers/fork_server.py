"""A fork server as the daemon sees it, and the slots that its sandboxes are put into."""

import asyncio
import os
import socket
from typing import Protocol

from squib.environment.isolation.sandbox_protocol import READY


class Owner(Protocol):
    """What a fork server needs of the driver that has it."""

    def zygote_ready(self, zygote: "Zygote") -> None: ...

    def zygote_ended(self, zygote: "Zygote") -> None: ...


class ReadySlot:
    """A prepared slot and its descriptors."""

    def __init__(self, number: int, runtime_api: socket.socket, endpoint: socket.socket, netns: int) -> None:
        self.number, self.runtime_api, self.endpoint, self.netns = number, runtime_api, endpoint, netns

    def close(self) -> None:
        """Closes what is still ours."""
        self.runtime_api.close()
        self.endpoint.close()
        if self.netns >= 0:
            os.close(self.netns)
            self.netns = -1


class Zygote:
    """The daemon's end of one fork server."""

    def __init__(self, runtime: str, commands: socket.socket, driver: Owner) -> None:
        self.runtime, self._commands, self._driver = runtime, commands, driver
        commands.setblocking(False)

    def watch(self) -> None:
        """Follows what the fork server says: that it is ready, and its end."""
        asyncio.get_running_loop().add_reader(self._commands.fileno(), self._read)

    def _read(self) -> None:
        try:
            message = self._commands.recv(64)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message == READY:
            self._driver.zygote_ready(self)
        elif not message:
            self._driver.zygote_ended(self)
            self.close()

    def send(self, command: bytes, fds: list[int]) -> None:
        """Sends one command with descriptors. Raises BlockingIOError when hundreds are waiting already."""
        socket.send_fds(self._commands, [command], fds)

    def close(self) -> None:
        """Ends the fork server; idempotent."""
        if self._commands.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._commands.fileno())
            self._commands.close()
