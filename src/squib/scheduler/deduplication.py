"""Which sends of a FIFO queue are repetitions of one that was accepted within the interval. Pure."""

from collections.abc import Iterator
from typing import Final, Generic, TypeAlias, TypeVar

from squib.model.queue_limits import DEDUPLICATION_MS
from squib.model.units import EpochMs

T = TypeVar("T")
Scoped: TypeAlias = tuple[str, str]
"""(scope, deduplication id): the scope is a message group, or empty for the whole queue."""

_EMPTY: Final = ""


def scoped(deduplication_id: str, group_id: str | None, *, is_per_group: bool) -> Scoped:
    """What a send is known by."""
    return (group_id or _EMPTY if is_per_group else _EMPTY, deduplication_id)


class Deduplication(Generic[T]):
    """What was accepted lately, in order of time."""

    def __init__(self) -> None:
        self._accepted: dict[Scoped, tuple[EpochMs, T]] = {}

    def __len__(self) -> int:
        return len(self._accepted)

    def find(self, name: Scoped, *, now_ms: EpochMs) -> T | None:
        """What the first send of that name was given, if its interval is not over."""
        found = self._accepted.get(name)
        if found is None or now_ms - found[0] >= DEDUPLICATION_MS:
            return None
        return found[1]

    def accept(self, name: Scoped, value: T, *, at_ms: EpochMs) -> None:
        """Remembers a first send."""
        self._accepted.pop(name, None)  # its interval is over: the new one goes to the end
        self._accepted[name] = (at_ms, value)

    def expire(self, *, now_ms: EpochMs) -> None:
        """Forgets those whose interval is over."""
        for name in list(self._over(now_ms)):
            del self._accepted[name]

    def _over(self, now_ms: EpochMs) -> Iterator[Scoped]:
        for name, (at_ms, _) in self._accepted.items():
            if now_ms - at_ms < DEDUPLICATION_MS:
                return
            yield name
