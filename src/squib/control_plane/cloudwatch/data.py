"""GetMetricData: many metrics at once. Expressions (metric math, SEARCH, Insights) are not built."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from squib.control_plane import pagination
from squib.control_plane.cloudwatch.reading import Reading, dimensions_of, minute
from squib.model.errors import UnsupportedParameter, ValidationException
from squib.model.metric import statistic
from squib.model.metric_errors import InvalidMetricToken
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.usage import MINUTE_S

MAX_QUERIES: Final = 500
MAX_DATAPOINTS: Final = 100_800  # GetMetricData, MaxDatapoints

_ID: Final = re.compile(r"[a-z][a-zA-Z0-9_]*")
_SHORT_PERIODS_S: Final = (1, 5, 10, 30)


class DataPosition(msgspec.Struct, frozen=True, tag="metric-data"):
    """How many data points were given already."""

    given: int


async def get_metric_data(reading: Reading, call: AuthorizedCall) -> OperationResult:
    """See the API. Raises ValidationException, UnsupportedParameter, InvalidMetricToken."""
    given = call.input
    queries: Sequence[Mapping[str, Any]] = given["MetricDataQueries"]
    _check(queries, call)
    from_s, to_s = minute(given["StartTime"]), math.ceil(given["EndTime"].timestamp())
    if given["StartTime"] >= given["EndTime"]:
        raise ValidationException("The parameter StartTime must be less than the parameter EndTime.")
    limit = given.get("MaxDatapoints") or MAX_DATAPOINTS
    skipped = _skipped(given.get("NextToken"))
    results, seen = [], 0
    is_cut = False
    for query in queries:
        if query.get("ReturnData") is False:
            continue
        found = await _points(reading, query["MetricStat"], from_s, to_s)
        if given.get("ScanBy") != "TimestampAscending":
            found.reverse()
        first, last = max(0, skipped - seen), max(0, skipped + limit - seen)
        page = found[first:last]
        seen += len(found)
        is_partial = last < len(found)
        is_cut = is_cut or is_partial
        results.append(
            {
                "Id": query["Id"],
                "Label": query.get("Label") or query["MetricStat"]["Metric"]["MetricName"],
                "Timestamps": [datetime.fromtimestamp(start_s, UTC) for start_s, _ in page],
                "Values": [value for _, value in page],
                "StatusCode": "PartialData" if is_partial else "Complete",
            }
        )
    output: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
    if is_cut:
        output["NextToken"] = pagination.marker(DataPosition(skipped + limit))
    return OperationResult(output=output)


async def _points(
    reading: Reading, stat: Mapping[str, Any], from_s: int, to_s: int
) -> list[tuple[int, float]]:
    metric = stat["Metric"]
    period_s = max(stat["Period"], MINUTE_S)  # what is counted is counted by the minute
    make = statistic(stat["Stat"])
    assert make is not None, "it was checked"
    found = await reading.points(
        metric.get("Namespace", ""),
        metric.get("MetricName", ""),
        dimensions_of(metric.get("Dimensions")),
        from_s=from_s - from_s % period_s,
        to_s=to_s,
        period_s=period_s,
        unit=stat.get("Unit"),
    )
    return [(start_s, make(summary)) for start_s, summary in found]


def _skipped(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return pagination.position(token, DataPosition).given
    except pagination.BadMarker:
        raise InvalidMetricToken() from None


def _check(queries: Sequence[Mapping[str, Any]], call: AuthorizedCall) -> None:
    if not 1 <= len(queries) <= MAX_QUERIES:
        raise ValidationException(
            f"The collection MetricDataQueries must have a size between 1 and {MAX_QUERIES}."
        )
    if not 0 <= call.input.get("MaxDatapoints", 1) <= MAX_DATAPOINTS:
        raise ValidationException(f"MaxDatapoints must not be greater than {MAX_DATAPOINTS}.")
    seen: set[str] = set()
    for number, query in enumerate(queries, 1):
        where = f"MetricDataQueries.member.{number}"
        if not _ID.fullmatch(query["Id"]):
            raise ValidationException(
                f"The value {query['Id']} for parameter {where}.Id is not matching the expected pattern "
                f"^{_ID.pattern}$."
            )
        if query["Id"] in seen:
            raise ValidationException(
                f"The values for parameter id in MetricDataQueries are not unique: {query['Id']}"
            )
        seen.add(query["Id"])
        for name in ("Expression", "AccountId"):
            if name in query:
                raise UnsupportedParameter("GetMetricData", f"MetricDataQueries.{name}")
        if "${" in query.get("Label", ""):
            raise UnsupportedParameter("GetMetricData", "MetricDataQueries.Label with a dynamic part")
        stat = query.get("MetricStat")
        if stat is None:
            raise ValidationException(f"{where} must have either MetricStat or Expression.")
        if "MetricName" not in stat["Metric"] or "Namespace" not in stat["Metric"]:
            raise ValidationException(f"{where}.MetricStat.Metric must have a Namespace and a MetricName.")
        check_period(stat["Period"], f"{where}.MetricStat.Period")
        if statistic(stat["Stat"]) is None:
            raise UnsupportedParameter("GetMetricData", f"MetricStat.Stat={stat['Stat'][:64]}")


def check_period(period_s: int, where: str) -> None:
    """Raises ValidationException."""
    if period_s not in _SHORT_PERIODS_S and period_s % MINUTE_S != 0:
        raise ValidationException(
            f"The value {period_s} for parameter {where} is invalid: it must be 1, 5, 10, 30, or a multiple "
            "of 60."
        )
