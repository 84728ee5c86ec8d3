"""Log events: paging through one stream both ways, and searching a group.

A token of GetLogEvents is a gap between two events and a direction. The gap is named by the event before it,
so both tokens of a page stay exact while the stream grows: none is given twice, none is passed over.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from squib.control_plane.logs.filter_pattern import Matcher, parse_filter_pattern
from squib.control_plane.logs.groups import invalid_token, named_group
from squib.control_plane.logs.shapes import filtered_event_shape, output_event_shape
from squib.control_plane.pagination import BadMarker, marker, position
from squib.model.errors import InvalidParameter, LogResourceNotFound
from squib.model.log import LogEvent, LogGroupKey, event_bytes
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.units import EpochMs
from squib.store.base import Logs

MAX_PAGE_EVENTS: Final = 10_000  # GetLogEvents and FilterLogEvents reference, `limit`
MAX_PAGE_BYTES: Final = 1024 * 1024  # the same: a page holds up to 1 MB
MAX_SEARCHED_BYTES: Final = (
    64 * 1024 * 1024
)  # squib's choice: then a page is given, full or not, with a token
_SEARCH_BATCH_BYTES: Final = 2 * 1024 * 1024


class _Gap(msgspec.Struct, frozen=True, tag="log-events", forbid_unknown_fields=True):
    """The place in one stream after the event of this timestamp and sequence."""

    timestamp_ms: EpochMs
    sequence: int


class _Searched(msgspec.Struct, frozen=True, tag="log-search", forbid_unknown_fields=True):
    """The last event that a search has looked at, and the direction it goes."""

    timestamp_ms: EpochMs
    stream: str
    sequence: int
    is_backwards: bool


async def get_log_events(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """GetLogEvents: one stream, the latest page first unless startFromHead, each page in order of time."""
    gap, is_backwards = _gap(call)
    start_ms, end_ms = call.input.get("startTime"), call.input.get("endTime")
    group = await named_group(logs, call)
    stream = call.input["logStreamName"]
    await _require_streams(logs, group, [stream])
    after = None
    if gap is not None:  # backwards, the event that names the gap is itself wanted
        after = (gap.timestamp_ms, stream, gap.sequence + 1 if is_backwards else gap.sequence)
    found = await logs.events(
        group,
        [stream],
        start_ms=start_ms,
        end_ms=end_ms,
        after=after,
        limit=call.input.get("limit", MAX_PAGE_EVENTS),
        max_bytes=MAX_PAGE_BYTES,
        backwards=is_backwards,
    )
    if is_backwards:
        found = found[::-1]
    if found:
        before = _Gap(found[0].timestamp_ms, found[0].sequence - 1)
        behind = _Gap(found[-1].timestamp_ms, found[-1].sequence)
    else:
        before = behind = gap or _Gap(EpochMs(0), -1)
    return OperationResult(
        output={
            "events": [output_event_shape(event) for event in found],
            "nextForwardToken": f"f/{marker(behind)}",
            "nextBackwardToken": f"b/{marker(before)}",
        }
    )


async def filter_log_events(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """FilterLogEvents: many streams' events in order of time, those that match a pattern."""
    searched = _searched(call)
    matches = parse_filter_pattern(call.input.get("filterPattern", ""))
    names, prefix = call.input.get("logStreamNames"), call.input.get("logStreamNamePrefix", "")
    if names and prefix:
        raise InvalidParameter("Cannot specify both logStreamNames and logStreamNamePrefix.")
    group = await named_group(logs, call)
    if names:
        await _require_streams(logs, group, names)
    else:
        names = [stream.name for stream in await logs.streams(group, prefix=prefix)]
    is_backwards = searched.is_backwards if searched else not call.input.get("startFromHead", True)
    end_ms = call.input.get("endTime")
    limit = call.input.get("limit", MAX_PAGE_EVENTS)
    page: list[LogEvent] = []
    room_bytes, searched_bytes = MAX_PAGE_BYTES, 0
    is_finished = False
    while len(page) < limit and room_bytes > 0 and searched_bytes < MAX_SEARCHED_BYTES:
        batch = await logs.events(
            group,
            names,
            start_ms=call.input.get("startTime"),
            end_ms=None if end_ms is None else EpochMs(end_ms + 1),  # the end itself is included
            after=(searched.timestamp_ms, searched.stream, searched.sequence) if searched else None,
            limit=limit - len(page) if matches is None else MAX_PAGE_EVENTS,
            max_bytes=room_bytes if matches is None else _SEARCH_BATCH_BYTES,
            backwards=is_backwards,
        )
        if not batch:
            is_finished = True
            break
        searched_bytes += sum(map(event_bytes, batch))
        found = batch if matches is None else await asyncio.to_thread(_matching, matches, batch)
        taken, room_bytes = _fitting(found, limit - len(page), room_bytes, is_page_empty=not page)
        page.extend(taken)
        last = batch[-1] if len(taken) == len(found) else (page or batch)[-1]
        searched = _Searched(last.timestamp_ms, last.stream, last.sequence, is_backwards)
    output: dict[str, object] = {
        "events": [filtered_event_shape(event) for event in page],
        "searchedLogStreams": [],
    }
    if searched is not None and not is_finished:
        output["nextToken"] = marker(searched)
    return OperationResult(output=output)


def _matching(matches: Matcher, batch: Sequence[LogEvent]) -> Sequence[LogEvent]:
    return [event for event in batch if matches(event.message)]


def _fitting(
    events: Sequence[LogEvent], limit: int, room_bytes: int, *, is_page_empty: bool
) -> tuple[Sequence[LogEvent], int]:
    """The first of `events` that fit, and the room left; none is left when one did not fit."""
    taken: list[LogEvent] = []
    for event in events[:limit]:
        room_bytes -= event_bytes(event)
        if room_bytes < 0 and (taken or not is_page_empty):
            break
        taken.append(event)
    return taken, room_bytes


async def _require_streams(logs: Logs, group: LogGroupKey, names: Sequence[str]) -> None:
    for name in names:
        found = await logs.streams(group, prefix=name)
        if not any(stream.name == name for stream in found):
            raise LogResourceNotFound("log stream")


def _gap(call: AuthorizedCall) -> tuple[_Gap | None, bool]:
    """Where GetLogEvents starts, and whether it goes backwards. A token decides both."""
    token = call.input.get("nextToken")
    if token is None:
        return None, not call.input.get("startFromHead", False)
    direction, _, packed = token.partition("/")
    if direction not in ("f", "b"):
        raise invalid_token()
    try:
        return position(packed, _Gap), direction == "b"
    except BadMarker:
        raise invalid_token() from None


def _searched(call: AuthorizedCall) -> _Searched | None:
    token = call.input.get("nextToken")
    if token is None:
        return None
    try:
        return position(token, _Searched)
    except BadMarker:
        raise invalid_token() from None
