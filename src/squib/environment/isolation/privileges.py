"""How the process that parses requests stops being root: what it becomes and what it still reaches."""

import contextlib
import os
import pwd
import resource
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from squib.environment.isolation import confine
from squib.model.errors import PlatformError

DYNAMIC_UID = 1_899_999_999
"""Of the account taken when there is no account `squib`: in the range that no distribution gives out."""
SANDBOX_UID_BASE = 1_900_000_000
"""First of the accounts of sandboxes, in the same range."""
PREFERRED_ACCOUNT = "squib"
MIN_FILE_DESCRIPTORS = 1_024


class AccountUnknown(PlatformError):
    """The account to drop to does not exist."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this machine."""

    uid: int
    gid: int
    name: str


def account_to_become(wanted: str | None) -> Account | None:
    """The account for the daemon; None to stay as it is: started without root, or told to stay root.

    Raises AccountUnknown."""
    if os.getuid() != 0 or wanted == "root":
        return None
    try:
        entry = pwd.getpwnam(wanted or PREFERRED_ACCOUNT)
    except KeyError:
        if wanted is not None:
            raise AccountUnknown(
                f"there is no account {wanted!r}: make it (`useradd --system {wanted}`) or leave --user out"
            ) from None
        return Account(DYNAMIC_UID, DYNAMIC_UID, "an unprivileged account")
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)


def give_to(account: Account, folder: Path) -> None:
    """Makes the account the owner of a data directory and all in it that somebody else owns. Follows no link
    and leaves alone what root keeps for itself (`run`)."""
    # By descriptors: what runs under that account must not put a link to elsewhere in the way meanwhile.
    for directory, names, files, fd in os.fwalk(folder):
        if Path(directory) == folder:
            names[:] = [name for name in names if name != "run"]
        if os.fstat(fd).st_uid != account.uid:
            os.fchown(fd, account.uid, account.gid)
        for name in files:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if status.st_uid != account.uid and stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                os.chown(name, account.uid, account.gid, dir_fd=fd, follow_symlinks=False)


def make_own_directory(path: Path) -> None:
    """Makes a folder of this account's own, mode 0700; one that somebody else has made, or could have written
    to, is removed first. Follows no link. The user of the folder checks again."""
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    path.mkdir(mode=0o700)


def check_not_given(runtime_dir: Path, data_dir: Path) -> None:
    """Raises PlatformError when clients would lie where the daemon's account may write: root imports them."""
    if runtime_dir.resolve().is_relative_to(data_dir.resolve()):
        raise PlatformError(
            f"the runtime directory {runtime_dir} lies in the data directory, which belongs to the account "
            "that squib becomes: give --runtime-dir another place"
        )


def raise_file_limit() -> int:
    """As many open files as this machine allows; returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def keep_reachable(paths: Iterable[Path], account: Account) -> None:
    """Lets the account reach these paths although a folder above them may be closed to it, such as a home.

    In a mount namespace of its own, such a folder is covered by an empty one that holds nothing but them:
    the rest of it is then out of reach even for this process. Must run before `drop`, as root."""
    groups: dict[Path, list[Path]] = {}
    for path in sorted({Path(os.path.realpath(path)) for path in paths}):
        closed = _first_closed(path, account)
        if closed is not None:
            groups.setdefault(closed, []).append(path)
    if not groups:
        return
    confine.unshare(confine.CLONE_NEWNS)
    confine.mount(None, "/", None, confine.MS_REC | confine.MS_PRIVATE)
    for closed, wanted in groups.items():
        handles = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in wanted]
        flags = confine.MS_NOSUID | confine.MS_NODEV
        confine.mount("tmpfs", str(closed), "tmpfs", flags, "size=64k,mode=755")
        for path, handle in handles:
            path.mkdir(parents=True, exist_ok=True)
            confine.mount(f"/proc/self/fd/{handle}", str(path), None, confine.MS_BIND | confine.MS_REC)
            os.close(handle)
        confine.mount(
            None, str(closed), None, confine.MS_REMOUNT | confine.MS_BIND | confine.MS_RDONLY | flags
        )


def _first_closed(path: Path, account: Account) -> Path | None:
    for folder in reversed(path.parents):
        status = folder.stat()
        if status.st_uid == account.uid:
            bit = stat.S_IXUSR
        elif status.st_gid == account.gid:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not status.st_mode & bit:
            return folder
    return None


def drop(account: Account) -> None:
    """Becomes the account, for good: no capability stays and none can be gained."""
    confine.drop_bounding_set()
    confine.become(account.uid, account.gid)
    confine.set_capabilities()
    confine.no_new_privileges()
    for name in ("HOME", "USER", "LOGNAME", "MAIL"):
        os.environ.pop(name, None)
    with contextlib.suppress(OSError):
        os.chdir("/")
