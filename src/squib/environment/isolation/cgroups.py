"""Control groups, version 1 and 2, behind one face: limits, freezing, killing, what was used.

One group per slot (`slot-N`) below a base of this squib's own. Everything goes through descriptors of the
base directories, so that fork servers, which see no /sys, can use it too. Standard library only, Python 3.9
syntax, nothing else of squib is imported.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator, Mapping

V1_CONTROLLERS = ("memory", "cpu", "pids", "freezer")
UNIFIED = "unified"
CPU_PERIOD_US = 100_000
_LIMITS = {  # by version; memory alone before memory and swap
    1: (
        ("memory", "memory.limit_in_bytes"),
        ("memory", "memory.memsw.limit_in_bytes"),
        ("pids", "pids.max"),
        ("cpu", "cpu.shares"),
        ("cpu", "cpu.cfs_period_us"),
        ("cpu", "cpu.cfs_quota_us"),
    ),
    2: tuple(
        (UNIFIED, file) for file in ("memory.max", "memory.swap.max", "pids.max", "cpu.weight", "cpu.max")
    ),
}


class Cgroups:
    """The groups of one squib. `bases` are open directory descriptors: four for version 1, one for 2."""

    def __init__(self, bases: Mapping[str, int]) -> None:
        self.bases = dict(bases)
        self.version = 2 if UNIFIED in self.bases else 1

    @property
    def _memory(self) -> int:
        return self.bases[UNIFIED if self.version == 2 else "memory"]

    def _write(self, controller: str, slot: int, file: str, value: str) -> None:
        base = self.bases[UNIFIED if self.version == 2 else controller]
        fd = os.open(f"slot-{slot}/{file}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=base)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def _read(self, controller: str, slot: int, file: str) -> str:
        base = self.bases[UNIFIED if self.version == 2 else controller]
        fd = os.open(f"slot-{slot}/{file}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=base)
        try:
            return os.read(fd, 65536).decode()
        finally:
            os.close(fd)

    def create(self, slot: int, *, owner_uid: int | None) -> None:
        """Makes the group of a slot; `owner_uid` may freeze it and nothing else. None: whoever makes it."""
        for base in self.bases.values():
            with contextlib.suppress(FileExistsError):
                os.mkdir(f"slot-{slot}", 0o755, dir_fd=base)
        if owner_uid is None:
            return
        if self.version == 2:
            os.chown(f"slot-{slot}/cgroup.freeze", owner_uid, -1, dir_fd=self.bases[UNIFIED])
        else:
            os.chown(f"slot-{slot}/freezer.state", owner_uid, -1, dir_fd=self.bases["freezer"])

    def limit(
        self, slot: int, *, memory_bytes: int, processes: int, cpu_shares: int, cpu_quota_us: int
    ) -> None:
        """Sets the limits of a slot. `cpu_shares` is a weight out of 1024 for one whole core; `cpu_quota_us`
        of each 100 ms, 0 for none. Swap counts as memory."""
        if self.version == 2:
            self._write(UNIFIED, slot, "memory.max", str(memory_bytes))
            quota = str(cpu_quota_us) if cpu_quota_us else "max"
            for file, value in (
                ("memory.swap.max", "0"),
                ("pids.max", str(processes)),
                ("cpu.weight", str(max(1, min(10_000, cpu_shares * 100 // 1024)))),
                ("cpu.max", f"{quota} {CPU_PERIOD_US}"),
            ):
                with contextlib.suppress(FileNotFoundError):  # no swap accounting, no such controller
                    self._write(UNIFIED, slot, file, value)
            return
        self._write("memory", slot, "memory.limit_in_bytes", str(memory_bytes))
        with contextlib.suppress(FileNotFoundError):  # a kernel without swap accounting
            self._write("memory", slot, "memory.memsw.limit_in_bytes", str(memory_bytes))
        self._write("pids", slot, "pids.max", str(processes))
        self._write("cpu", slot, "cpu.shares", str(max(2, cpu_shares)))
        if cpu_quota_us:
            self._write("cpu", slot, "cpu.cfs_period_us", str(CPU_PERIOD_US))
            self._write("cpu", slot, "cpu.cfs_quota_us", str(cpu_quota_us))

    def copy_limits(self, source: int, target: int) -> None:
        """Gives one slot the limits that another has."""
        for controller, file in _LIMITS[self.version]:
            try:
                value = self._read(controller, source, file)
            except FileNotFoundError:  # see limit
                continue
            self._write(controller, target, file, value)

    def take_in(self, slot: int, pid: int) -> None:
        """Moves a process, with all its threads, into the group of a slot."""
        for controller in self.bases:
            self._write(controller, slot, "cgroup.procs", str(pid))

    def open_procs(self, slot: int) -> list[int]:
        """Descriptors a process writes "0" to in order to enter the group."""
        return [
            os.open(f"slot-{slot}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=base)
            for base in self.bases.values()
        ]

    def processes(self, slot: int) -> list[int]:
        """The pids in the group, threads of one process once."""
        found: set[int] = set()
        for controller in self.bases:
            with contextlib.suppress(FileNotFoundError, OSError):
                found.update(int(line) for line in self._read(controller, slot, "cgroup.procs").split())
        return sorted(found - {0})

    def freeze(self, slot: int, frozen: bool) -> None:
        """Stops or releases every process of the group."""
        if self.version == 2:
            self._write(UNIFIED, slot, "cgroup.freeze", "1" if frozen else "0")
        else:
            self._write("freezer", slot, "freezer.state", "FROZEN" if frozen else "THAWED")

    def kill(self, slot: int) -> bool:
        """Sends SIGKILL to all of the group; True when there was nobody left to send it to.

        Killing takes a moment: call again until True."""
        if self.version == 2:
            try:
                self._write(UNIFIED, slot, "cgroup.kill", "1")
            except FileNotFoundError:  # before Linux 5.14
                self._signal(slot)
            except OSError as error:
                if error.errno != errno.ENODEV:  # being removed
                    raise
        else:
            with contextlib.suppress(FileNotFoundError, OSError):
                self.freeze(slot, False)  # a frozen task of version 1 does not die
            self._signal(slot)
        return not self.processes(slot)

    def kill_inside(self, slot: int) -> None:
        """Sends SIGKILL to all of the group but its first process, whose parent is outside of it."""
        with contextlib.suppress(FileNotFoundError, OSError):
            self.freeze(slot, False)
        group = set(self.processes(slot))
        for pid in group:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if _parent(pid) in group:
                    os.kill(pid, signal.SIGKILL)

    def _signal(self, slot: int) -> None:
        for pid in self.processes(slot):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self, slot: int) -> bool:
        """Removes the empty group of a slot; False when something is still in it."""
        gone = True
        for base in self.bases.values():
            try:
                os.rmdir(f"slot-{slot}", dir_fd=base)
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone

    def slots(self) -> Iterator[int]:
        """The slots that have a group, whoever made it."""
        found: set[int] = set()
        for base in self.bases.values():
            for name in os.listdir(base):
                if name.startswith("slot-") and name[5:].isdigit():
                    found.add(int(name[5:]))
        return iter(sorted(found))

    def open_peak(self, slot: int) -> int | None:
        """A descriptor whose text, read from the start, is the most bytes ever charged to the group."""
        for file in (
            ("memory.peak", "memory.current") if self.version == 2 else ("memory.max_usage_in_bytes",)
        ):
            with contextlib.suppress(FileNotFoundError):
                return os.open(f"slot-{slot}/{file}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._memory)
        return None

    def open_freezer(self, slot: int) -> tuple[int, bytes, bytes]:
        """A descriptor and what to write to it to freeze and to thaw."""
        if self.version == 2:
            fd = os.open(f"slot-{slot}/cgroup.freeze", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.bases[UNIFIED])
            return fd, b"1", b"0"
        fd = os.open(f"slot-{slot}/freezer.state", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.bases["freezer"])
        return fd, b"FROZEN", b"THAWED"

    def cache_bytes(self, slot: int) -> int:
        """Page cache charged to the group: file contents, given back by the kernel when memory is short."""
        names = ("file",) if self.version == 2 else ("total_cache",)
        for line in self._read("memory", slot, "memory.stat").splitlines():
            name, _, value = line.partition(" ")
            if name in names:
                return int(value)
        return 0

    def total_bytes(self) -> int:
        """Memory of all slots together, without page cache."""
        names = ("anon", "shmem") if self.version == 2 else ("total_rss", "total_shmem")
        fd = os.open("memory.stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._memory)
        try:
            lines = os.read(fd, 16_384).decode().splitlines()
        finally:
            os.close(fd)
        return sum(int(value) for name, _, value in (line.partition(" ") for line in lines) if name in names)

    def out_of_memory_kills(self, slot: int) -> int:
        """How many processes of the group the kernel has killed for want of memory."""
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        for line in self._read("memory", slot, file).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return 0

    def close(self) -> None:
        """Closes the base descriptors."""
        for fd in self.bases.values():
            os.close(fd)
        self.bases.clear()


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])


def open_bases(paths: Mapping[str, str]) -> Cgroups:
    """Opens bases that exist."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    return Cgroups({controller: os.open(path, flags) for controller, path in paths.items()})
