"""When to look at what: one timer for all that time alone changes, and a heap that says whose turn it is."""

import asyncio
import heapq
import logging
from collections.abc import Callable
from itertools import count
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from squib.clock import Clock

NEVER: Final = float("inf")
_log: Final = logging.getLogger("squib.environment")
_AT_MS, _WHO = 0, 2  # of an _Entry
_FEW: Final = 64  # squib's choice: so few outdated entries are not worth clearing away


class Timed(Protocol):
    """Something that has to be looked at from time to time."""

    due_at_ms: float
    """The sweeper's own: when it will be, monotonic. `NEVER` at first."""


T = TypeVar("T", bound=Timed)


_Entry: TypeAlias = list[Any]
"""A place in the heap: when, a number, and who; None when that is no longer the time that counts. A list,
because those are compared quickly."""


class Sweeper(Generic[T]):
    """Owned by the pool. It looks at what is due, and at nothing else.

    Whoever is to be looked at earlier than it was said before gets another entry; the one before is emptied,
    and passed over when its time comes."""

    def __init__(
        self, clock: Clock, loop: asyncio.AbstractEventLoop, look: Callable[[T, float], float]
    ) -> None:
        """`look` is given one that is due and the time, and gives back when it is next; earlier than that
        when `due` was called meanwhile."""
        self._clock, self._loop, self._look = clock, loop, look
        self._heap: list[_Entry] = []
        self._entries: dict[T, _Entry] = {}  # of those that are due at some time
        self._numbers = count()  # of two with the same time the one that came first
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ms = NEVER

    def due(self, one: T, at_ms: float) -> None:
        """Looks at it at that monotonic time, or earlier."""
        if at_ms >= one.due_at_ms:
            return
        self._empty(one)
        one.due_at_ms = at_ms
        entry = self._entries[one] = [at_ms, next(self._numbers), one]
        heapq.heappush(self._heap, entry)
        self._clear()
        if at_ms < self._timer_at_ms:
            self._set_timer(at_ms)

    def forget(self, one: T) -> None:
        """Looks at it no more."""
        one.due_at_ms = NEVER
        self._empty(one)
        self._clear()

    def stop(self) -> None:
        """Looks at nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _empty(self, one: T) -> None:
        entry = self._entries.pop(one, None)
        if entry is not None:
            entry[_WHO] = None

    def _clear(self) -> None:
        if len(self._heap) > _FEW + 2 * len(self._entries):
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def _set_timer(self, at_ms: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_ms = at_ms
        delay_s = max(0.0, at_ms - self._clock.monotonic_ms()) / 1000
        self._timer = self._loop.call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        self._timer, self._timer_at_ms = None, NEVER
        now_ms = self._clock.monotonic_ms()
        for one in self._take(now_ms):
            try:
                self.due(one, self._look(one, now_ms))
            except Exception:  # the others are due all the same
                _log.exception("sweep_failed")
        heap = self._heap
        while heap and heap[0][_WHO] is None:
            heapq.heappop(heap)
        if heap and heap[0][_AT_MS] < self._timer_at_ms:
            self._set_timer(heap[0][_AT_MS])

    def _take(self, now_ms: float) -> list[T]:
        heap, taken = self._heap, []
        while heap and heap[0][_AT_MS] <= now_ms:
            one = heapq.heappop(heap)[_WHO]
            if one is not None:
                del self._entries[one]
                one.due_at_ms = NEVER
                taken.append(one)
        return taken
