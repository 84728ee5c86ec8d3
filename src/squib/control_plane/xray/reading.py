"""BatchGetTraces and GetTraceSummaries."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from squib.clock import Clock
from squib.control_plane import pagination
from squib.control_plane.xray.assembly import Assembled, assemble, encoded
from squib.control_plane.xray.filter_expression import Test, read_filter
from squib.control_plane.xray.subject import of_trace
from squib.control_plane.xray.summary import summary
from squib.model.errors import UnsupportedParameter
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.trace import is_trace_id
from squib.model.trace_errors import InvalidTraceRequest
from squib.store.traces import StoredTrace, TraceRange, Traces

MAX_TRACE_IDS: Final = 5  # BatchGetTraces: "You can retrieve up to five traces"
MAX_RANGE_S: Final = 86_400  # GetTraceSummaries: six hours are documented, AWS takes a day
PAGE: Final = 100  # squib's choice: traces looked at by one call


class TracePosition(msgspec.Struct, frozen=True, tag="traces"):
    """The last one looked at."""

    at: int
    trace_id: str


async def batch_get_traces(traces: Traces, call: AuthorizedCall) -> OperationResult:
    """All of each trace that is there. Raises InvalidTraceRequest."""
    trace_ids = list(dict.fromkeys(call.input["TraceIds"]))
    if len(trace_ids) > MAX_TRACE_IDS:
        raise InvalidTraceRequest(f"TraceIds must have at most {MAX_TRACE_IDS} members.")
    if bad := next((one for one in trace_ids if not is_trace_id(one or "")), None):
        raise InvalidTraceRequest(f"Invalid trace id: {bad}")
    found = await traces.get(call.account_id, call.region, trace_ids, _whole)
    return OperationResult(output={"Traces": found, "UnprocessedTraceIds": []})


def _whole(stored: StoredTrace) -> dict[str, Any]:
    trace = assemble(stored)
    return {
        "Id": stored.trace_id,
        "Duration": round(trace.duration_s, 3),
        "LimitExceeded": stored.is_cut,
        "Segments": [{"Id": one["id"], "Document": encoded(one, stored)} for one in trace.segments],
    }


async def get_trace_summaries(traces: Traces, clock: Clock, call: AuthorizedCall) -> OperationResult:
    """Those of a range of time that pass the filter; each call looks at a page of traces, so that one may
    answer with none and a NextToken. Raises InvalidTraceRequest, UnsupportedParameter."""
    given = call.input
    kind = given.get("TimeRangeType") or "TraceId"
    if kind == "Service":
        raise UnsupportedParameter("GetTraceSummaries", "TimeRangeType (Service)")
    for name in ("Sampling", "SamplingStrategy"):
        if given.get(name):
            raise UnsupportedParameter("GetTraceSummaries", name)
    wanted = time_range(call, by_event=kind == "Event")
    passes = read_filter(given["FilterExpression"]) if given.get("FilterExpression") else None
    looked = await traces.between(wanted, limit=PAGE, digest=_Digest(wanted, passes))
    output: dict[str, Any] = {
        "TraceSummaries": [shape for _, shape in looked if shape is not None],
        "TracesProcessedCount": len(looked),
        "ApproximateTime": datetime.fromtimestamp(clock.now_ms() / 1000, UTC),
    }
    if len(looked) == PAGE:
        output["NextToken"] = pagination.marker(looked[-1][0])
    return OperationResult(output=output)


def time_range(call: AuthorizedCall, *, by_event: bool = False) -> TraceRange:
    """StartTime, EndTime and NextToken of an operation. Raises InvalidTraceRequest."""
    given = call.input
    from_s, to_s = (int(given[name].timestamp()) for name in ("StartTime", "EndTime"))
    if to_s < from_s:
        raise InvalidTraceRequest("EndTime must be after StartTime.")
    if to_s - from_s > MAX_RANGE_S:
        raise InvalidTraceRequest("The time range must not be longer than 24 hours.")
    wanted = TraceRange(call.account_id, call.region, from_s, to_s, by_event)
    if given.get("NextToken"):
        try:
            after = pagination.position(given["NextToken"], TracePosition)
        except pagination.BadMarker:
            raise InvalidTraceRequest("The next token specified is invalid.") from None
        wanted = wanted._replace(after=after.at, after_id=after.trace_id)
    return wanted


class _Digest:
    """From a trace to its position, and its summary if it passes."""

    def __init__(self, wanted: TraceRange, passes: Test | None) -> None:
        self._account_id, self._by_event, self._passes = wanted.account_id, wanted.by_event, passes

    def __call__(self, stored: StoredTrace) -> tuple[TracePosition, dict[str, Any] | None]:
        at = stored.updated_at_ms if self._by_event else stored.made_at_s
        return TracePosition(at, stored.trace_id), self._summary(assemble(stored))

    def _summary(self, trace: Assembled) -> dict[str, Any] | None:
        subject = of_trace(trace, self._account_id)
        if not trace.segments or (self._passes is not None and not self._passes(subject)):
            return None
        return summary(trace, subject, self._account_id, by_event=self._by_event)
