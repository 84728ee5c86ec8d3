"""What the kernel lets squib do, each thing tried for real in a child process that is thrown away.

The child uses the same code as the sandboxes do, so that a probe that passes means what it says. Nothing
is left behind: what a child makes lives in namespaces of its own, or is removed by its parent.
"""

import contextlib
import json
import os
import select
import signal
import socket
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ATTEMPT_LIMIT_S: Final = 10.0

NAMESPACES: Final = {
    "mount": 0x0002_0000,
    "uts": 0x0400_0000,
    "ipc": 0x0800_0000,
    "pid": 0x2000_0000,
    "net": 0x4000_0000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended; `detail` is what it said, or why it failed."""

    worked: bool
    detail: str
    timed_out: bool = False


def attempt(action: Callable[[], str], *, limit_s: float = ATTEMPT_LIMIT_S) -> Outcome:
    """Runs `action` in a forked child and gives what it returned or raised; kills it after `limit_s`."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():  # other threads may exist: the child uses nothing that they could hold
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _be_the_child(action, reader, writer)
    os.close(writer)
    try:
        content = _read_until(reader, time.monotonic() + limit_s)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if content is None:
        return Outcome(worked=False, detail=f"no end within {limit_s:g} s", timed_out=True)
    if not content:
        ended = os.waitstatus_to_exitcode(status)
        return Outcome(worked=False, detail=f"the attempt ended with status {ended}")
    worked, detail = json.loads(content)
    return Outcome(worked=worked, detail=detail)


def _be_the_child(action: Callable[[], str], reader: int, writer: int) -> None:
    try:
        os.close(reader)
        try:
            answer = [True, action()]
        except BaseException as error:
            answer = [False, str(error) or type(error).__name__]
        os.write(writer, json.dumps(answer).encode())
    finally:
        os._exit(0)


def _read_until(reader: int, deadline_s: float) -> bytes | None:
    """All that is written up to the end; None when the deadline comes first."""
    content = b""
    while True:
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0 or not select.select([reader], [], [], remaining_s)[0]:
            return None
        piece = os.read(reader, 65536)
        if not piece:
            return content
        content += piece


def become_able() -> None:
    """Root as it is; anybody else becomes root of a user namespace, as rootless sandboxes do."""
    from squib.environment.isolation import confine

    if os.geteuid() != 0:
        confine.enter_user_namespace()


def user_namespace() -> str:
    """A user namespace of one's own, in which one may do what root may (AppArmor can take that away)."""
    from squib.environment.isolation import confine

    confine.enter_user_namespace()
    confine.unshare(confine.CLONE_NEWUTS)
    return "an account can be root in one of its own"


def namespace(kind: str) -> str:
    """One namespace of `kind`, put to use."""
    from squib.environment.isolation import confine

    become_able()
    confine.unshare(NAMESPACES[kind])
    if kind == "mount":
        confine.mount(None, "/", None, confine.MS_REC | confine.MS_PRIVATE)
        confine.mount("tmpfs", "/tmp", "tmpfs", confine.MS_NOSUID | confine.MS_NODEV, "size=1m")
        return "a file system was mounted in one"
    if kind == "pid":
        pid = os.fork()
        if pid == 0:
            os._exit(0 if os.getpid() == 1 else 1)
        if os.waitpid(pid, 0)[1] != 0:
            raise OSError("the first process in it is not process 1")
        return "a process was started in one"
    if kind == "net":
        confine.loopback_up()
        with socket.create_server(("127.0.0.1", 9001)):
            return "127.0.0.1:9001 was bound in one"
    return "entered"


def system_call_filter() -> str:
    """The sandboxes' own seccomp filter, put on and felt."""
    from squib.environment.isolation import confine

    confine.no_new_privileges()
    confine.filter_system_calls()
    try:
        confine.unshare(confine.CLONE_NEWUTS)
    except PermissionError:
        return "the filter of the sandboxes is in force"
    raise OSError("the filter was installed but refuses nothing")


def outside_network() -> str:
    """Firewall, address translation and a pair of interfaces, all in a network namespace of its own."""
    from squib.environment.isolation import confine, network

    if os.geteuid() != 0:
        raise OSError("only root can connect sandboxes to the machine's network")
    confine.unshare(confine.CLONE_NEWNET)
    plan = network.NetworkPlan(tag="d0c7", outside=True)
    network.firewall(plan)
    network.SlotNetwork(plan, 0).close()
    return "forwarding and address translation work"


def loop_file_system(folder: Path) -> str:
    """An ext4 on a loop device, as a function's /tmp is. Writes to `folder`, which the caller removes."""
    from squib.environment.isolation import confine
    from squib.environment.isolation.tmp_images import TmpImages

    confine.unshare(confine.CLONE_NEWNS)
    confine.mount(None, "/", None, confine.MS_REC | confine.MS_PRIVATE)
    TmpImages(folder).make(16).close()
    return "a file system on a loop device was made and mounted"


def overlay_file_system(folder: Path) -> str:
    """An overlay mount over `folder`, which the caller removes."""
    from squib.environment.isolation import confine

    become_able()
    confine.unshare(confine.CLONE_NEWNS)
    confine.mount(None, "/", None, confine.MS_REC | confine.MS_PRIVATE)
    confine.mount("tmpfs", str(folder), "tmpfs", 0, "size=1m")
    for name in ("lower", "upper", "work", "merged"):
        (folder / name).mkdir()
    options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    confine.mount("overlay", f"{folder}/merged", "overlay", 0, options)
    return "an overlay was mounted"


def control_groups(name: str) -> str:
    """Groups called `name` with limits in them; the caller removes what is left of them.

    Of version 2 it is only looked at where a test would change a group that is not squib's."""
    from squib.environment.isolation import cgroup_places, cgroups

    place = cgroup_places.this_place()
    if place is None:
        raise OSError("no cgroup hierarchy with a memory controller is mounted")
    told = "version 1: memory, cpu, pids and freezer"
    if cgroups.UNIFIED in place.parents:
        parent = Path(place.parents[cgroups.UNIFIED])
        wanted = [one for one in cgroup_places.CONTROLLERS if one not in place.missing]
        told = f"version 2 in {parent}: {', '.join(wanted)}"
        (parent / name).mkdir()
        if not hands_down(parent, wanted, may_move=place.is_own):
            return told
    groups = cgroup_places.make_base(place, name)
    groups.create(0, owner_uid=os.geteuid())
    groups.limit(0, memory_bytes=1 << 27, processes=64, cpu_shares=72, cpu_quota_us=7200)
    groups.freeze(0, True)
    groups.freeze(0, False)
    if not groups.remove(0):
        raise OSError("a control group can't be removed")
    return told


def hands_down(parent: Path, wanted: Sequence[str], *, may_move: bool) -> bool:
    """Whether a version 2 group gives `wanted` to those in it already. Raises OSError when it never can."""
    if "memory" not in wanted:
        raise OSError(f"version 2: {parent} has no memory controller")
    control = parent / "cgroup.subtree_control"
    if set(wanted) <= set(control.read_text().split()):
        return True
    is_top = not (parent / "cgroup.type").exists()
    if not os.access(control, os.W_OK):
        raise OSError(f"version 2: {parent} hands no controllers down and is not ours to change")
    if not is_top and not may_move and (parent / "cgroup.procs").read_text().strip():
        raise OSError(f"version 2: {parent} holds processes, so it can't hand controllers down")
    return False


def remove_control_groups(name: str) -> None:
    """Removes what a failed or killed attempt left."""
    from squib.environment.isolation import cgroup_places

    place = cgroup_places.this_place()
    for path in place.bases(name).values() if place is not None else ():
        for folder in (f"{path}/slot-0", path):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
