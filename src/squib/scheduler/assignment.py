"""Which environment serves an invocation on this node, and which idle one makes room for a new one."""

from collections.abc import Iterable
from enum import Enum, auto
from typing import TypeVar

T = TypeVar("T")


class Assignment(Enum):
    """What to do with an invocation that has no environment yet."""

    REUSE = auto()  # an idle environment of the version takes it
    START = auto()  # it waits, and one more environment is started
    EVICT_AND_START = auto()  # the same, after the idle environment longest unused was stopped
    WAIT = auto()  # it waits for one that is starting or busy
    START_LATER = auto()  # it waits; one is started when fewer are being made, if it still waits then
    REFUSE = auto()  # nothing here will ever free an environment for it


def assign(
    *,
    idle_count: int,
    starting_count: int,
    waiting_count: int,
    busy_count: int,
    has_room: bool,
    evictable_count: int,
    may_make: bool,
) -> Assignment:
    """The first four counts are of the version: environments that can take an invocation, that initialize,
    and that have one; invocations that wait, this one not included. `has_room`: for one more environment;
    `evictable_count`: the idle ones of other versions. `may_make`: not too many are being made."""
    if idle_count > 0:
        return Assignment.REUSE
    if starting_count > waiting_count:
        return Assignment.WAIT  # one that is starting already is not spoken for
    if not may_make:
        return Assignment.START_LATER
    if has_room:
        return Assignment.START
    if evictable_count > 0:
        return Assignment.EVICT_AND_START
    if starting_count + busy_count > 0:
        return Assignment.WAIT
    return Assignment.REFUSE


def least_recently_used(idle: Iterable[tuple[float, T]]) -> T | None:
    """The one with the smallest time of last use; None when there is none."""
    best: tuple[float, T] | None = None
    for entry in idle:
        if best is None or entry[0] < best[0]:
            best = entry
    return None if best is None else best[1]
