"""What a squib leaves on the machine, seen from outside: processes, cgroups, interfaces, loop devices.

Everything is told apart by squib, since several may run at the same time: by parentage, by the number that
its launcher has claimed, and by its data directory.
"""

import glob
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

Value = TypeVar("Value")
PATIENCE: Final = float(os.environ.get("TEST_PATIENCE", "1"))
"""How many times longer than elsewhere all may take: more than 1 where processors are emulated."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from a later one of the same id by its start."""

    pid: int
    parent: int
    started_ticks: int
    command: str

    def is_alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        now = _process(self.pid)
        return now is not None and now.started_ticks == self.started_ticks


def _process(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[1]), int(fields[19]), command.strip() or f"[{name}]")


def all_processes() -> list[Process]:
    """Every process of the machine that is not a zombie."""
    found = (_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None]


def pid_namespace(process: Process) -> int | None:
    """Its process namespace; None when it has ended."""
    try:
        return os.stat(f"/proc/{process.pid}/ns/pid").st_ino
    except OSError:
        return None


def descendants(pid: int) -> list[Process]:
    """The processes below `pid`, parents before children."""
    children: dict[int, list[Process]] = {}
    for process in all_processes():
        children.setdefault(process.parent, []).append(process)
    found, ahead = [], [pid]
    while ahead:
        below = children.get(ahead.pop(0), [])
        found += below
        ahead += [process.pid for process in below]
    return found


def eventually(check: Callable[[], Value], *, within_s: float = 10.0, what: str = "") -> Value:
    """The first true value of `check`, asked again and again. Fails when it stays false for `within_s`."""
    deadline = time.monotonic() + within_s * PATIENCE
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or check}")
        time.sleep(0.02)  # between two looks at the outside world, which can't call back


def claimed_tag(pid: int) -> str | None:
    """The number that the launcher with this pid has claimed: the name of its abstract socket."""
    inodes = set()
    for fd in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and fields[6] in inodes and fields[7].startswith("@squib-"):
            return fields[7].removeprefix("@squib-")
    return None


def is_claimed(tag: str) -> bool:
    """Whether a living launcher has this number."""
    return any(line.endswith(f" @squib-{tag}") for line in Path("/proc/net/unix").read_text().splitlines())


def cgroup_directories(tag: str) -> list[str]:
    """The cgroups of one squib."""
    return sorted(glob.glob(f"/sys/fs/cgroup/**/squib-{tag}/", recursive=True))


def _interfaces(tag: str) -> list[str]:
    return [name for name in os.listdir("/sys/class/net") if name.startswith(f"squib{tag}-")]


def _tables(tag: str) -> list[str]:
    try:
        listing = subprocess.run(
            ["nft", "list", "tables"], check=False, capture_output=True, text=True, timeout=10 * PATIENCE
        )
    except FileNotFoundError:
        return []
    return [line for line in listing.stdout.splitlines() if line.endswith(f"squib_{tag}")]


def _mounts(data_dir: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(data_dir) in line]


def loop_devices(data_dir: Path) -> list[str]:
    """Loop devices over files of a data directory, deleted ones included."""
    found = []
    for file in glob.glob("/sys/block/loop*/loop/backing_file"):
        try:
            backing = Path(file).read_text().strip()
        except OSError:
            continue
        if backing.startswith(str(data_dir)):
            found.append(f"{file.split('/')[3]}: {backing}")
    return found


def temporary_files(data_dir: Path) -> list[str]:
    """Files that only a running squib has use for."""
    run = data_dir / "run"
    found = [str(path) for path in run.rglob("*") if path.is_file()] if run.exists() else []
    return found + [
        str(path) for path in data_dir.rglob("*") if path.name.endswith((".tmp", ".new", ".part"))
    ]


def leftovers(data_dir: Path, tags: Iterable[str], processes: Iterable[Process]) -> dict[str, list[str]]:
    """What is left of a squib that has ended, by kind; empty when nothing is."""
    found = {
        "processes": [
            f"{process.pid} {process.command[:100]}" for process in processes if process.is_alive()
        ],
        "mounts": _mounts(data_dir),
        "loop devices": loop_devices(data_dir),
        "temporary files": temporary_files(data_dir),
    }
    for tag in tags:
        if is_claimed(tag):  # another squib of this machine has taken the number over
            continue
        found.setdefault("cgroups", []).extend(cgroup_directories(tag))
        found.setdefault("interfaces", []).extend(_interfaces(tag))
        found.setdefault("tables", []).extend(_tables(tag))
    return {kind: things for kind, things in found.items() if things}


def assert_nothing_left(
    data_dir: Path, tags: Iterable[str], processes: Iterable[Process], *, within_s: float = 15.0
) -> None:
    """Fails when something of an ended squib stays; the kernel may take a moment to clean up."""
    tags, processes = list(tags), list(processes)
    deadline = time.monotonic() + within_s * PATIENCE
    while found := leftovers(data_dir, tags, processes):
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind: {found}")
        time.sleep(0.05)  # see eventually
