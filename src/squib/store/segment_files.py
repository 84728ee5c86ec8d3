"""Segment files open for appending: those written last stay open, and the disk keeps a reserve.

Every system call lets go of the interpreter's lock, which the event loop has when the call is over: so a
flush makes but one for each stream. Blocks; one call at a time.
"""

import errno
import os
from typing import Final

from squib.store.data_dir import PRIVATE_DIRECTORY_MODE, PRIVATE_FILE_MODE

MAX_OPEN_FILES: Final = 128  # squib's choice
UNCHECKED_BYTES: Final = 1 << 20  # squib's choice: what is written between two looks at the disk


class SegmentFiles:
    """Appends to files by path. Owned by whoever writes them."""

    def __init__(self, reserve_bytes: int) -> None:
        """Nothing is written when less than `reserve_bytes`, or a twentieth of a small disk, is free; seen
        within UNCHECKED_BYTES."""
        self._reserve_bytes = reserve_bytes
        self._open: dict[str, int] = {}  # descriptors by path; the one written last is at the end
        self._unchecked_bytes = UNCHECKED_BYTES

    def append(self, path: str, content: bytes, size_before: int) -> None:
        """Writes all of `content`, making the file and its directory when they are not there.

        Raises OSError; then the file is as it was, `size_before` bytes long."""
        fd = self._open.pop(path, -1)
        if fd < 0:
            fd = _open(path)
        try:
            self._check_disk(fd, len(content))
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(fd, rest) :]
        except OSError:
            try:
                os.ftruncate(fd, size_before)
            finally:
                os.close(fd)
            raise
        self._open[path] = fd
        if len(self._open) > MAX_OPEN_FILES:
            self.forget(next(iter(self._open)))

    def forget(self, path: str) -> None:
        """Closes a file, if it is open: before it is deleted."""
        fd = self._open.pop(path, -1)
        if fd >= 0:
            os.close(fd)

    def close(self) -> None:
        """Closes every file."""
        for path in list(self._open):
            self.forget(path)

    def _check_disk(self, fd: int, size_bytes: int) -> None:
        self._unchecked_bytes += size_bytes
        if self._unchecked_bytes < UNCHECKED_BYTES:
            return
        disk = os.fstatvfs(fd)
        if disk.f_bavail * disk.f_frsize < min(self._reserve_bytes, disk.f_blocks * disk.f_frsize // 20):
            raise OSError(errno.ENOSPC, "the disk is nearly full")
        self._unchecked_bytes = 0


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, PRIVATE_FILE_MODE)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), PRIVATE_DIRECTORY_MODE, exist_ok=True)
        return os.open(path, flags, PRIVATE_FILE_MODE)
