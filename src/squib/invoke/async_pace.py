"""The shell of `scheduler.pace`: looks at the processors, and at who else invokes, while events are run."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from squib.scheduler.pace import next_limit

TICK_S: Final = 0.1  # squib's choice: long enough for the kernel's counters, short beside a person's patience
_STAT: Final = Path("/proc/stat")


def processor_ticks() -> tuple[int, int]:
    """What all processors have counted idle, and in all, since the machine's start."""
    try:
        with _STAT.open("rb") as file:
            counts = [int(text) for text in file.readline().split()[1:9]]
    except OSError:
        return 0, 0
    return counts[3] + counts[4], sum(counts)


class Pace:
    """How many asynchronous invocations may run. Owned by one event loop."""

    def __init__(
        self,
        invocations: Callable[[], int],
        *,
        processors: int | None = None,
        ticks: Callable[[], tuple[int, int]] = processor_ticks,
    ) -> None:
        """`invocations` counts all that were begun so far, asynchronous ones included."""
        self._invocations, self._ticks = invocations, ticks
        self._processors = processors or len(os.sched_getaffinity(0))
        self._loop = asyncio.get_running_loop()
        self.limit = self._processors
        self._own = 0
        self._in_flight = 0
        self._seen = (0, 0, 0)
        self._timer: asyncio.TimerHandle | None = None
        self._wake: Callable[[], None] | None = None

    def begun(self) -> None:
        """One more asynchronous invocation was begun."""
        self._own += 1

    def running(self, in_flight: int, wake: Callable[[], None] | None) -> None:
        """So many run now; `wake` is called when there may be more, if more are waiting."""
        self._in_flight, self._wake = in_flight, wake
        if self._timer is None and (in_flight or wake is not None):
            self._seen = (*self._ticks(), self._company())
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Looks no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _company(self) -> int:
        return self._invocations() - self._own

    def _tick(self) -> None:
        self._timer = None
        if not self._in_flight and self._wake is None:
            self.limit = self._processors
            return
        idle, total, company = self._seen
        self._seen = seen = (*self._ticks(), self._company())
        passed = seen[1] - total
        limit = next_limit(
            self.limit,
            in_flight=self._in_flight,
            idle_ratio=(seen[0] - idle) / passed if passed > 0 else 1.0,
            processors=self._processors,
            has_company=seen[2] > company,
        )
        grew, self.limit = limit > self.limit, limit
        self._timer = self._loop.call_later(TICK_S, self._tick)
        if grew and self._wake is not None:
            self._wake()
