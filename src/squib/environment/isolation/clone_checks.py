"""What a process must be to be taken in as the clone of a template, by what the kernel says of it. Pure.

A template has run hostile code and says what it likes. What these checks let through is held as tightly as a
function's process that squib has forked itself.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

NEW_NAMESPACES: Final = ("mnt", "pid", "net", "ipc", "uts")
CAPABILITY_SETS: Final = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
MAX_NEIGHBOURS: Final = (
    64  # squib's choice: a well-behaved template has itself, init, and clones on their way
)
_SECCOMP_FILTER: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """What /proc says of a process. Namespaces by their inode numbers, which the machine gives only once."""

    pid: int
    status: Mapping[str, str]
    """The lines of /proc/PID/status."""
    session: int
    namespaces: Mapping[str, int]
    owners: Mapping[str, int]
    """The user namespaces to which those in NEW_NAMESPACES belong."""
    parent_of_user: int
    """The user namespace in which that of the process was made."""


def refusal(
    facts: ProcessFacts, *, uid: int, depth: int, host_user: int, members: Collection[int]
) -> str | None:
    """Why the process is no clone of the template; None when it is one. `uid`: the template's account.
    `depth`: pid namespaces above the sandbox's own. `members`: the pids in the template's cgroup."""
    status = facts.status
    account = [str(uid)] * 4
    pids = status["NSpid"].split()
    user = facts.namespaces["user"]
    if facts.pid not in members:
        return "it is not in the template's cgroup"
    if status["Uid"].split() != account or status["Gid"].split() != account or status["Groups"].split():
        return "it is of another account"
    if user == host_user or facts.parent_of_user != host_user:
        return "it is in another user namespace"
    if any(int(status[name], 16) for name in CAPABILITY_SETS):
        return "it has capabilities"
    if status["NoNewPrivs"] != "1" or int(status["Seccomp"]) != _SECCOMP_FILTER:
        return "it is not held by the filter"
    if len(pids) != depth + 2 or pids[-1] != "1":
        return "it is not the first of a pid namespace of its own"
    if facts.session != facts.pid:
        return "it is in the session of another"
    if any(facts.owners[name] != user for name in NEW_NAMESPACES):
        return "it shares namespaces with the template"
    if status["Threads"] != "1":
        return "it has several threads"
    return None


def neighbours_refusal(
    pid_namespace: int, neighbours: Collection[tuple[int, int]], *, depth: int
) -> str | None:
    """Why what else is in the template's cgroup forbids to take the clone in, once it has left that itself:
    nothing of it may stay behind. `neighbours`: pid namespace and its depth, of each process."""
    if len(neighbours) > MAX_NEIGHBOURS:
        return "the template has too many processes"
    for namespace, its_depth in neighbours:
        if namespace == pid_namespace or its_depth > depth + 2:
            return "it has left processes behind"
    return None
