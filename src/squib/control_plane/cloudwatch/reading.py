"""What one call reads: the spans of a range of time, each range once, and the points of a metric in them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from squib.clock import Clock
from squib.model.metric import METRICS, NAMESPACE, concerns, points
from squib.model.units import AccountId, Region
from squib.model.usage import HOUR_S, MINUTE_S, Span, Summary
from squib.store.usage import KEPT_S, Range, Usage


class Reading:
    """One call's view of an account and region."""

    def __init__(self, usage: Usage, clock: Clock, account_id: AccountId, region: Region) -> None:
        self._usage, self._clock = usage, clock
        self._account_id, self._region = account_id, region
        self._read: dict[tuple[int, int, int], Sequence[Span]] = {}

    @property
    def now_s(self) -> int:
        """Seconds since 1970."""
        return self._clock.now_ms() // 1000

    async def spans(self, span_s: int, from_s: int, to_s: int) -> Sequence[Span]:
        """Of all functions, read once."""
        key = (span_s, from_s, to_s)
        if key not in self._read:
            wanted = Range(self._account_id, span_s, from_s, to_s, region=self._region)
            self._read[key] = await self._usage.read(wanted)
        return self._read[key]

    async def points(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        *,
        from_s: int,
        to_s: int,
        period_s: int,
        unit: str | None,
    ) -> list[tuple[int, Summary]]:
        """The points of a metric, in order; none of a metric that nobody has counted. Minutes are read where
        they are needed and still there, else hours."""
        metric = METRICS.get(name) if namespace == NAMESPACE else None
        if metric is None or (unit is not None and unit != metric.unit):
            return []
        are_hours = period_s % HOUR_S == 0 and from_s % HOUR_S == 0
        span_s = HOUR_S if are_hours or from_s < self.now_s - KEPT_S[MINUTE_S] else MINUTE_S
        spans = await self.spans(span_s, from_s - from_s % span_s, to_s)
        values = (
            (max(span.start_s, from_s), metric.of(span.tally))
            for span in spans
            if concerns(name, dimensions, span.series)
        )
        return points(values, from_s=from_s, period_s=period_s)


def minute(moment: datetime) -> int:
    """The whole minute that a moment is in, as seconds since 1970: CloudWatch rounds down."""
    return int(moment.timestamp()) // MINUTE_S * MINUTE_S


def dimensions_of(given: Sequence[Mapping[str, str]] | None) -> Mapping[str, str]:
    """A list of names and values."""
    return {one["Name"]: one["Value"] for one in given or ()}
