"""Whether a process can go on in forks of itself, and what has to be done to what it holds open. Pure.

For the function's owner's benefit only: a process that lies here spoils its own clones. Standard library
only, Python 3.9 syntax.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_UNIX, _INET, _INET6, _STREAM, _DATAGRAM = 1, 2, 10, 1, 2
_NAMES = {
    "[eventpoll]": "an epoll object, as event loops have",
    "[eventfd]": "an eventfd",
    "[timerfd]": "a timer descriptor",
    "[signalfd]": "a signal descriptor",
    "inotify": "a watch of files (inotify)",
    "[pidfd]": "a descriptor of a process",
}


class SocketFacts(NamedTuple):
    """What the kernel says of a socket."""

    family: int
    kind: int
    listens: bool
    has_peer: bool


class Descriptor(NamedTuple):
    """An open descriptor: `target` is what /proc/self/fd shows."""

    number: int
    target: str
    is_regular: bool = False
    is_folder: bool = False
    socket: SocketFacts | None = None


class Treatment(enum.Enum):
    """What becomes of a descriptor."""

    KEEP = "keep"
    SHUT = "shut down before the snapshot: connections do not survive it"
    RENEW = "made anew in each clone: a socket belongs to the network it was made in"
    REOPEN = "opened anew in each clone, which else shared its position with the others"


class Plan(NamedTuple):
    """`refusal`: why there can be no clones; None when all is well."""

    refusal: str | None
    shut: tuple[int, ...] = ()
    renew: tuple[int, ...] = ()
    reopen: tuple[int, ...] = ()


def plan(
    descriptors: Iterable[Descriptor],
    *,
    threads: int,
    has_children: bool,
    maps: Sequence[str],
    in_memory: Sequence[str] = (),
) -> Plan:
    """`descriptors`: all but the platform's own. `threads`: those of the process, its main one counted.
    `maps`: the lines of /proc/self/maps. `in_memory`: what is in a /tmp that no clone is given a copy of."""
    if threads > 1:
        others = "a thread" if threads == 2 else f"{threads - 1} threads"
        return Plan(f"initialization has left {others} running, which a snapshot by fork can't keep")
    if has_children:
        return Plan("initialization has left a child process, which a snapshot by fork can't keep")
    shared = next((line for line in maps if shares_memory(line)), None)
    if shared is not None:
        name = shared.split(None, 5)[5:] or ["anonymous"]
        return Plan(f"initialization has left shared memory ({name[0]}), which clones would share")
    if in_memory:
        written = f"/tmp/{in_memory[0]}"
        return Plan(
            f"initialization has written {written}, and this machine keeps /tmp in memory: it can't be copied"
        )
    numbers: dict[Treatment, list[int]] = {treatment: [] for treatment in Treatment}
    for one in descriptors:
        treatment = treat(one)
        if isinstance(treatment, str):
            return Plan(f"initialization has left {treatment} open, which a snapshot by fork can't keep")
        numbers[treatment].append(one.number)
    shut, renew, reopen = (
        tuple(numbers[treatment]) for treatment in (Treatment.SHUT, Treatment.RENEW, Treatment.REOPEN)
    )
    return Plan(None, shut, renew, reopen)


def shares_memory(line: str) -> bool:
    """A line of /proc/self/maps: memory that this process may write to and a fork of it sees."""
    return line.split(None, 2)[1][1::2] == "ws"


def is_in_memory(mounts: Iterable[str], folder: str) -> bool:
    """What is mounted on a folder last is a tmpfs; `mounts` are the lines of /proc/self/mounts."""
    kinds = [kind for _, where, kind, *_ in map(str.split, mounts) if where == folder]
    return kinds[-1:] == ["tmpfs"]


def treat(one: Descriptor) -> Treatment | str:
    """What becomes of it; the text names one that can't be kept."""
    if one.socket is not None:
        return _treat_socket(one.socket)
    if one.is_regular or one.is_folder:
        if one.target.endswith(" (deleted)"):
            return f"a file that has been deleted ({one.target[:-10]})"
        return Treatment.REOPEN
    if one.target.startswith("pipe:"):
        return "a pipe"
    if one.target.startswith("anon_inode:"):
        kind = one.target[len("anon_inode:") :]
        return _NAMES.get(kind, f"a descriptor of the kind {kind}")
    if one.target.startswith("/dev/"):
        return Treatment.KEEP
    return f"a descriptor of the kind {one.target}"


def _treat_socket(facts: SocketFacts) -> Treatment | str:
    if facts.family == _UNIX:
        return "a UNIX socket, as event loops have"
    if facts.family not in (_INET, _INET6):
        return f"a socket of the family {facts.family}"
    if facts.listens:
        return "a listening socket"
    if facts.kind == _STREAM and facts.has_peer:
        return Treatment.SHUT
    if facts.kind in (_STREAM, _DATAGRAM):
        return Treatment.RENEW
    return f"a socket of the type {facts.kind}"


def inside_path(target: str, pid: int) -> str:
    """The path by which a clone finds the file: of what a process sees of itself, its own."""
    own = f"/proc/{pid}"
    return f"/proc/self{target[len(own) :]}" if os.path.commonpath([target, own]) == own else target
