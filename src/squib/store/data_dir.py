"""The data directory: who may use it, and the modes of what lies in it."""

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType

from squib.model.errors import PlatformError

PRIVATE_DIRECTORY_MODE = 0o700
PRIVATE_FILE_MODE = 0o600


class DataDirBusy(PlatformError):
    """Another process has the data directory open."""

    def __init__(self, data_dir: Path, pid: str) -> None:
        owner = f"process {pid}" if pid else "another process"
        super().__init__(f"The data directory {data_dir} is in use by {owner}.")


class DataDirLock:
    """Holds `<data-dir>/lock` until closed; the file names the holder's pid.

    The kernel drops the lock when the process ends, however it ends. A child forked while it is held would
    keep it alive, so fork first or exec.
    """

    def __init__(self, data_dir: Path) -> None:
        """Makes the directory (0700) if it is missing. Raises DataDirBusy at once, never waits; and
        PlatformError where there can be no such directory, or this account may not write to it."""
        # Root takes it in a folder of the daemon's account, which must not choose the file that is written.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            make_private_directory(data_dir)
            self._fd = os.open(data_dir / "lock", flags, PRIVATE_FILE_MODE)
        except OSError as error:
            raise PlatformError(
                f"can't use the data directory {data_dir}: {error.strerror}; choose another --data-dir"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise DataDirBusy(data_dir, pid) from None
            raise
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Gives the directory up. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "DataDirLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_private_directory(path: Path) -> None:
    """Makes `path` and its missing parents; `path` itself gets mode 0700 when it is new."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=PRIVATE_DIRECTORY_MODE)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        sync_directory(path.parent)


def make_private_file(path: Path) -> None:
    """Makes an empty file of mode 0600 unless there is one, durably."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE))
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Waits until the names in `path` are on disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
