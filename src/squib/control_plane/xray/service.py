"""X-Ray: which operations are built."""

from collections.abc import Mapping

from squib.clock import Clock
from squib.control_plane.xray.graph import get_service_graph, get_trace_graph
from squib.control_plane.xray.put import put_telemetry_records, put_trace_segments
from squib.control_plane.xray.reading import batch_get_traces, get_trace_summaries
from squib.control_plane.xray.sampling import get_sampling_rules, get_sampling_targets
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.traces import Traces


class XRayService:
    """Segments are taken, traces given back; the default sampling rule is the only one."""

    def __init__(self, traces: Traces, clock: Clock) -> None:
        self._traces, self._clock = traces, clock

    def handlers(self) -> Mapping[str, Handler]:
        """See `registry.Service`."""
        return {
            "BatchGetTraces": self._batch_get_traces,
            "GetSamplingRules": self._get_sampling_rules,
            "GetSamplingTargets": self._get_sampling_targets,
            "GetServiceGraph": self._get_service_graph,
            "GetTraceGraph": self._get_trace_graph,
            "GetTraceSummaries": self._get_trace_summaries,
            "PutTelemetryRecords": self._put_telemetry_records,
            "PutTraceSegments": self._put_trace_segments,
        }

    async def _batch_get_traces(self, call: AuthorizedCall) -> OperationResult:
        return await batch_get_traces(self._traces, call)

    async def _get_sampling_rules(self, call: AuthorizedCall) -> OperationResult:
        return get_sampling_rules(call)

    async def _get_sampling_targets(self, call: AuthorizedCall) -> OperationResult:
        return get_sampling_targets(self._clock, call)

    async def _get_service_graph(self, call: AuthorizedCall) -> OperationResult:
        return await get_service_graph(self._traces, call)

    async def _get_trace_graph(self, call: AuthorizedCall) -> OperationResult:
        return await get_trace_graph(self._traces, call)

    async def _get_trace_summaries(self, call: AuthorizedCall) -> OperationResult:
        return await get_trace_summaries(self._traces, self._clock, call)

    async def _put_telemetry_records(self, call: AuthorizedCall) -> OperationResult:
        return put_telemetry_records(call)

    async def _put_trace_segments(self, call: AuthorizedCall) -> OperationResult:
        return put_trace_segments(self._traces, self._clock, call)
