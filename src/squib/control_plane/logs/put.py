"""PutLogEvents: which events of a batch are taken, and which batches are refused."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from squib.model.errors import InvalidParameter, LogResourceNotFound
from squib.model.limits import (
    MAX_PUT_AGE_MS,
    MAX_PUT_BATCH_BYTES,
    MAX_PUT_EVENT_BYTES,
    MAX_PUT_FUTURE_MS,
    MAX_PUT_SPAN_MS,
)
from squib.model.log import LogGroupKey, message_bytes, retained_since
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.units import EpochMs
from squib.store.base import Logs

_NEXT_SEQUENCE_TOKEN: Final = "49" + "0" * 54
"""Always the same: tokens are ignored, but old clients want one (PutLogEvents reference)."""


class Batch(NamedTuple):
    """What is taken of a batch."""

    events: Sequence[tuple[EpochMs, str]]
    rejected: Mapping[str, int]
    """Members of `RejectedLogEventsInfo`; empty when every event is taken."""


async def put_log_events(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """PutLogEvents: the events are in the stream's file when it answers."""
    key = LogGroupKey(call.account_id, call.region, call.input["logGroupName"])
    group = await logs.group(key)
    if group is None:
        raise LogResourceNotFound("log group")
    batch = accepted(call.input["logEvents"], retention_days=group.retention_days, now_ms=call.received_at_ms)
    stream = call.input["logStreamName"]
    if batch.events:
        is_there = await logs.put_events(key, stream, batch.events)
    else:
        is_there = any(found.name == stream for found in await logs.streams(key, prefix=stream))
    if not is_there:
        raise LogResourceNotFound("log stream")
    output: dict[str, Any] = {"nextSequenceToken": _NEXT_SEQUENCE_TOKEN}
    if batch.rejected:
        output["rejectedLogEventsInfo"] = batch.rejected
    if "entity" in call.input:  # squib knows no entities: it says so, and takes the events, as the API does
        output["rejectedEntityInfo"] = {"errorType": "UnsupportedLogGroupType"}
    return OperationResult(output=output)


def accepted(given: Sequence[Mapping[str, Any]], *, retention_days: int | None, now_ms: EpochMs) -> Batch:
    """The events of `given` (`InputLogEvent`s) that are neither too old, too new nor expired.

    Raises InvalidParameter for a batch that is too large, out of order, or too long in time.
    """
    size_bytes = 0
    for event in given:
        event_bytes = message_bytes(event["message"])
        if event_bytes > MAX_PUT_EVENT_BYTES:
            raise InvalidParameter(
                f"Log event too large: {event_bytes} bytes exceeds limit of {MAX_PUT_EVENT_BYTES}"
            )
        size_bytes += event_bytes
    if size_bytes > MAX_PUT_BATCH_BYTES:
        raise InvalidParameter(f"Upload too large: {size_bytes} bytes exceeds limit of {MAX_PUT_BATCH_BYTES}")
    stamps = [event["timestamp"] for event in given]
    if any(later < earlier for earlier, later in pairwise(stamps)):
        raise InvalidParameter("Log events in a single PutLogEvents request must be in chronological order.")
    too_old_end = bisect_left(stamps, now_ms - MAX_PUT_AGE_MS)
    since_ms = retained_since(retention_days, now_ms=now_ms)
    expired_end = 0 if since_ms is None else bisect_left(stamps, since_ms)
    too_new_start = bisect_right(stamps, now_ms + MAX_PUT_FUTURE_MS)
    taken = given[max(too_old_end, expired_end) : too_new_start]
    if taken and taken[-1]["timestamp"] - taken[0]["timestamp"] > MAX_PUT_SPAN_MS:
        raise InvalidParameter(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        )
    rejected: dict[str, int] = {}
    if too_new_start < len(given):
        rejected["tooNewLogEventStartIndex"] = too_new_start
    if too_old_end > 0:
        rejected["tooOldLogEventEndIndex"] = too_old_end
    if expired_end > 0:
        rejected["expiredLogEventEndIndex"] = expired_end
    return Batch([(EpochMs(event["timestamp"]), event["message"]) for event in taken], rejected)
