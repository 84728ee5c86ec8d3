"""PutTraceSegments and PutTelemetryRecords: what SDKs and daemons send."""

from typing import Any, Final

from squib.clock import Clock
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.segment import RefusedSegment, read_segment
from squib.model.trace_errors import InvalidTraceRequest
from squib.store.traces import Traces

MAX_DOCUMENTS: Final = 500  # squib's choice: the daemon sends 50 at most


def put_trace_segments(traces: Traces, clock: Clock, call: AuthorizedCall) -> OperationResult:
    """Each document by itself is taken, or told back as unprocessed. Raises InvalidTraceRequest."""
    documents = call.input["TraceSegmentDocuments"]
    if len(documents) > MAX_DOCUMENTS:
        raise InvalidTraceRequest(f"TraceSegmentDocuments must have at most {MAX_DOCUMENTS} members.")
    now_s = clock.now_ms() // 1000
    unprocessed: list[dict[str, Any]] = []
    for document in documents:
        try:
            segment = read_segment(document or "", now_s=now_s)
        except RefusedSegment as refused:
            shape = {"ErrorCode": refused.code, "Message": refused.message}
            unprocessed.append({"Id": refused.segment_id, **shape} if refused.segment_id else shape)
            continue
        if not traces.put(call.account_id, call.region, segment):
            unprocessed.append(
                {
                    "Id": segment.segment_id,
                    "ErrorCode": "ThrottledException",
                    "Message": "Segments come faster than they can be written.",
                }
            )
    return OperationResult(output={"UnprocessedTraceSegments": unprocessed})


def put_telemetry_records(call: AuthorizedCall) -> OperationResult:
    """What a daemon tells of itself. AWS has no operation that gives it back, so there is nothing to keep."""
    return OperationResult(output={})
