"""The log pipes of one sandbox, read as the event loop has time for them."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from squib.environment.driver import LogSource
from squib.environment.drivers.log_pipes import MAX_PIPE_BYTES, PIPE_BYTES, READ_BYTES, LogPipes

FLOOD_PAUSE: Final = 30
"""Times the time that reading took: not listened to for so long, who writes faster than that."""
Take = Callable[[LogSource, bytes], None]


class LogReader:
    """Owns the reading ends. Nothing is delivered before `listen`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipes = LogPipes()
        self._sources: dict[int, LogSource] = {}
        self._take: Take | None = None
        self._closed = False

    def open(self, source: LogSource) -> int:
        """Makes one more pipe; returns the end to write to, which is the caller's. Raises OSError."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_end, False)
        self._pipes.add(read_end, source)
        self._sources[read_end] = source
        if self._take is not None:
            self._loop.add_reader(read_end, self._read, read_end)
        return write_end

    def listen(self, take: Take) -> None:
        """Delivers what comes from now on, and what is there."""
        self._take = take
        for fd in self._sources:
            self._loop.add_reader(fd, self._read, fd)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        if data and self._take is not None:
            began_s = self._loop.time()
            self._take(self._sources[fd], data)
            if len(data) == READ_BYTES and not self._closed:
                self._loop.remove_reader(fd)
                self._loop.call_later(FLOOD_PAUSE * (self._loop.time() - began_s), self._read_again, fd)
        elif not data:
            self._loop.remove_reader(fd)

    def _read_again(self, fd: int) -> None:
        if not self._closed:
            self._loop.add_reader(fd, self._read, fd)

    def drain(self) -> None:
        """Delivers what has been written up to now, as far as an ordinary pipe holds it."""
        self._drain(PIPE_BYTES)

    def drain_all(self) -> None:
        """The same for writers that have ended, however much their pipes hold."""
        self._drain(MAX_PIPE_BYTES)

    def _drain(self, limit_bytes: int) -> None:
        if self._take is not None and not self._closed:
            self._pipes.drain(limit_bytes, self._take)

    def close(self) -> None:
        """Closes the reading ends; idempotent."""
        self._closed = True
        self._pipes.clear()
        for fd in self._sources:
            self._loop.remove_reader(fd)
            os.close(fd)
        self._sources.clear()
