"""The shell of `scheduler.pace`: looks at the processors, and at who else invokes, while events are run."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from squib.scheduler.pace import MIN_LIMIT, Pacing, next_pacing, rest_ms

TICK_S: Final = 0.1  # squib's choice: long enough for the kernel's counters, short beside a person's patience
_STAT: Final = Path("/proc/stat")


class Work(NamedTuple):
    """What has been worked so far. Only differences mean anything."""

    idle_ticks: int
    """Of all processors of the machine."""
    total_ticks: int
    loop_s: float
    """Processor time of the event loop's thread."""
    wall_s: float


def work_so_far() -> Work:
    """By the kernel's counters; on the event loop's thread."""
    idle_ticks = total_ticks = 0
    try:
        with _STAT.open("rb") as file:
            counts = [int(text) for text in file.readline().split()[1:9]]
            idle_ticks, total_ticks = counts[3] + counts[4], sum(counts)
    except OSError:  # then it is taken for idle
        pass
    return Work(idle_ticks, total_ticks, time.thread_time(), time.monotonic())


class Pace:
    """How many asynchronous invocations may run. Owned by one event loop."""

    def __init__(
        self,
        invocations: Callable[[], int],
        *,
        processors: int | None = None,
        work: Callable[[], Work] = work_so_far,
    ) -> None:
        """`invocations` counts all that were begun so far, asynchronous ones included."""
        self._invocations, self._work = invocations, work
        self._processors = processors or len(os.sched_getaffinity(0))
        self._loop = asyncio.get_running_loop()
        self._pacing = Pacing(MIN_LIMIT)
        self._rest: asyncio.TimerHandle | None = None
        self._is_alone = True
        self._own = 0
        self._in_flight = 0
        self._seen: tuple[Work, int] = (Work(0, 0, 0, 0), 0)
        self._timer: asyncio.TimerHandle | None = None
        self._wake: Callable[[], None] | None = None

    def may_begin(self, in_flight: int) -> bool:
        """Whether one more may be begun beside so many."""
        return in_flight < self._pacing.limit and self._rest is None

    def begun(self) -> None:
        """One more asynchronous invocation was begun."""
        self._own += 1

    def ended(self, ran_s: float) -> None:
        """One of them has ended."""
        if self._pacing.rests and self._rest is None:
            self._rest = self._loop.call_later(rest_ms(ran_s * 1000) / 1000, self._rested)

    def running(self, in_flight: int, wake: Callable[[], None] | None) -> None:
        """So many run now; `wake` is called when there may be more, if more are waiting."""
        self._in_flight, self._wake = in_flight, wake
        if self._is_alone and self._company() > self._seen[1]:
            self._is_alone = False
            self._pacing = Pacing(
                MIN_LIMIT, rests=True
            )  # somebody has begun to wait: what that leaves is seen at the next ticks
        if self._timer is None and (in_flight or wake is not None):
            self._seen, self._is_alone = (self._work(), self._company()), True
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Looks no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._end_rest()

    def _rested(self) -> None:
        self._rest = None
        if self._wake is not None:
            self._wake()

    def _end_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _company(self) -> int:
        return self._invocations() - self._own

    def _tick(self) -> None:
        self._timer = None
        if not self._in_flight and self._wake is None:
            self._pacing = Pacing(min(self._pacing.limit, self._processors))
            return
        before, company_before = self._seen
        self._seen = (now, company) = (self._work(), self._company())
        ticks, wall_s = now.total_ticks - before.total_ticks, now.wall_s - before.wall_s
        limit = self._pacing.limit
        pacing = next_pacing(
            limit,
            in_flight=self._in_flight
            if self._wake is None
            else limit,  # more wait, and nothing else holds them
            idle_ratio=(now.idle_ticks - before.idle_ticks) / ticks if ticks > 0 else 1.0,
            loop_ratio=(now.loop_s - before.loop_s) / wall_s if wall_s > 0 else 0.0,
            processors=self._processors,
            has_company=company > company_before,
        )
        self._is_alone = company == company_before
        has_room = pacing.limit > limit or (self._pacing.rests and not pacing.rests)
        self._pacing = pacing
        self._timer = self._loop.call_later(TICK_S, self._tick)
        if not pacing.rests:
            self._end_rest()
        if has_room and self._wake is not None:
            self._wake()
