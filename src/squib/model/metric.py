"""CloudWatch's metrics of the namespace AWS/Lambda, made of tallies: which there are, and statistics.

Values are hundredths of a metric's unit until a statistic is made of them. Pure.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from squib.model.usage import SeriesKey, Summary, Tally, repeated

NAMESPACE: Final = "AWS/Lambda"
ONE: Final = 100  # in hundredths

_FUNCTION, _RESOURCE, _VERSION = "FunctionName", "Resource", "ExecutedVersion"
_OF_REGIONS: Final = frozenset(("ConcurrentExecutions", "UnreservedConcurrentExecutions"))
"""What happens at once does not add up: a region's is counted by itself, and so is a function's."""
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100(?:\.0{1,10})?)", re.ASCII)


class Metric(NamedTuple):
    """One metric."""

    unit: str
    of: Callable[[Tally], Summary]


def _other(name: str, unit: str = "Count") -> tuple[str, Metric]:
    return name, Metric(unit, lambda tally: tally.others.get(name) or Summary())


METRICS: Final[Mapping[str, Metric]] = {
    "Invocations": Metric("Count", lambda tally: repeated({ONE: tally.invocations})),
    "Errors": Metric(
        "Count", lambda tally: repeated({ONE: tally.errors, 0: tally.invocations - tally.errors})
    ),
    "Throttles": Metric("Count", lambda tally: repeated({ONE: tally.throttles, 0: tally.invocations})),
    "Duration": Metric("Milliseconds", lambda tally: tally.durations_10us),
    **dict(
        (
            _other("ConcurrentExecutions"),
            _other("UnreservedConcurrentExecutions"),
            _other("ProvisionedConcurrencyInvocations"),
            _other("ProvisionedConcurrencySpilloverInvocations"),
            _other("ProvisionedConcurrentExecutions"),
            _other("ProvisionedConcurrencyUtilization"),
            _other("AsyncEventsReceived"),
            _other("AsyncEventAge", "Milliseconds"),
            _other("AsyncEventsDropped"),
            _other("DeadLetterErrors"),
            _other("DestinationDeliveryFailures"),
        )
    ),
}
"""By name (Lambda developer guide, "Types of metrics for Lambda functions")."""


def concerns(name: str, dimensions: Mapping[str, str], series: SeriesKey) -> bool:
    """Whether a series counts for a metric with exactly these dimensions."""
    names = dimensions.keys()
    if not names:
        return (series.function == "") == (name in _OF_REGIONS)
    if dimensions.get(_FUNCTION) != series.function:
        return False
    if name in _OF_REGIONS:
        return names == {_FUNCTION} and not series.qualifier and not series.version
    if names == {_FUNCTION}:
        return True
    if dimensions.get(_RESOURCE) != _resource(series):
        return False
    if names == {_FUNCTION, _RESOURCE}:
        return True
    has_version = _is_alias(series) and dimensions.get(_VERSION) == series.version
    return has_version and names == {_FUNCTION, _RESOURCE, _VERSION}


def dimensions(name: str, series: SeriesKey) -> Iterator[Mapping[str, str]]:
    """Every set of dimensions for which `concerns` takes the series."""
    if name in _OF_REGIONS:
        if not series.function:
            yield {}
        elif not series.qualifier and not series.version:
            yield {_FUNCTION: series.function}
        return
    if not series.function:
        return
    yield {}
    yield {_FUNCTION: series.function}
    yield {_FUNCTION: series.function, _RESOURCE: _resource(series)}
    if _is_alias(series) and series.version:
        yield {
            _FUNCTION: series.function,
            _RESOURCE: _resource(series),
            _VERSION: series.version,
        }


def _resource(series: SeriesKey) -> str:
    return f"{series.function}:{series.qualifier}" if series.qualifier else series.function


def _is_alias(series: SeriesKey) -> bool:
    return bool(series.qualifier) and not series.qualifier.isdigit()


def statistic(name: str) -> Callable[[Summary], float] | None:
    """How to make a statistic, by CloudWatch's name; None for one that is none, or is not built."""
    plain = _STATISTICS.get(name)
    if plain is not None:
        return plain
    found = _PERCENTILE.fullmatch(name)
    if found is None:
        return None
    share = float(found[1]) / 100
    return lambda summary: summary.quantile(share) / ONE


_STATISTICS: Final[Mapping[str, Callable[[Summary], float]]] = {
    "SampleCount": lambda summary: float(summary.count),
    "Sum": lambda summary: summary.total / ONE,
    "Average": lambda summary: summary.total / summary.count / ONE,
    "Minimum": lambda summary: summary.least / ONE,
    "Maximum": lambda summary: summary.most / ONE,
}


def points(values: Iterable[tuple[int, Summary]], *, from_s: int, period_s: int) -> list[tuple[int, Summary]]:
    """Summaries of periods, by when they begin, in order; `from_s` is when some period begins. Periods
    without a value are left out."""
    merged: dict[int, Summary] = {}
    for start_s, summary in values:
        if summary.count:
            begins_s = start_s - (start_s - from_s) % period_s
            merged.setdefault(begins_s, Summary()).merge(summary)
    return sorted(merged.items())
