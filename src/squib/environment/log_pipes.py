"""Reading what a function writes to its log pipes, which it may do as fast as we read, for ever."""

import os
from collections.abc import Callable
from typing import Final

READ_BYTES: Final = 16_384  # at a time: at worst as many lines, which the event loop handles in one go
PIPE_BYTES: Final = 65_536  # what a pipe holds, unless the function has enlarged its own
MAX_PIPE_BYTES: Final = 1 << 20  # the kernel's default for what a pipe may be enlarged to


def drain(fd: int, limit_bytes: int, take: Callable[[bytes], None]) -> None:
    """Gives `take` what is in a non-blocking pipe, piece by piece, about `limit_bytes` at most. A negative
    descriptor is a pipe that is closed already."""
    left = limit_bytes if fd >= 0 else 0
    while left > 0:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            take(data)
        left = left - len(data) if len(data) == READ_BYTES else 0
