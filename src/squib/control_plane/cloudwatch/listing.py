"""ListMetrics: what has been counted in the last two weeks."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from squib.control_plane import pagination
from squib.control_plane.cloudwatch.reading import Reading
from squib.model.errors import UnsupportedParameter
from squib.model.metric import METRICS, NAMESPACE, dimensions
from squib.model.metric_errors import InvalidMetricParameter
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.usage import HOUR_S

PAGE: Final = 500  # ListMetrics
LISTED_S: Final = 14 * 86_400  # ListMetrics: metrics without a data point in two weeks are not listed
_RECENT_S: Final = 3 * 3_600

_Found = tuple[str, tuple[tuple[str, str], ...]]


class MetricPosition(msgspec.Struct, frozen=True, tag="metrics"):
    """The last one given."""

    name: str
    dimensions: tuple[tuple[str, str], ...]


async def list_metrics(reading: Reading, call: AuthorizedCall) -> OperationResult:
    """See the API. Raises InvalidMetricParameter, UnsupportedParameter."""
    given = call.input
    for name in ("OwningAccount", "IncludeLinkedAccounts"):
        if given.get(name):
            raise UnsupportedParameter("ListMetrics", name)
    after = _after(given.get("NextToken"))
    found: set[_Found] = set()
    if given.get("Namespace") in (None, NAMESPACE):
        age_s = _RECENT_S if given.get("RecentlyActive") else LISTED_S
        now_s = reading.now_s
        for span in await reading.spans(HOUR_S, (now_s - age_s) // HOUR_S * HOUR_S, now_s + 1):
            for name, metric in METRICS.items():
                if given.get("MetricName") in (None, name) and metric.of(span.tally).count:
                    for one in dimensions(name, span.series):
                        if _passes(one, given.get("Dimensions") or ()):
                            found.add((name, tuple(one.items())))
    rest = sorted(one for one in found if after is None or one > after)
    metrics = [
        {
            "Namespace": NAMESPACE,
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in pairs],
        }
        for name, pairs in rest[:PAGE]
    ]
    output: dict[str, Any] = {"Metrics": metrics}
    if len(rest) > PAGE:
        output["NextToken"] = pagination.marker(MetricPosition(*rest[PAGE - 1]))
    return OperationResult(output=output)


def _after(token: str | None) -> _Found | None:
    if token is None:
        return None
    try:
        position = pagination.position(token, MetricPosition)
    except pagination.BadMarker:
        raise InvalidMetricParameter("The next token specified is invalid.") from None
    return position.name, position.dimensions


def _passes(one: Mapping[str, str], filters: Sequence[Mapping[str, str]]) -> bool:
    return all(
        wanted["Name"] in one and wanted.get("Value") in (None, one[wanted["Name"]]) for wanted in filters
    )
