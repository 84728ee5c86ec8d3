"""Events that wait: for their time, for their turn, for their function's concurrency. Pure, and in memory.

Each function has a lane; lanes with something to do take turns, so that a function with a long backlog holds
up nobody but itself. A lane is blocked as a whole when its function is throttled.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Generic, TypeVar

from squib.model.function import FunctionKey
from squib.model.units import EpochMs

T = TypeVar("T")


class Lane(Generic[T]):
    """What one function has to do."""

    __slots__ = ("blocked_until_ms", "function", "is_queued", "ready", "refusals")

    def __init__(self, function: FunctionKey) -> None:
        self.function = function
        self.ready: deque[T] = deque()
        self.is_queued = False
        self.refusals = 0  # in a row
        self.blocked_until_ms = 0


class Backlog(Generic[T]):
    """One owner; not thread-safe."""

    def __init__(self) -> None:
        self._lanes: dict[FunctionKey, Lane[T]] = {}
        self._turns: deque[Lane[T]] = deque()
        self._later: list[tuple[int, int, FunctionKey, T]] = []
        self._blocked: list[tuple[int, int, Lane[T]]] = []
        self._numbers = count()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._later) + sum(len(lane.ready) for lane in self._lanes.values())

    def add(self, function: FunctionKey, item: T, due_at_ms: int, *, now_ms: EpochMs) -> None:
        """Takes an item that may be done from then on."""
        if due_at_ms > now_ms:
            heapq.heappush(self._later, (due_at_ms, next(self._numbers), function, item))
            return
        lane = self._lanes.get(function)
        if lane is None:
            lane = self._lanes[function] = Lane(function)
        lane.ready.append(item)
        self._queue(lane, now_ms)

    def take(self, *, now_ms: EpochMs) -> T | None:
        """The next item whose time has come, in turn of the functions; None when there is none."""
        while self._later and self._later[0][0] <= now_ms:
            _, _, function, item = heapq.heappop(self._later)
            self.add(function, item, 0, now_ms=now_ms)
        while self._blocked and self._blocked[0][0] <= now_ms:
            self._queue(heapq.heappop(self._blocked)[2], now_ms)
        while self._turns:
            lane = self._turns.popleft()
            lane.is_queued = False
            if not lane.ready:
                self._forget(lane)
            elif lane.blocked_until_ms <= now_ms:
                item = lane.ready.popleft()
                if lane.ready:
                    self._queue(lane, now_ms)
                elif not lane.refusals:
                    self._forget(lane)
                return item
        return None

    def block(self, function: FunctionKey, item: T, until_ms: int) -> None:
        """Puts an item that was taken back to the front; its function's items rest until then."""
        lane = self._lanes.get(function)
        if lane is None:
            lane = self._lanes[function] = Lane(function)
        lane.ready.appendleft(item)
        lane.blocked_until_ms = until_ms
        heapq.heappush(self._blocked, (until_ms, next(self._numbers), lane))

    def refused(self, function: FunctionKey) -> int:
        """How often the function has been refused in a row, this time included."""
        lane = self._lanes.get(function)
        if lane is None:
            lane = self._lanes[function] = Lane(function)
        lane.refusals += 1
        return lane.refusals

    def unblock(self, function: FunctionKey, *, now_ms: EpochMs) -> None:
        """The function may have concurrency again."""
        lane = self._lanes.get(function)
        if lane is not None:
            lane.refusals = 0
            lane.blocked_until_ms = 0
            self._queue(lane, now_ms)
            if not lane.ready:
                self._forget(lane)

    def unblock_all(self, *, now_ms: EpochMs) -> None:
        """Every function may."""
        for function in list(self._lanes):
            self.unblock(function, now_ms=now_ms)

    def next_due_ms(self) -> int | None:
        """When something may be done that may not be done now; None: nothing."""
        times = [heap[0][0] for heap in (self._later, self._blocked) if heap]
        return min(times, default=None)

    def is_ready(self) -> bool:
        """Whether there may be something to do now."""
        return bool(self._turns)

    def lanes(self) -> Iterator[FunctionKey]:
        """Functions that have something to do now, or are blocked."""
        return iter(self._lanes)

    def _queue(self, lane: Lane[T], now_ms: EpochMs) -> None:
        if lane.ready and not lane.is_queued and lane.blocked_until_ms <= now_ms:
            lane.is_queued = True
            self._turns.append(lane)

    def _forget(self, lane: Lane[T]) -> None:
        if self._lanes.get(lane.function) is lane and not lane.ready:
            del self._lanes[lane.function]
