"""Merging streams: the same events in the same order as sorting all of them, whatever the files look like."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squib.model.units import EpochMs
from squib.store.log_merge import Range, Source, merged
from squib.store.log_segments import Segments
from squib.store.log_state import StreamState

# A stream is flushes of timestamps; jumps of a minute stand for a clock that was set back.
TIMES = st.builds(
    lambda base, minutes: EpochMs(base + 60_000 * minutes), st.integers(0, 5), st.integers(0, 2)
)
STREAMS = st.lists(st.lists(st.lists(TIMES, min_size=1, max_size=5), max_size=4), min_size=1, max_size=4)
BOUND = st.none() | TIMES


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(STREAMS, st.sampled_from([1, 150, 10_000]), BOUND, BOUND, st.booleans(), st.integers(1, 7))
def test_pages_of_any_size_give_what_sorting_gives(
    streams: list[list[list[EpochMs]]],
    segment_bytes: int,
    start_ms: EpochMs | None,
    end_ms: EpochMs | None,
    backwards: bool,
    page_size: int,
) -> None:
    with tempfile.TemporaryDirectory() as root:
        segments = Segments(Path(root), segment_bytes=segment_bytes)
        sources = []
        for number, flushes in enumerate(streams):
            state = StreamState(created_at_ms=EpochMs(0))
            for flush, times in enumerate(flushes):
                events = [(at, f"{number}.{flush}.{i}") for i, at in enumerate(times)]
                state = segments.append(number, state, events, ingestion_ms=EpochMs(9))
            sources.append(Source(f"stream {9 - number}", number, state))
        everything = [e for source in sources for e in merged(segments, [source], Range())]
        assert sorted(e.message for e in everything) == sorted(
            f"{number}.{flush}.{i}"
            for number, flushes in enumerate(streams)
            for flush, times in enumerate(flushes)
            for i in range(len(times))
        )
        expected = sorted(
            (
                e
                for e in everything
                if (start_ms is None or e.timestamp_ms >= start_ms)
                and (end_ms is None or e.timestamp_ms < end_ms)
            ),
            key=lambda e: (e.timestamp_ms, e.stream, e.sequence),
            reverse=backwards,
        )
        found = []
        after = None
        while True:
            pages = merged(segments, sources, Range(start_ms, end_ms, after, backwards))
            page = [event for event, _ in zip(pages, range(page_size), strict=False)]
            if not page:
                break
            found += page
            after = (page[-1].timestamp_ms, page[-1].stream, page[-1].sequence)
        assert found == expected


def test_a_page_opens_only_the_files_it_needs(tmp_path: Path) -> None:
    segments = Segments(tmp_path, segment_bytes=1)
    state = StreamState(created_at_ms=EpochMs(0))
    for at in range(100):
        state = segments.append(1, state, [(EpochMs(at), str(at))], ingestion_ms=EpochMs(at))
    for path in (tmp_path / "01").iterdir():
        if path.name not in ("1-40.log", "1-41.log"):
            path.write_bytes(b"not to be read")
    found = merged(segments, [Source("s", 1, state)], Range(start_ms=EpochMs(40)))
    assert [next(found).message, next(found).message] == ["40", "41"]
