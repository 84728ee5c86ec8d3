"""Segment documents: which are taken, and how each of the others is refused."""

import json
from typing import Any

import pytest

from squib.model.segment import MAX_SEGMENT_BYTES, RefusedSegment, read_segment

NOW_S = 1_700_000_000
TRACE = f"1-{NOW_S:08x}-bd862e3fe1be46a994272793"
GOOD: dict[str, Any] = {
    "id": "53995c3f42cd8ad8",
    "name": "thumbnail",
    "trace_id": TRACE,
    "start_time": NOW_S - 1.25,
    "end_time": NOW_S,
}
LONG_AGO = f"1-{NOW_S - 31 * 86_400:08x}-bd862e3fe1be46a994272793"
TO_COME = f"1-{NOW_S + 3_600:08x}-bd862e3fe1be46a994272793"


def read(**more: Any) -> Any:
    given = {name: value for name, value in {**GOOD, **more}.items() if value is not ...}
    return read_segment(json.dumps(given), now_s=NOW_S)


def test_segment_is_kept_as_it_was_sent() -> None:
    found = read()
    assert (found.trace_id, found.segment_id) == (TRACE, GOOD["id"])
    assert (found.start_ms, found.end_ms) == (NOW_S * 1000 - 1250, NOW_S * 1000)
    assert found.document == json.dumps(GOOD).encode()


def test_segment_in_progress_ends_where_it_began() -> None:
    found = read(end_time=..., in_progress=True)
    assert found.end_ms == found.start_ms


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"id": ...}, "MissingId"),
        ({"id": "xyz"}, "InvalidId"),
        ({"id": 7}, "InvalidId"),
        ({"name": ...}, "MissingName"),
        ({"name": "a?b"}, "InvalidName"),
        ({"name": ""}, "InvalidName"),
        ({"name": "n" * 201}, "InvalidName"),
        ({"trace_id": ...}, "MissingTraceId"),
        ({"trace_id": "1-2-3"}, "InvalidTraceId"),
        ({"trace_id": LONG_AGO}, "InvalidTraceId"),
        ({"trace_id": TO_COME}, "InvalidTraceId"),
        ({"type": "subsegment"}, "MissingParentId"),
        ({"parent_id": "x"}, "InvalidParentId"),
        ({"start_time": ...}, "MissingStartTime"),
        ({"start_time": "now"}, "InvalidStartTime"),
        ({"start_time": True}, "InvalidStartTime"),
        ({"end_time": ...}, "MissingEndTime"),
        ({"end_time": NOW_S - 2}, "InvalidEndTime"),
        ({"end_time": 1e300}, "InvalidEndTime"),
    ],
)
def test_document_that_is_no_segment_is_refused_with_its_code(more: dict[str, Any], code: str) -> None:
    with pytest.raises(RefusedSegment) as refused:
        read(**more)
    assert refused.value.code == code
    kind = "subsegment" if "type" in more else "segment"
    assert refused.value.message == f"Invalid {kind}. ErrorCode: {code}"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", "ParseError"),
        ("[]", "ParseError"),
        ('{"id": NaN}', "ParseError"),
        ('{"a":' * 5_000, "ParseError"),
        ("\ud800", "ParseError"),
        (" " * (MAX_SEGMENT_BYTES + 1), "SegmentTooLarge"),
    ],
    ids=["empty", "list", "no number", "deep", "no text", "large"],
)
def test_what_is_no_document_at_all_is_refused(document: str, code: str) -> None:
    with pytest.raises(RefusedSegment) as refused:
        read_segment(document, now_s=NOW_S)
    assert refused.value.code == code
