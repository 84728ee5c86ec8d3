"""What functions have used, as numbers that add up: tallies of one minute or one hour. Pure.

Durations are whole tens of microseconds (`_10us`): the two decimals of a millisecond that REPORT shows, so
that sums agree with the lines exactly.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from squib.model.units import AccountId, Region

MINUTE_S: Final = 60
HOUR_S: Final = 3_600

_EXACT: Final = 128  # below, every value has a bucket of its own
_SHIFT: Final = 6  # above, a power of two has 64 buckets: a value is known within 1/64


class SeriesKey(NamedTuple):
    """What a tally is of. An empty `version`: the function as a whole; an empty `function`: the region."""

    account_id: AccountId
    region: Region
    function: str
    qualifier: str
    """As the caller named the function; empty for none and for `$LATEST`."""
    version: str


class Summary(msgspec.Struct, array_like=True):
    """Values seen: how many, their sum, the extremes, and how they spread. Whole numbers of some unit."""

    count: int = 0
    total: int = 0
    least: int = 0
    most: int = 0
    buckets: dict[int, int] = {}
    """Bucket number -> how many."""

    def add(self, value: int) -> None:
        """One more value, at least 0."""
        if value < self.least or not self.count:
            self.least = value
        if value > self.most:
            self.most = value
        self.count += 1
        self.total += value
        if value < _EXACT:
            number = value
        else:
            spare = value.bit_length() - _SHIFT - 1
            number = (spare << _SHIFT) + (value >> spare)
        buckets = self.buckets
        buckets[number] = buckets.get(number, 0) + 1

    def merge(self, other: "Summary") -> None:
        """Adds all that `other` has seen."""
        if not other.count:
            return
        self.least = min(self.least, other.least) if self.count else other.least
        self.most = max(self.most, other.most)
        self.count += other.count
        self.total += other.total
        for number, count in other.buckets.items():
            self.buckets[number] = self.buckets.get(number, 0) + count

    def below(self, bounds: Sequence[int]) -> list[int]:
        """How many values were not greater than each bound, within 1/128; bounds rise."""
        counts, seen, at = [], 0, 0
        numbers = sorted(self.buckets)
        for bound in bounds:
            while at < len(numbers) and _middle(numbers[at]) <= bound:
                seen += self.buckets[numbers[at]]
                at += 1
            counts.append(seen)
        return counts

    def quantile(self, share: float) -> float:
        """The value that `share` (0 to 1) of all values do not pass, within 1/128; 0 when there is none."""
        if not self.count:
            return 0.0
        wanted = max(1.0, share * self.count)
        seen = 0
        for number in sorted(self.buckets):
            seen += self.buckets[number]
            if seen >= wanted:
                return min(max(_middle(number), self.least), self.most)
        return self.most


def repeated(counts: Mapping[int, int]) -> Summary:
    """The summary of values by how often each was seen."""
    made = Summary()
    for value, count in counts.items():
        if count > 0:
            one = Summary()
            one.add(value)
            (number,) = one.buckets
            made.merge(
                Summary(count=count, total=value * count, least=value, most=value, buckets={number: count})
            )
    return made


def _middle(number: int) -> float:
    if number < _EXACT:
        return number
    spare = (number >> _SHIFT) - 1
    first = (number - (spare << _SHIFT)) << spare
    return first + ((1 << spare) - 1) / 2


class Tally(msgspec.Struct, array_like=True):
    """What one series has used in one span of time. Fields are stored in this order: new ones go last."""

    invocations: int = 0
    errors: int = 0
    throttles: int = 0
    cold_starts: int = 0
    init_10us: int = 0
    billed_ms: int = 0
    billed_mib_ms: int = 0
    """Billed time times memory size."""
    provisioned_mib_ms: int = 0
    """Time that provisioned environments were kept, used or not, times memory size."""
    peak: int = 0
    """Most invocations at once."""
    durations_10us: Summary = msgspec.field(default_factory=Summary)
    others: dict[str, Summary] = {}
    """Rarer metrics by CloudWatch's name, in hundredths of their unit."""
    prepared_mib_ms: int = 0
    """The part of `billed_mib_ms` that was in provisioned environments, which has a price of its own."""

    def merge(self, other: "Tally") -> None:
        """Adds all that `other` counts."""
        self.invocations += other.invocations
        self.errors += other.errors
        self.throttles += other.throttles
        self.cold_starts += other.cold_starts
        self.init_10us += other.init_10us
        self.billed_ms += other.billed_ms
        self.billed_mib_ms += other.billed_mib_ms
        self.provisioned_mib_ms += other.provisioned_mib_ms
        self.prepared_mib_ms += other.prepared_mib_ms
        self.peak = max(self.peak, other.peak)
        self.durations_10us.merge(other.durations_10us)
        for name, summary in other.others.items():
            self.other(name).merge(summary)

    def other(self, name: str) -> Summary:
        """The summary of a rarer metric."""
        found = self.others.get(name)
        if found is None:
            found = self.others[name] = Summary()
        return found

    @property
    def gb_seconds(self) -> float:
        """Billed, of functions that ran."""
        return self.billed_mib_ms / 1024 / 1000

    @property
    def provisioned_gb_seconds(self) -> float:
        """Of environments that were kept ready."""
        return self.provisioned_mib_ms / 1024 / 1000

    @property
    def prepared_gb_seconds(self) -> float:
        """Billed, of functions that ran in provisioned environments."""
        return self.prepared_mib_ms / 1024 / 1000


class Span(msgspec.Struct, frozen=True):
    """A tally, of what and when."""

    series: SeriesKey
    start_s: int
    """Seconds since 1970, a whole minute or hour."""
    tally: Tally


class HourlyUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a bill: a version of a function in one hour."""

    account_id: AccountId
    region: Region
    function: str
    version: str
    hour: str
    """`2026-01-31T12:00:00Z`, its beginning."""
    invocations: int
    errors: int
    throttles: int
    cold_starts: int
    init_ms: float
    duration_ms: float
    billed_ms: int
    gb_seconds: float
    """Of billed time."""
    prepared_gb_seconds: float
    """The part of it in provisioned environments."""
    provisioned_gb_seconds: float
    """Of provisioned environments being there."""
    peak_concurrency: int


def by_version(spans: Iterable[Span]) -> Iterator[tuple[SeriesKey, int, Tally]]:
    """The hours of each version, whatever it was called by, in order; `qualifier` is empty."""
    merged: dict[tuple[SeriesKey, int], Tally] = {}
    for span in spans:
        if span.series.version:
            key = (span.series._replace(qualifier=""), span.start_s // HOUR_S * HOUR_S)
            merged.setdefault(key, Tally()).merge(span.tally)
    for (series, start_s), tally in sorted(merged.items(), key=lambda row: (row[0][1], row[0][0])):
        yield series, start_s, tally
