"""Log streams: making and deleting them, listing those of a group by name or by their last event."""

from typing import Final

import msgspec

from squib.control_plane.logs.groups import invalid_token, named_group
from squib.control_plane.logs.shapes import stream_shape
from squib.control_plane.pagination import BadMarker, marker, position
from squib.model.errors import InvalidParameter, LogResourceAlreadyExists, LogResourceNotFound
from squib.model.log import LogGroupKey, LogStream
from squib.model.operation import AuthorizedCall, OperationResult
from squib.store.base import Logs

MAX_PAGE: Final = 50  # DescribeLogStreams reference, `limit`


class _After(msgspec.Struct, frozen=True, order=True, tag="log-streams", forbid_unknown_fields=True):
    """The last stream given. `time_ms` is 0 when ordered by name."""

    time_ms: int
    name: str


async def create_log_stream(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """CreateLogStream: in a group that exists."""
    group = LogGroupKey(call.account_id, call.region, call.input["logGroupName"])
    is_new = await logs.create_stream(group, call.input["logStreamName"], now_ms=call.received_at_ms)
    if is_new is None:
        raise LogResourceNotFound("log group")
    if not is_new:
        raise LogResourceAlreadyExists("log stream")
    return OperationResult(output={})


async def delete_log_stream(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """DeleteLogStream: with its events."""
    group = await named_group(logs, call)
    if not await logs.delete_stream(group, call.input["logStreamName"]):
        raise LogResourceNotFound("log stream")
    return OperationResult(output={})


async def describe_log_streams(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """DescribeLogStreams: ordered by name or by last event; a stream without events comes before all."""
    prefix = call.input.get("logStreamNamePrefix", "")
    is_by_time = call.input.get("orderBy") == "LastEventTime"
    if is_by_time and prefix:
        raise InvalidParameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
    is_descending = call.input.get("descending", False)
    limit = call.input.get("limit", MAX_PAGE)
    after = _after(call)

    def place(stream: LogStream) -> _After:
        return _After((stream.last_event_at_ms or 0) if is_by_time else 0, stream.name)

    group = await named_group(logs, call)
    placed = sorted(
        ((place(stream), stream) for stream in await logs.streams(group, prefix=prefix)),
        key=lambda pair: pair[0],
        reverse=is_descending,
    )
    if after is not None:
        placed = [pair for pair in placed if (pair[0] < after if is_descending else pair[0] > after)]
    output: dict[str, object] = {"logStreams": [stream_shape(stream) for _, stream in placed[:limit]]}
    if len(placed) > limit:
        output["nextToken"] = marker(placed[limit - 1][0])
    return OperationResult(output=output)


def _after(call: AuthorizedCall) -> _After | None:
    token = call.input.get("nextToken")
    if not token:
        return None
    try:
        return position(token, _After)
    except BadMarker:
        raise invalid_token() from None
