"""A timer of the event loop for times of the wall clock."""

import asyncio
from collections.abc import Callable
from typing import Final

from squib.clock import Clock

_MAX_SLEEP_S: Final = 600.0  # the wall clock may jump: it is looked at anew


class Alarm:
    """Rings once for the time that was set last; perhaps early. Owned by one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, ring: Callable[[], None]) -> None:
        self._loop, self._clock, self._ring = loop, clock, ring
        self._timer: asyncio.TimerHandle | None = None
        self._at_ms: int | None = None

    def set(self, at_ms: int | None) -> None:
        """None: for no time."""
        if at_ms == self._at_ms and self._timer is not None:
            return
        self.cancel()
        self._at_ms = at_ms
        if at_ms is not None:
            delay_s = min(max(0.0, (at_ms - self._clock.now_ms()) / 1000), _MAX_SLEEP_S)
            self._timer = self._loop.call_later(delay_s, self._on_timer)

    def cancel(self) -> None:
        """Does not ring any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._ring()
