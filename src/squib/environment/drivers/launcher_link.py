"""The daemon's end of the launcher's control socket: commands in order, and the answers to some."""

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from squib.environment.isolation.launcher import MAX_COMMAND_BYTES
from squib.model.errors import PlatformError

_MAX_ANSWER_BYTES: Final = 65_536
_MAX_DESCRIPTORS: Final = 8
Answer = tuple[dict[str, Any], list[int]]


class LauncherRefused(OSError):
    """What was asked for can't be had. `answer` is all that the launcher says."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(str(answer["error"]))
        self.answer = answer


class LauncherLink:
    """Owns the socket. Messages that nobody has asked for go to `on_message`, with their descriptors."""

    def __init__(
        self,
        control: socket.socket,
        on_message: Callable[[dict[str, Any], list[int]], None],
        on_lost: Callable[[PlatformError], None],
    ) -> None:
        """`on_lost` is called once, when the launcher is gone."""
        self._control, self._on_message, self._on_lost = control, on_message, on_lost
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[tuple[bytes, list[int]]] = deque()  # what the launcher has no room for yet
        self._asked: dict[tuple[str, int | None], deque[asyncio.Future[Answer]]] = {}
        self.lost = False

    def open(self) -> None:
        """Begins to read."""
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._read)

    def send(self, fds: Sequence[int] = (), **fields: Any) -> None:
        """One command; descriptors stay the caller's."""
        if not self.lost:
            self._outbox.append((json.dumps(fields).encode(), [os.dup(fd) for fd in fds]))
            if len(self._outbox) == 1:
                self._send()

    async def ask(
        self, op: str, fds: Sequence[int] = (), *, slot: int | None = None, **fields: Any
    ) -> Answer:
        """A command that is answered. Raises PlatformError when the launcher is gone, and LauncherRefused."""
        self.check()
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        self._asked.setdefault((op, slot), deque()).append(waiter)
        self.send(fds, op=op, **({} if slot is None else {"slot": slot}), **fields)
        answer, more = await waiter
        if answer["error"] is not None:
            raise LauncherRefused(answer)
        return answer, more

    def check(self) -> None:
        """Raises PlatformError when the launcher is gone."""
        if self.lost:
            raise PlatformError("sandboxes can't be made any more: the launcher has ended")

    def _send(self) -> None:
        try:
            while self._outbox:
                message, fds = self._outbox[0]
                socket.send_fds(self._control, [message], fds)
                self._outbox.popleft()
                for fd in fds:
                    os.close(fd)
        except BlockingIOError:
            self._loop.add_writer(self._control.fileno(), self._send)
        except OSError as error:
            self._lose(str(error))
        else:
            self._loop.remove_writer(self._control.fileno())

    def _read(self) -> None:
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(self._control, _MAX_ANSWER_BYTES, _MAX_DESCRIPTORS)
            except BlockingIOError:
                return
            except OSError as error:
                return self._lose(str(error))
            if not message:
                return self._lose("the launcher has ended")
            self.handle(json.loads(message), fds)

    def handle(self, answer: dict[str, Any], fds: list[int]) -> None:
        """One message of the launcher."""
        key = (answer["op"], answer.get("slot"))
        waiters = self._asked.get(key)
        if not waiters:
            self._on_message(answer, fds)
            return
        waiter = waiters.popleft()
        if not waiters:
            del self._asked[key]
        if waiter.done():  # nobody waits any longer
            for fd in fds:
                os.close(fd)
        else:
            waiter.set_result((answer, fds))

    def stop(self) -> None:
        """Neither reads nor sends any more."""
        self.lost = True
        for _, fds in self._outbox:
            for fd in fds:
                os.close(fd)
        self._outbox.clear()
        self._loop.remove_reader(self._control.fileno())
        self._loop.remove_writer(self._control.fileno())

    def _lose(self, reason: str) -> None:
        if self.lost:
            return
        self.stop()
        error = PlatformError(f"sandboxes can't be made any more: {reason}")
        for waiters in self._asked.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
        self._on_lost(error)

    async def close(self, timeout_s: float) -> None:
        """Has the launcher end; returns when it has removed everything. Raises TimeoutError."""
        try:
            if not self.lost:
                self.stop()
                self._control.shutdown(socket.SHUT_WR)
                # The launcher closes its end when everything is gone from the host.
                async with asyncio.timeout(timeout_s):
                    while await self._loop.sock_recv(self._control, MAX_COMMAND_BYTES):
                        pass
        finally:
            self._control.close()
