"""What listens at AWS_XRAY_DAEMON_ADDRESS inside a sandbox: takes what SDKs send, one document a datagram.

Its sender is the function: hostile. A datagram that is not of the daemon's form is dropped; so is what comes
faster than is read, by the kernel. Who sends without end is listened to for a small part of the time only.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from squib.environment.variables import DAEMON_HOST, DAEMON_PORT
from squib.model.segment import MAX_SEGMENT_BYTES

MAX_DATAGRAM_BYTES: Final = MAX_SEGMENT_BYTES + 256  # with the line before the document
AT_ONCE: Final = 32  # our own choice: datagrams read without looking at anything else
FLOOD_PAUSE: Final = 10  # our own choice: times the time that reading so many took


class _Header(msgspec.Struct):
    format: str
    version: int


_read_header: Final = msgspec.json.Decoder(_Header).decode


def document_of(datagram: bytes) -> bytes | None:
    """The document in a datagram: after a line that says `{"format": "json", "version": 1}`."""
    line, separator, document = datagram.partition(b"\n")
    try:
        header = _read_header(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return document if separator and (header.format, header.version) == ("json", 1) else None


def bound(made: socket.socket, port: int = DAEMON_PORT) -> socket.socket:
    """A UDP socket, listening to the loopback of the network it is of. Raises OSError."""
    try:
        made.bind((DAEMON_HOST, port))
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


class TraceSocket:
    """Of a sandbox that is not started yet: what comes waits in it until somebody listens."""

    def __init__(self) -> None:
        self._made: socket.socket | None = None

    async def open(self, making: Awaitable[socket.socket], port: int = DAEMON_PORT) -> None:
        """Makes it; where that fails, `take` says so. No function waits in vain for want of traces."""
        with contextlib.suppress(OSError):
            self._made = bound(await making, port)

    def take(self) -> socket.socket:
        """Gives it away. Raises OSError where there is none."""
        made, self._made = self._made, None
        if made is None:
            raise OSError("no socket could be made for traces")
        return made

    def close(self) -> None:
        """It is not wanted any more."""
        if self._made is not None:
            self._made.close()
            self._made = None


class TraceDaemon:
    """Owned by its environment; reads until it is closed."""

    def __init__(self, bound: socket.socket, take: Callable[[bytes], None]) -> None:
        """`bound` does not block, and becomes this object's; `take` gets each document."""
        self._socket, self._take = bound, take
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(bound, self._read)

    def close(self) -> None:
        """What has come is read; then nothing more is."""
        if self._socket.fileno() < 0:
            return
        self._drain()
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        started_s = time.perf_counter()
        if self._drain() == AT_ONCE:
            self._loop.remove_reader(self._socket)
            pause_s = FLOOD_PAUSE * (time.perf_counter() - started_s)
            self._timer = self._loop.call_later(pause_s, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        self._loop.add_reader(self._socket, self._read)

    def _drain(self) -> int:
        for count in range(AT_ONCE):
            try:
                datagram = self._socket.recv(MAX_DATAGRAM_BYTES + 1)
            except OSError:  # nothing is there; or what this socket sent was refused, which is not our doing
                return count
            if len(datagram) <= MAX_DATAGRAM_BYTES:
                document = document_of(datagram)
                if document is not None:
                    self._take(document)
        return AT_ONCE
