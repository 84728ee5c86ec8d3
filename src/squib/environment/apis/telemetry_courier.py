"""Brings telemetry to one subscriber inside its sandbox, over HTTP or TCP.

The socket is made inside the sandbox's network and goes to a port of its loopback: it can lead nowhere else.
Whatever the other side does, an attempt ends in time and nothing is held beyond the buffer's bounds.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from squib.clock import Clock
from squib.environment.apis.telemetry_buffer import TelemetryBuffer
from squib.environment.apis.telemetry_subscription import Subscription

ATTEMPT_S: Final = 2.0  # squib's choice: as long as extensions have to end
RETRY_S: Final = (0.1, 0.2, 0.4, 0.8, 1.0)  # squib's choice: between attempts; the last for all that follow
_MAX_ANSWER_BYTES: Final = 8192
_ERRORS: Final = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)

OpenSocket = Callable[[], Awaitable[socket.socket]]


class Courier:
    """One subscription under way. `run` is its task; all else is called on the event loop and never waits."""

    def __init__(
        self,
        subscription: Subscription,
        open_socket: OpenSocket,
        clock: Clock,
        on_dropped: Callable[[int, int], None],
    ) -> None:
        """`on_dropped` is told how many records and bytes were lost, once there is room again."""
        self.subscription = subscription
        self.buffer = TelemetryBuffer(
            max_items=subscription.max_items,
            max_bytes=subscription.max_bytes,
            timeout_ms=subscription.timeout_ms,
        )
        self._open_socket, self._clock, self._on_dropped = open_socket, clock, on_dropped
        self._changed = asyncio.Event()
        self._may_send = asyncio.Event()
        self._may_send.set()
        self._is_closed = False
        self._task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    def add(self, event: bytes) -> None:
        """Takes an event."""
        was_empty = not self.buffer
        self.buffer.add(event, self._clock.monotonic_ms())
        if was_empty or self.buffer.due_ms() == float("-inf"):
            self._changed.set()

    def flush(self) -> None:
        """Sends what there is as soon as possible."""
        self.buffer.flush()
        self._changed.set()

    def pause(self) -> None:
        """Nobody would answer: the sandbox is frozen."""
        self._may_send.clear()

    def resume(self) -> None:
        """Undoes `pause`."""
        self._may_send.set()

    def close(self) -> None:
        """Gives up at once."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Until `close`."""
        if self._is_closed:
            return
        self._task = asyncio.current_task()
        failures = 0
        try:
            while True:
                await self._due()
                await self._may_send.wait()
                batch = self.buffer.batch()
                if await self._attempt(batch):
                    failures = 0
                    self.buffer.acknowledge(len(batch))
                    records, size_bytes = self.buffer.take_dropped()
                    if records:
                        self._on_dropped(records, size_bytes)
                else:
                    await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                    failures += 1
        except asyncio.CancelledError:
            if not self._is_closed:
                raise
        finally:
            self._drop_connection()

    async def _due(self) -> None:
        while True:
            self._changed.clear()
            wait_ms = self.buffer.due_ms() - self._clock.monotonic_ms()
            if wait_ms <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if wait_ms == float("inf") else wait_ms / 1000):
                    await self._changed.wait()

    async def _attempt(self, batch: list[bytes]) -> bool:
        try:
            async with asyncio.timeout(ATTEMPT_S):
                if self.subscription.protocol == "HTTP":
                    return await self._post(batch)
                await self._write_lines(batch)
                return True
        except _ERRORS:
            self._drop_connection()
            return False

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made = await self._open_socket()
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.subscription.port))
            reader, writer = await asyncio.open_connection(sock=made, limit=_MAX_ANSWER_BYTES)
        except BaseException:
            made.close()
            raise
        writer.transport.set_write_buffer_limits(high=0)
        self._writer = writer
        return reader, writer

    async def _post(self, batch: list[bytes]) -> bool:
        reader, writer = await self._connect()
        body = b"[" + b",".join(batch) + b"]"
        head = (
            f"POST {self.subscription.path} HTTP/1.1\r\n"
            f"Host: {self.subscription.host}:{self.subscription.port}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        status = (await reader.readuntil(b"\r\n")).split(None, 2)
        with contextlib.suppress(*_ERRORS):  # so that its server can end the answer in peace
            async with asyncio.timeout(0.05):
                await reader.readexactly(_MAX_ANSWER_BYTES)
        self._drop_connection()
        return len(status) > 1 and status[1].startswith(b"2")

    async def _write_lines(self, batch: list[bytes]) -> None:
        if self._writer is None or self._writer.is_closing():
            await self._connect()
        assert self._writer is not None
        self._writer.write(b"\n".join(batch) + b"\n")
        await self._writer.drain()

    def _drop_connection(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
