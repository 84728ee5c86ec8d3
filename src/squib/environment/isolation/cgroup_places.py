"""Where on this machine squib's control groups may be, and making the base that they lie in.

Version 1 wherever its controllers are mounted, else version 2. There root's squib has its base at the top,
unless a service manager has handed it a group of its own (systemd's `Delegate=`): then the base lies in that
one, which is also the only way for a squib without root.
"""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from squib.environment.isolation.cgroups import UNIFIED, V1_CONTROLLERS, Cgroups, open_bases

CONTROLLERS = ("memory", "pids", "cpu")
"""What version 2 is asked for; without the first there is no point in groups."""
MEMBERS = "squib-members"
"""For who was in the group that the base lies in: one with controllers for others can't hold processes."""
_DELEGATION_MARKS = ("user.delegate", "trusted.delegate")  # systemd sets both, an old one the second only
_MOVING_ATTEMPTS = 20  # who is to be moved may fork meanwhile


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted hierarchy: where, and which of its groups is seen there as the top."""

    point: str
    root: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where bases go: `parents` by controller, `UNIFIED` the only one of version 2. `is_own`: what runs in
    the parent itself may be moved, for it was handed to squib, or belongs to the container it is in."""

    parents: Mapping[str, str]
    is_own: bool = False

    def bases(self, name: str) -> dict[str, str]:
        """The folders of the base called `name`, by controller."""
        return {controller: f"{parent}/{name}" for controller, parent in self.parents.items()}

    @property
    def missing(self) -> list[str]:
        """The controllers that are not to be had here. Raises OSError."""
        if UNIFIED not in self.parents:
            return []
        offered = Path(self.parents[UNIFIED], "cgroup.controllers").read_text().split()
        return [controller for controller in CONTROLLERS if controller not in offered]


def find_mounts(mountinfo: str) -> dict[str, Mount]:
    """Controller -> its hierarchy; `unified` -> the version 2 one. From the text of /proc/self/mountinfo."""
    found: dict[str, Mount] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(kinds) < 3 or len(fields) < 5:
            continue
        mount = Mount(point=fields[4], root=fields[3])
        if kinds[0] == "cgroup2":
            found.setdefault(UNIFIED, mount)
        elif kinds[0] == "cgroup":
            for option in kinds[2].split(","):
                if option in V1_CONTROLLERS:
                    found.setdefault(option, mount)
    return found


def find_place(mountinfo: str, membership: str, is_delegated: Callable[[str], bool]) -> Place | None:
    """The place for a process with these /proc/self/mountinfo and /proc/self/cgroup; None when this machine
    can't limit. `is_delegated` tells of a folder whether it was handed to its processes."""
    mounts = find_mounts(mountinfo)
    if all(controller in mounts for controller in V1_CONTROLLERS):
        return Place({controller: mounts[controller].point for controller in V1_CONTROLLERS})
    if UNIFIED not in mounts or "memory" in mounts:
        return None
    top = mounts[UNIFIED].point
    own = _own_folder(mounts[UNIFIED], membership)
    if own is not None and own != top and is_delegated(own):
        return Place({UNIFIED: own}, is_own=True)
    return Place({UNIFIED: top}, is_own=own == top)


def _own_folder(mount: Mount, membership: str) -> str | None:
    for line in membership.splitlines():
        if not line.startswith("0::"):
            continue
        path, root = line[3:], mount.root.rstrip("/")
        if "/.." in path or not f"{path}/".startswith(f"{root}/"):  # not below what is mounted
            return None
        own = mount.point + path[len(root) :].rstrip("/")
        return os.path.dirname(own) if os.path.basename(own) == MEMBERS else own
    return None


def is_delegated(folder: str) -> bool:
    """Whether a group was handed to this process: marked so by a service manager, or, for a user's own
    manager marks nothing, writable for this account and with nobody in it but squib."""
    for mark in _DELEGATION_MARKS:
        try:
            if os.getxattr(folder, mark) == b"1":
                return True
        except OSError:
            continue
    if os.geteuid() == 0:  # may write to all of them
        return False
    own = {str(os.getpid()), str(os.getppid())}
    try:
        is_writable = all(
            os.access(f"{folder}/cgroup.{name}", os.W_OK) for name in ("procs", "subtree_control")
        )
        return is_writable and own.issuperset(Path(folder, "cgroup.procs").read_text().split())
    except OSError:
        return False


def this_place() -> Place | None:
    """The place for this process."""
    mountinfo, membership = (Path(f"/proc/self/{name}").read_text() for name in ("mountinfo", "cgroup"))
    return find_place(mountinfo, membership, is_delegated)


def make_base(place: Place, name: str) -> Cgroups:
    """Makes the base and, for version 2, hands the controllers down that there are. Raises OSError when the
    machine does not allow it."""
    paths = place.bases(name)
    if UNIFIED in paths:
        missing = place.missing
        if "memory" in missing:
            raise OSError(f"{place.parents[UNIFIED]} has no memory controller")
        wanted = [controller for controller in CONTROLLERS if controller not in missing]
        hand_down(place.parents[UNIFIED], wanted, may_move=place.is_own)
        os.makedirs(paths[UNIFIED], exist_ok=True)
        hand_down(paths[UNIFIED], wanted, may_move=False)
    else:
        for path in paths.values():
            os.makedirs(path, exist_ok=True)
    return open_bases(paths)


def hand_down(folder: str, controllers: list[str], *, may_move: bool) -> None:
    """Gives groups in `folder` these controllers. Processes in `folder` itself are in the way of that (unless
    it is the machine's topmost group); they are moved when they may be. Raises OSError."""
    control = Path(folder, "cgroup.subtree_control")
    if set(controllers) <= set(control.read_text().split()):
        return
    text = " ".join(f"+{controller}" for controller in controllers)
    for _ in range(_MOVING_ATTEMPTS):
        try:
            control.write_text(text)
        except OSError as error:
            if error.errno != errno.EBUSY or not may_move:
                raise
            _move_members(folder)
        else:
            return
    raise OSError(errno.EBUSY, "processes keep coming", folder)


def _move_members(folder: str) -> None:
    members = Path(folder, MEMBERS)
    members.mkdir(exist_ok=True)
    for pid in Path(folder, "cgroup.procs").read_text().split():
        try:
            (members / "cgroup.procs").write_text(pid)
        except OSError as error:
            if error.errno != errno.ESRCH:  # it has ended
                raise
