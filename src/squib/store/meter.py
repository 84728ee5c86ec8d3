"""The meter: adds up in memory what invocations use, until `Usage` takes it and writes it down.

On the way of every invocation: a lookup and some additions. One owner, the event loop.
"""

import math
from collections.abc import Callable, Iterator, Set
from typing import Final

from squib.model.function import LATEST, FunctionKey, FunctionVersion
from squib.model.invocation import Invocation
from squib.model.metric import ONE
from squib.model.units import AccountId, EpochMs, Region
from squib.model.usage import MINUTE_S, SeriesKey, Tally

MAX_TOTALS: Final = 10_000  # our own choice: functions whose totals are kept for Prometheus
MANY_TOTALS: Final = 256  # the same: from here on those of deleted functions are forgotten now and then

_MINUTE_MS: Final = MINUTE_S * 1000
_WHOLE: Final = ""


class Meter:
    """Counts. An invocation belongs to the minute it was received in, as in CloudWatch."""

    def __init__(
        self,
        on_first: Callable[[], None] = lambda: None,
        exists: Callable[[FunctionKey], bool] = lambda _: True,
    ) -> None:
        """`on_first` is called when there is something to take, after there was nothing. `exists` tells
        functions that are there from those that were deleted."""
        self._on_first, self._exists = on_first, exists
        self._many_totals = MANY_TOTALS
        self._fresh: dict[tuple[str, str, int], Tally] = {}  # by ARN as called, version, minute
        self.provisioned: Set[tuple[FunctionKey, str]] = frozenset()
        """Versions that have provisioned concurrency: what runs elsewhere has spilled over."""
        self.totals: dict[FunctionKey, Tally] = {}
        """What each function has used since this process started, up to the last `take`. Those that were
        deleted may be missing."""

    # --- on the way of an invocation

    def invoked(
        self,
        invocation: Invocation,
        *,
        duration_ms: float,
        init_ms: float | None,
        billed_ms: int,
        is_error: bool,
        is_prepared: bool = False,
    ) -> None:
        """One invocation has ended, with the figures of its REPORT; `is_prepared`: in an environment of
        provisioned concurrency."""
        function = invocation.function
        minute = invocation.received_at_ms // _MINUTE_MS
        key = (invocation.invoked_arn, function.version, minute)
        tally = self._fresh.get(key) or self._begin(key)
        tally.invocations += 1
        tally.billed_ms += billed_ms
        tally.billed_mib_ms += billed_ms * function.memory_mib
        tally.durations_10us.add(round(duration_ms * 100))
        if is_error:
            tally.errors += 1
        if init_ms is not None:
            tally.init_10us += round(init_ms * 100)
            if not is_prepared:
                tally.cold_starts += 1
        if is_prepared:
            tally.prepared_mib_ms += billed_ms * function.memory_mib
            tally.other("ProvisionedConcurrencyInvocations").add(ONE)
        elif self.provisioned and (function.key, function.version) in self.provisioned:
            tally.other("ProvisionedConcurrencySpilloverInvocations").add(ONE)

    def throttled(self, invocation: Invocation) -> None:
        """One invocation was refused for want of concurrency."""
        minute = invocation.received_at_ms // _MINUTE_MS
        key = (invocation.invoked_arn, invocation.function.version, minute)
        (self._fresh.get(key) or self._begin(key)).throttles += 1

    # --- beside it

    def saw(self, metric: str, value: float, *, arn: str, version: str, at_ms: EpochMs) -> None:
        """One value of a rarer metric, by CloudWatch's name and in its unit; `version` is empty where it
        is the function's as a whole."""
        key = (arn, version, at_ms // _MINUTE_MS)
        (self._fresh.get(key) or self._begin(key)).other(metric).add(round(value * 100))

    def saw_in_region(
        self, metric: str, value: float, *, account_id: AccountId, region: Region, at_ms: EpochMs
    ) -> None:
        """The same of an account's functions together."""
        arn = f"arn:aws:lambda:{region}:{account_id}:function:"
        self.saw(metric, value, arn=arn, version=_WHOLE, at_ms=at_ms)

    def busy(self, function: FunctionVersion, count: int, at_ms: EpochMs) -> None:
        """So many invocations of a version ran at once."""
        key = (function.key.arn(), function.version, at_ms // _MINUTE_MS)
        tally = self._fresh.get(key) or self._begin(key)
        tally.peak = max(tally.peak, count)

    def snapshot_taken(self, function: FunctionVersion, init_ms: float, at_ms: EpochMs) -> None:
        """A version was initialized for its snapshot, which is billed though nothing was invoked."""
        arn = function.key.arn(function.version)
        key = (arn, function.version, at_ms // _MINUTE_MS)
        tally = self._fresh.get(key) or self._begin(key)
        billed_ms = math.ceil(init_ms)
        tally.billed_ms += billed_ms
        tally.billed_mib_ms += billed_ms * function.memory_mib
        tally.init_10us += round(init_ms * 100)

    def kept(self, function: FunctionVersion, kept_ms: int, at_ms: EpochMs) -> None:
        """Provisioned environments of a version were kept for so long, all their times together."""
        key = (function.key.arn(function.version), function.version, at_ms // _MINUTE_MS)
        (self._fresh.get(key) or self._begin(key)).provisioned_mib_ms += kept_ms * function.memory_mib

    # --- for Usage

    def take(self) -> dict[tuple[SeriesKey, int], Tally]:
        """What was counted since the last time, by series and minute (seconds since 1970)."""
        fresh, self._fresh = self._fresh, {}
        taken: dict[tuple[SeriesKey, int], Tally] = {}
        for (arn, version, minute), tally in fresh.items():
            series = _series(arn, version)
            if version:
                self._total(FunctionKey(series.account_id, series.region, series.function)).merge(tally)
            at = (series, minute * MINUTE_S)
            known = taken.get(at)  # `f` and `f:$LATEST` are one series
            if known is None:
                taken[at] = tally
            else:
                known.merge(tally)
        return taken

    def functions(self) -> Iterator[tuple[FunctionKey, Tally]]:
        """`totals`, what is not taken yet included."""
        merged = {key: Tally() for key in self.totals}
        for key, tally in self.totals.items():
            merged[key].merge(tally)
        for (arn, version, _), tally in self._fresh.items():
            if version:
                series = _series(arn, version)
                key = FunctionKey(series.account_id, series.region, series.function)
                merged.setdefault(key, Tally()).merge(tally)
        yield from merged.items()

    def _begin(self, key: tuple[str, str, int]) -> Tally:
        if not self._fresh:
            self._on_first()
        tally = self._fresh[key] = Tally()
        return tally

    def _total(self, key: FunctionKey) -> Tally:
        found = self.totals.get(key)
        if found is None:
            if len(self.totals) >= self._many_totals:
                self.totals = {one: tally for one, tally in self.totals.items() if self._exists(one)}
                self._many_totals = max(MANY_TOTALS, 2 * len(self.totals))
            if len(self.totals) >= MAX_TOTALS:
                del self.totals[next(iter(self.totals))]
            found = self.totals[key] = Tally()
        return found


def _series(arn: str, version: str) -> SeriesKey:
    parts = arn.split(":", 7)
    qualifier = parts[7] if len(parts) == 8 and parts[7] != LATEST else ""
    return SeriesKey(AccountId(parts[4]), Region(parts[3]), parts[6], qualifier, version)
