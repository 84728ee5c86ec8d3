"""The loop that notes how many invocations ran at once: the ledger and the pool remember their peaks."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from squib.clock import Clock
from squib.model.function import FunctionVersion
from squib.model.units import EpochMs
from squib.scheduler.concurrency import Peaks
from squib.store.meter import Meter

INTERVAL_S: Final = 1.0  # our own choice: by so much a peak may count to the minute after its own


class ConcurrencyWatch:
    """Asks for peaks, and tells the meter."""

    def __init__(
        self,
        ledger_peaks: Callable[[], Peaks],
        version_peaks: Callable[[], Sequence[tuple[FunctionVersion, int]]],
        meter: Meter,
        clock: Clock,
    ) -> None:
        """`take_peaks` of the ledger and of the pool."""
        self._ledger_peaks, self._version_peaks = ledger_peaks, version_peaks
        self._meter, self._clock = meter, clock

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(INTERVAL_S)
                self.note()
        finally:
            self.note()

    def note(self) -> None:
        """Once."""
        now_ms: EpochMs = self._clock.now_ms()
        meter = self._meter
        peaks = self._ledger_peaks()
        for key, peak in peaks.functions.items():
            meter.saw("ConcurrentExecutions", peak, arn=key.arn(), version="", at_ms=now_ms)
        for (account_id, region), (peak, unreserved) in peaks.accounts.items():
            for metric, value in (
                ("ConcurrentExecutions", peak),
                ("UnreservedConcurrentExecutions", unreserved),
            ):
                meter.saw_in_region(metric, value, account_id=account_id, region=region, at_ms=now_ms)
        for function, peak in self._version_peaks():
            meter.busy(function, peak, now_ms)
