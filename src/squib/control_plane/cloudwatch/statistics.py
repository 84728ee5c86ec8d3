"""GetMetricStatistics: one metric, several statistics of it."""

import math
from datetime import UTC, datetime
from typing import Any, Final

from squib.control_plane.cloudwatch.data import check_period
from squib.control_plane.cloudwatch.reading import Reading, dimensions_of, minute
from squib.model.errors import UnsupportedParameter
from squib.model.metric import METRICS, statistic
from squib.model.metric_errors import InvalidMetricCombination, InvalidMetricParameter, MissingMetricParameter
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.usage import MINUTE_S, Summary

MAX_DATAPOINTS: Final = 1_440  # GetMetricStatistics


async def get_metric_statistics(reading: Reading, call: AuthorizedCall) -> OperationResult:
    """See the API. Raises InvalidMetricParameter, InvalidMetricCombination, MissingMetricParameter,
    UnsupportedParameter, ValidationException."""
    given = call.input
    plain, extended = given.get("Statistics") or (), given.get("ExtendedStatistics") or ()
    if not plain and not extended:
        raise MissingMetricParameter(
            "At least one of the parameters Statistics and ExtendedStatistics must be specified."
        )
    if given["StartTime"] >= given["EndTime"]:
        raise InvalidMetricParameter("The parameter StartTime must be less than the parameter EndTime.")
    check_period(given["Period"], "Period")
    period_s = max(given["Period"], MINUTE_S)
    from_s, to_s = minute(given["StartTime"]), math.ceil(given["EndTime"].timestamp())
    wanted_count = math.ceil((to_s - from_s) / given["Period"])
    if wanted_count > MAX_DATAPOINTS:
        raise InvalidMetricCombination(
            f"You have requested up to {wanted_count:,} datapoints, which exceeds the limit of "
            f"{MAX_DATAPOINTS:,}. You may reduce the datapoints requested by increasing Period, or "
            "decreasing the time range."
        )
    for name in extended:
        if statistic(name) is None or not name.startswith("p"):
            raise UnsupportedParameter("GetMetricStatistics", f"ExtendedStatistics={name[:64]}")
    found = await reading.points(
        given["Namespace"],
        given["MetricName"],
        dimensions_of(given.get("Dimensions")),
        from_s=from_s,
        to_s=to_s,
        period_s=period_s,
        unit=given.get("Unit"),
    )
    datapoints = []
    for start_s, summary in found:
        point: dict[str, Any] = {
            "Timestamp": datetime.fromtimestamp(start_s, UTC),
            **_made(plain, summary),
            "Unit": METRICS[given["MetricName"]].unit,
        }
        if extended:
            point["ExtendedStatistics"] = _made(extended, summary)
        datapoints.append(point)
    return OperationResult(output={"Label": given["MetricName"], "Datapoints": datapoints})


def _made(names: tuple[str, ...] | list[str], summary: Summary) -> dict[str, float]:
    return {name: make(summary) for name in names if (make := statistic(name)) is not None}
