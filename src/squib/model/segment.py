"""Segment documents: what X-Ray takes and what it refuses (X-Ray developer guide, "Segment documents"). Pure.

A document is kept as it was sent. Here is read only what says where it belongs.
"""

import re
from typing import Any, Final

import msgspec

from squib.model.trace import is_segment_id, is_trace_id, made_at_s

MAX_SEGMENT_BYTES: Final = 64 * 1024  # X-Ray quotas, "Segment document size"
MAX_TRACE_BYTES: Final = 500 * 1024  # X-Ray quotas, "Trace document size"
RETENTION_DAYS: Final = 30  # X-Ray quotas, "Trace retention"
MAX_AHEAD_S: Final = 300  # squib's choice: how far a client's clock may be ahead

_NAME: Final = re.compile(r"[\w\s.:/%&#=+\\\-@]{1,200}")
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One segment, or a subsegment that was sent by itself."""

    trace_id: str
    segment_id: str
    start_ms: int
    end_ms: int
    """Its start, while it is in progress."""
    document: bytes
    """JSON, as it was sent."""


class RefusedSegment(Exception):
    """A document that is none. `code` is X-Ray's error code, `segment_id` is empty where it has none."""

    def __init__(self, code: str, segment_id: str, *, is_subsegment: bool) -> None:
        super().__init__(code)
        self.code, self.segment_id = code, segment_id
        kind = "subsegment" if is_subsegment else "segment"
        self.message = f"Invalid {kind}. ErrorCode: {code}"


def read_segment(text: str | bytes, *, now_s: int) -> Segment:
    """A document, checked. Raises RefusedSegment."""
    document = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if len(document) > MAX_SEGMENT_BYTES:
        raise RefusedSegment("SegmentTooLarge", "", is_subsegment=False)
    try:
        given = _decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RefusedSegment("ParseError", "", is_subsegment=False) from None
    return checked(given, document, now_s=now_s)


def checked(given: dict[str, Any], document: bytes, *, now_s: int) -> Segment:
    """The segment that `given` is, whose text is `document`. Raises RefusedSegment."""
    segment_id, is_subsegment = given.get("id"), given.get("type") == "subsegment"

    def refused(code: str) -> RefusedSegment:
        named = segment_id if isinstance(segment_id, str) and is_segment_id(segment_id) else ""
        return RefusedSegment(code, named, is_subsegment=is_subsegment)

    if segment_id is None:
        raise refused("MissingId")
    if not isinstance(segment_id, str) or not is_segment_id(segment_id):
        raise refused("InvalidId")
    name = given.get("name")
    if name is None:
        raise refused("MissingName")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise refused("InvalidName")
    trace_id = given.get("trace_id")
    if trace_id is None:
        raise refused("MissingTraceId")
    if not isinstance(trace_id, str) or not is_trace_id(trace_id):
        raise refused("InvalidTraceId")
    age_s = now_s - made_at_s(trace_id)
    if not -MAX_AHEAD_S <= age_s <= RETENTION_DAYS * 86_400:
        raise refused("InvalidTraceId")
    parent = given.get("parent_id")
    if parent is None:
        if is_subsegment:
            raise refused("MissingParentId")
    elif not isinstance(parent, str) or not is_segment_id(parent):
        raise refused("InvalidParentId")
    start_s, end_s = given.get("start_time"), given.get("end_time")
    if start_s is None:
        raise refused("MissingStartTime")
    if not _is_time(start_s):
        raise refused("InvalidStartTime")
    if end_s is None:
        if given.get("in_progress") is not True:
            raise refused("MissingEndTime")
        end_s = start_s
    elif not _is_time(end_s) or end_s < start_s:
        raise refused("InvalidEndTime")
    return Segment(
        trace_id=trace_id,
        segment_id=segment_id,
        start_ms=round(start_s * 1000),
        end_ms=round(end_s * 1000),
        document=document,
    )


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11
