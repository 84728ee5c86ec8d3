"""CloudWatch: which operations are built."""

from collections.abc import Mapping

from squib.clock import Clock
from squib.control_plane.cloudwatch.data import get_metric_data
from squib.control_plane.cloudwatch.listing import list_metrics
from squib.control_plane.cloudwatch.reading import Reading
from squib.control_plane.cloudwatch.statistics import get_metric_statistics
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.usage import Usage


class CloudWatchService:
    """GetMetricData, GetMetricStatistics and ListMetrics of the namespace AWS/Lambda."""

    def __init__(self, usage: Usage, clock: Clock) -> None:
        self._usage, self._clock = usage, clock

    def handlers(self) -> Mapping[str, Handler]:
        """See `registry.Service`."""
        return {
            "GetMetricData": self._get_metric_data,
            "GetMetricStatistics": self._get_metric_statistics,
            "ListMetrics": self._list_metrics,
        }

    async def _get_metric_data(self, call: AuthorizedCall) -> OperationResult:
        return await get_metric_data(Reading(self._usage, self._clock, call.account_id, call.region), call)

    async def _get_metric_statistics(self, call: AuthorizedCall) -> OperationResult:
        reading = Reading(self._usage, self._clock, call.account_id, call.region)
        return await get_metric_statistics(reading, call)

    async def _list_metrics(self, call: AuthorizedCall) -> OperationResult:
        return await list_metrics(Reading(self._usage, self._clock, call.account_id, call.region), call)
