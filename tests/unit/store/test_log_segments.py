"""Segment files: appending, going on in a new file, and what is found after a crash."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from squib.model.limits import MAX_PUT_EVENT_BYTES
from squib.model.units import EpochMs
from squib.store.log_blocks import blocks, decode
from squib.store.log_segments import MAX_SEGMENT_SPAN_MS, MIN_SPANNED_BYTES, Segments
from squib.store.log_state import StreamState
from squib.store.segment_files import UNCHECKED_BYTES

NEW = StreamState(created_at_ms=EpochMs(1))
STREAM_ID = 258


def append(segments: Segments, state: StreamState, *messages: str, at_ms: int = 1000) -> StreamState:
    events = [(EpochMs(at_ms + i), message) for i, message in enumerate(messages)]
    return segments.append(STREAM_ID, state, events, ingestion_ms=EpochMs(at_ms + 500))


def messages(segments: Segments, state: StreamState) -> list[str]:
    found = []
    for segment in state.segments:
        content = segments.read(STREAM_ID, segment)
        found += [text for block in blocks(content, checked=True) for _, text in decode(content, block)]
    return found


def test_the_state_says_what_the_file_holds(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=10_000)
    state = append(segments, append(segments, NEW, "a", "b"), "c", at_ms=3000)
    assert messages(segments, state) == ["a", "b", "c"]
    assert state.next_sequence == 3
    assert state.last_ingestion_at_ms == 3500
    [segment] = state.segments
    assert (segment.first_event_at_ms, segment.last_event_at_ms) == (1000, 3000)
    path = tmp_path / "02" / "258-0.log"
    assert path.stat().st_size == segment.size_bytes
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=1)
    state = NEW
    for message in "abc":
        state = append(segments, state, message)
    assert [segment.first_sequence for segment in state.segments] == [0, 1, 2]
    assert messages(segments, state) == ["a", "b", "c"]


def test_every_way_to_cut_the_last_block_is_mended(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=10_000)
    kept = append(segments, NEW, "kept one", "kept two")
    whole = append(segments, kept, "torn")
    path = tmp_path / "02" / "258-0.log"
    content = path.read_bytes()
    for size in range(kept.segments[0].size_bytes, len(content)):
        path.write_bytes(content[:size])
        recovered = segments.recover(STREAM_ID, NEW)
        assert recovered.segments == kept.segments
        assert recovered.next_sequence == 2
        assert path.stat().st_size == kept.segments[0].size_bytes
        again = append(segments, recovered, "after")
        assert messages(segments, again) == ["kept one", "kept two", "after"]
    path.write_bytes(content)
    assert segments.recover(STREAM_ID, NEW) == whole


@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_files_the_row_does_not_know_are_found(tmp_path: Path, known: int) -> None:
    segments = Segments(tmp_path, segment_bytes=1)
    states = [NEW]
    for message in "abc":
        states.append(append(segments, states[-1], message))
    assert segments.recover(STREAM_ID, states[known]) == states[-1]


def test_a_stream_that_never_had_a_file_is_intact(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=1)
    assert segments.is_intact(STREAM_ID, NEW)
    assert segments.recover(STREAM_ID, NEW) == NEW


def test_a_file_with_nothing_whole_in_it_is_removed(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=1)
    state = append(segments, NEW, "a")
    torn = tmp_path / "02" / "258-1.log"
    torn.write_bytes(b"SQB1 and then nothing")
    assert not segments.is_intact(STREAM_ID, NEW)
    assert segments.recover(STREAM_ID, state) == state
    assert not torn.exists()


def test_a_file_shorter_than_its_row_says_is_noticed(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=10_000)
    first = append(segments, NEW, "a")
    second = append(segments, first, "b")
    assert segments.is_intact(STREAM_ID, second)
    os.truncate(tmp_path / "02" / "258-0.log", first.segments[0].size_bytes + 3)
    assert messages(segments, second) == ["a"]
    assert not segments.is_intact(STREAM_ID, second)
    assert segments.recover(STREAM_ID, second).next_sequence == 1


def test_a_refused_write_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=10_000)
    (tmp_path / "02").write_bytes(b"in the way")
    with pytest.raises(NotADirectoryError):
        append(segments, NEW, "a")
    (tmp_path / "02").unlink()
    assert messages(segments, append(segments, NEW, "b")) == ["b"]


def test_removed_streams_read_as_empty(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=1)
    state = append(segments, append(segments, NEW, "a"), "b")
    segments.remove(STREAM_ID, state.segments)
    segments.remove(STREAM_ID, state.segments)
    assert messages(segments, state) == []
    assert not list((tmp_path / "02").iterdir())


def test_logs_leave_the_last_of_the_disk_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = Segments(tmp_path, segment_bytes=10_000)
    state = append(segments, NEW, "a")
    monkeypatch.setattr(
        os, "fstatvfs", lambda fd: SimpleNamespace(f_frsize=4096, f_blocks=1 << 30, f_bavail=10_000)
    )
    with pytest.raises(OSError, match="nearly full"):
        append(segments, state, *["b" * 1000] * (UNCHECKED_BYTES // 1000))
    with pytest.raises(OSError, match="nearly full"):
        append(segments, state, "looked at anew as long as it is full")
    monkeypatch.undo()
    assert segments.is_intact(STREAM_ID, state)
    assert messages(segments, append(segments, state, "c")) == ["a", "c"]


def test_a_stream_that_was_removed_begins_a_file_anew(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=10_000)
    segments.remove(STREAM_ID, append(segments, NEW, "a").segments)
    assert messages(segments, append(segments, NEW, "b")) == ["b"]


def test_a_file_that_spans_more_than_a_day_is_followed_by_another(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=10_000_000)
    small = append(segments, append(segments, NEW, "a"), "b", at_ms=1000 + MAX_SEGMENT_SPAN_MS * 3)
    assert len(small.segments) == 1
    state = append(segments, NEW, "x" * MIN_SPANNED_BYTES)
    state = append(segments, state, "same day", at_ms=1000 + MAX_SEGMENT_SPAN_MS)
    state = append(segments, state, "next day", at_ms=1001 + MAX_SEGMENT_SPAN_MS)
    assert [segment.first_sequence for segment in state.segments] == [0, 2]


def test_put_events_keep_their_times_and_length(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=10_000_000)
    state = append(segments, NEW, "later", at_ms=2000)
    long = "x" * (MAX_PUT_EVENT_BYTES - 26)
    state = segments.append(
        STREAM_ID, state, [(EpochMs(1999), long)], ingestion_ms=EpochMs(3000), is_exact=True
    )
    assert messages(segments, state) == ["later", long]
    assert [segment.first_event_at_ms for segment in state.segments] == [1999]


def test_what_has_expired_is_whole_files_and_numbers_go_on(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=1)
    state = append(segments, NEW, "a", at_ms=1000)
    state = append(segments, state, "b", "c", at_ms=2000)
    assert state.expired(None) == ()
    assert state.expired(EpochMs(1000)) == ()
    assert [segment.first_sequence for segment in state.expired(EpochMs(2001))] == [0]
    gone = state.expired(EpochMs(2002))
    segments.remove(STREAM_ID, gone)
    kept = state.without(gone)
    assert (kept.segments, kept.next_sequence) == ((), 3)
    for after_crash in (state, kept):  # killed before and after the row was written
        recovered = segments.recover(STREAM_ID, after_crash)
        assert recovered.next_sequence == 3
        again = append(segments, recovered, "d", at_ms=5000)
        assert messages(segments, again) == ["d"]
        segments.remove(STREAM_ID, again.segments)
