"""Taking in the clone of a template: looking at it from outside, and giving it what a sandbox has.

Runs in the launcher. A clone that is what it should be waits for squib meanwhile; nothing depends on that.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from squib.environment.isolation import clone_checks, confine
from squib.environment.isolation.clone_checks import ProcessFacts
from squib.environment.isolation.zygote import limit_ipc

_NS_GET_USERNS, _NS_GET_PARENT = 0xB701, 0xB702
_PROC_FLAGS: Final = confine.MS_NOSUID | confine.MS_NODEV | confine.MS_NOEXEC


class NotAClone(OSError):
    """The process is refused."""


class Candidate:
    """A process that is said to be a clone. Everything is read through descriptors of this one process, and
    `alive` says afterwards that it was it all along."""

    def __init__(self, pidfd: int) -> None:
        """`pidfd` is anything that came over a socket; the caller closes it. Raises OSError."""
        self._pidfd = pidfd
        self.pid = _pid_of(pidfd)
        self._folder = os.open(f"/proc/{self.pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.namespaces: dict[str, int] = {}
        try:
            for name in (*clone_checks.NEW_NAMESPACES, "user"):
                flags = os.O_RDONLY | os.O_CLOEXEC
                self.namespaces[name] = os.open(f"ns/{name}", flags, dir_fd=self._folder)
            self.alive()
        except BaseException:
            self.close()
            raise

    def alive(self) -> None:
        """Raises ProcessLookupError when it has ended."""
        confine.pidfd_send_signal(self._pidfd, 0)

    def read(self, name: str) -> str:
        """A file of its folder in /proc."""
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        with open(fd, errors="replace") as file:
            return file.read()

    def facts(self) -> ProcessFacts:
        """What the kernel says of it."""
        facts = ProcessFacts(
            pid=self.pid,
            status=status_lines(self.read("status")),
            session=int(self.read("stat").rpartition(")")[2].split()[3]),
            namespaces={name: os.fstat(fd).st_ino for name, fd in self.namespaces.items()},
            owners={
                name: _related(self.namespaces[name], _NS_GET_USERNS) for name in clone_checks.NEW_NAMESPACES
            },
            parent_of_user=_related(self.namespaces["user"], _NS_GET_PARENT),
        )
        self.alive()
        return facts

    def resident_bytes(self) -> int:
        """Memory it holds, what it shares with the template included."""
        return int(self.read("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        """Closes what was opened."""
        for fd in (self._folder, *self.namespaces.values()):
            os.close(fd)
        self.namespaces.clear()


@contextlib.contextmanager
def candidate(pidfd: int) -> Iterator[Candidate]:
    """For the length of a block."""
    one = Candidate(pidfd)
    try:
        yield one
    finally:
        one.close()


def _pid_of(pidfd: int) -> int:
    try:
        confine.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        raise
    except OSError as error:
        raise NotAClone("it is no descriptor of a process") from error
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pid" and int(value) > 0:
            return int(value)
    raise NotAClone("it is no descriptor of a process in sight")


def status_lines(text: str) -> Mapping[str, str]:
    """/proc/PID/status, by name."""
    parts = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in parts}


def _related(namespace: int, request: int) -> int:
    """The inode number of the user namespace that owns another, or in which it was made; 0 for one that is
    out of this process's sight."""
    try:
        fd = fcntl.ioctl(namespace, request)
    except PermissionError:
        return 0
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


def own_depth() -> int:
    """Pid namespaces of this process, the machine's first one counted."""
    return len(status_lines(Path("/proc/self/status").read_text())["NSpid"].split())


def host_user_namespace() -> int:
    """That of this process."""
    return os.stat("/proc/self/ns/user").st_ino


def check_neighbours(clone: Candidate, pids: Iterable[int], depth: int) -> None:
    """Raises NotAClone when processes of the clone are among those of the template's cgroup."""
    found: list[tuple[int, int]] = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            status = status_lines(Path(f"/proc/{pid}/status").read_text())
            found.append((os.stat(f"/proc/{pid}/ns/pid").st_ino, len(status["NSpid"].split())))
        if len(found) > clone_checks.MAX_NEIGHBOURS:
            break
    own = os.fstat(clone.namespaces["pid"]).st_ino
    reason = clone_checks.neighbours_refusal(own, found, depth=depth)
    if reason is not None:
        raise NotAClone(reason)


def furnish(clone: Candidate, tmp_mount: int) -> None:
    """Mounts a /tmp and a /proc of its own in the clone, and limits its System V objects. Raises OSError.

    By a process that is in the clone's pid namespace for a moment, because a /proc shows the namespace of who
    makes it. It keeps root's privileges, which nothing in there can touch, and runs nothing of the clone."""
    told, tell = os.pipe2(os.O_CLOEXEC)
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        confine.setns(clone.namespaces["pid"], confine.CLONE_NEWPID)
        try:
            helper = os.fork()
            if helper == 0:
                _furnish_inside(clone, tmp_mount, tell)
        finally:
            confine.setns(own, confine.CLONE_NEWPID)
        os.close(tell)
        tell = -1
        answer = os.read(told, 1000)
        if answer != b"done":
            raise OSError(f"the clone can't be furnished: {answer.decode(errors='replace')}")
    finally:
        for fd in (told, tell, own):
            if fd >= 0:
                os.close(fd)


def _furnish_inside(clone: Candidate, tmp_mount: int, tell: int) -> None:
    try:
        confine.prctl(confine.PR_SET_DUMPABLE, 0)
        proc = confine.detached_mount("proc", {}, _PROC_FLAGS)
        confine.setns(clone.namespaces["ipc"], confine.CLONE_NEWIPC)
        limit_ipc()
        confine.setns(clone.namespaces["mnt"], confine.CLONE_NEWNS)
        confine.attach_mount(tmp_mount, "/tmp")
        confine.attach_mount(proc, "/proc")
        os.write(tell, b"done")
    except BaseException as error:
        os.write(tell, str(error).encode()[:1000])
    finally:
        os._exit(0)
