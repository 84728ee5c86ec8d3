"""The loop that notes how many invocations ran at once: the ledger and the pool remember their peaks."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from squib.clock import Clock
from squib.environment.group import VersionUse
from squib.model.units import EpochMs
from squib.scheduler.concurrency import Peaks
from squib.store.meter import Meter

INTERVAL_S: Final = 1.0  # our own choice: by so much a peak may count to the minute after its own


class ConcurrencyWatch:
    """Asks for peaks, and tells the meter."""

    def __init__(
        self,
        ledger_peaks: Callable[[], Peaks],
        versions: Callable[[], Sequence[VersionUse]],
        meter: Meter,
        clock: Clock,
    ) -> None:
        """`take_peaks` of the ledger, `take_use` of the pool."""
        self._ledger_peaks, self._versions = ledger_peaks, versions
        self._meter, self._clock = meter, clock
        self._noted_ms = clock.monotonic_ms()

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
        monotonic_ms = self._clock.monotonic_ms()
        passed_ms, self._noted_ms = monotonic_ms - self._noted_ms, monotonic_ms
        versions = self._versions()
        for one in versions:
            if one.peak:
                meter.busy(one.function, one.peak, now_ms)
            if one.wanted_count:
                self._note_provisioned(one, round(passed_ms), now_ms)
        meter.provisioned = frozenset(
            (one.function.key, one.function.version) for one in versions if one.wanted_count
        )

    def _note_provisioned(self, one: VersionUse, passed_ms: int, now_ms: EpochMs) -> None:
        function, meter = one.function, self._meter
        meter.kept(function, passed_ms * one.wanted_count, now_ms)
        for metric, value in (
            ("ProvisionedConcurrentExecutions", one.prepared_peak),
            ("ProvisionedConcurrencyUtilization", one.prepared_peak / one.wanted_count),
        ):
            arn = function.key.arn(function.version)
            meter.saw(metric, value, arn=arn, version=function.version, at_ms=now_ms)
