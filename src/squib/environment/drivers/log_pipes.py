"""Reading what a function writes to its log pipes, which it may do as fast as we read, for ever."""

import os
import select
from collections.abc import Callable
from functools import partial
from typing import Final

from squib.environment.driver import LogSource

READ_BYTES: Final = 16_384  # at a time: at worst as many lines, which the event loop handles in one go
PIPE_BYTES: Final = 65_536  # what a pipe holds, unless the function has enlarged its own
MAX_PIPE_BYTES: Final = 1 << 20  # the kernel's default for what a pipe may be enlarged to


class LogPipes:
    """The non-blocking pipes of one sandbox, to be emptied in between: mostly there is nothing in them, which
    one system call says of all. Whoever closes a pipe calls `clear` before."""

    __slots__ = ("_poll", "_sources")

    def __init__(self) -> None:
        self.clear()

    def add(self, fd: int, source: LogSource) -> None:
        """One more pipe."""
        self._sources[fd] = source
        self._poll.register(fd, select.POLLIN)

    def clear(self) -> None:
        """There are none."""
        self._poll = select.poll()
        self._sources: dict[int, LogSource] = {}

    def drain(self, limit_bytes: int, take: Callable[[LogSource, bytes], None]) -> None:
        """Gives `take` what is in the pipes, piece by piece, about `limit_bytes` of each at most."""
        for fd, _ in self._poll.poll(0):
            _drain(fd, limit_bytes, partial(take, self._sources[fd]))


def _drain(fd: int, limit_bytes: int, take: Callable[[bytes], None]) -> None:
    left = limit_bytes
    while left > 0:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            take(data)
        left = left - len(data) if len(data) == READ_BYTES else 0
