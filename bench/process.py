"""Processes of the contestants: starting them, waiting for them, ending all of them, and their memory."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POLL_S: Final = 0.002
SETTLE_S: Final = 0.5  # until a process that has just worked is idle
PR_SET_CHILD_SUBREAPER: Final = 36
GRACE_S: Final = 15.0  # for an orderly end


class NotReady(Exception):
    """A contestant did not come up in time; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: str


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on, or None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def identity(pid: int) -> Identity | None:
    """The process now behind this number; None when there is none or it is a zombie."""
    stat = _stat(pid)
    return None if stat is None or stat[0] == "Z" else Identity(pid, stat[19])


def descendants(root: int) -> list[int]:
    """`root` and everything below it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))):
            children.setdefault(int(stat[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def session_members(session: int) -> list[int]:
    """All processes of a session."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if (stat := _stat(pid)) and stat[3] == str(session)]


def sandbox_processes(namespace: str, pid: int) -> list[int]:
    """All processes of a PID namespace (as /proc/PID/ns/pid reads); `pid` and its own when that is ours."""
    if namespace == os.readlink("/proc/self/ns/pid"):
        return descendants(pid)
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                found.append(int(entry))
        except OSError:
            continue  # gone, or not ours to look at
    return found


def outside_environments(pids: Iterable[int]) -> list[int]:
    """Those that run no function: in our PID namespace, or alone in theirs (a sandbox kept ready)."""
    members: dict[str, list[int]] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            members.setdefault(os.readlink(f"/proc/{pid}/ns/pid"), []).append(pid)
    ours = members.pop(os.readlink("/proc/self/ns/pid"), [])
    return [*ours, *(pid for alone in members.values() if len(alone) == 1 for pid in alone)]


class Server:
    """A process with all that it starts, its output in one file."""

    def __init__(
        self, command: Sequence[str], *, log: Path, environ: Mapping[str, str], directory: Path | None = None
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                cwd=directory,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def processes(self) -> list[int]:
        """Its processes that live now."""
        return [pid for pid in descendants(self.pid) if identity(pid)]

    def wait_for_line(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """The first match in its output. Raises NotReady."""
        found: list[re.Match[str]] = []

        def appears() -> bool:
            if match := re.search(pattern, self.log.read_text(errors="replace"), re.MULTILINE):
                found.append(match)
            return bool(found)

        self.wait_until(appears, timeout_s, f"a line like {pattern}")
        return found[0]

    def wait_until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Polls until the condition holds. Raises NotReady when the process ends or the time is over."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            if (status := self._process.poll()) is not None:
                raise NotReady(f"ended with status {status} before {what}\n{self.log_end()}")
            if time.monotonic() > end_s:
                raise NotReady(f"no {what} within {timeout_s:.0f} s\n{self.log_end()}")
            time.sleep(POLL_S)

    def log_end(self) -> str:
        """The last lines of its output."""
        lines = self.log.read_text(errors="replace").splitlines()[-12:]
        return "\n".join(f"    | {line[:300]}" for line in lines)

    def kill(self) -> None:
        """Ends the process at once and reaps it; for processes that start no others."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Ends it in good order, then by force; returns how many processes it had left behind."""
        known = self._identities()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            known |= self._identities()
            self.kill()
        settled_s = time.monotonic() + 1.0
        while (left := _alive(known)) and time.monotonic() < settled_s:
            time.sleep(POLL_S)
        for process in left:
            _kill(process)
        return len(left)

    def _identities(self) -> set[Identity]:
        """Everything below it, and what of its session has lost its parent."""
        pids = [*descendants(self.pid), *session_members(self.pid)]
        return {found for pid in pids if (found := identity(pid))}


def adopt_orphans() -> None:
    """Makes this process the parent of whatever its servers leave behind, so that `end_orphans` finds it."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def end_orphans() -> int:
    """Kills and reaps every process below this one; returns how many were still running."""
    killed: set[Identity] = set()
    while below := descendants(os.getpid())[1:]:
        for process in {found for pid in below if (found := identity(pid))} - killed:
            killed.add(process)
            _kill(process)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(POLL_S)
    return len(killed)


def _kill(process: Identity) -> None:
    if identity(process.pid) == process:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _alive(processes: Iterable[Identity]) -> list[Identity]:
    return [process for process in processes if identity(process.pid) == process]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of some processes, added up."""

    resident_mib: float
    """RSS: pages shared between the processes count once for each."""
    proportional_mib: float
    """PSS: shared pages are divided among those that share them."""
    own_mib: float
    """USS: what no other process maps; given back when these end."""
    anonymous_mib: float


def memory(pids: Iterable[int]) -> Memory:
    """Sums over the processes that still live."""
    sums: dict[str, int] = {}
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for name, kib in re.findall(r"^(\w+): +(\d+) kB$", rollup, re.MULTILINE):
            sums[name] = sums.get(name, 0) + int(kib)
    return Memory(
        resident_mib=sums.get("Rss", 0) / 1024,
        proportional_mib=sums.get("Pss", 0) / 1024,
        own_mib=(sums.get("Private_Dirty", 0) + sums.get("Private_Clean", 0)) / 1024,
        anonymous_mib=sums.get("Anonymous", 0) / 1024,
    )


def idle_memory(server: Server) -> Memory:
    """Of all processes of a server that has just come up, once it has settled."""
    time.sleep(2 * SETTLE_S)
    return memory(server.processes())


def busy_percent(period_s: float = 1.0) -> float:
    """How much of all processors something used over the period; unlike the load average it does not count
    frozen processes."""

    def counters() -> tuple[int, int]:
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]  # all of them; idle and waiting for disks

    total, idle = counters()
    time.sleep(period_s)
    total_after, idle_after = counters()
    return 100 * (1 - (idle_after - idle) / max(1, total_after - total))


def memory_cgroup(pid: int) -> Path | None:
    """The file that says what the process's memory cgroup uses now, on either version of cgroups."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            candidate = Path(f"/sys/fs/cgroup/memory{path}/memory.usage_in_bytes")
        elif not controllers:
            candidate = Path(f"/sys/fs/cgroup{path}/memory.current")
        else:
            continue
        if candidate.exists():
            return candidate
    return None
