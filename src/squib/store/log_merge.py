"""Many streams' events in order of (timestamp, stream, sequence), reading as little as it takes.

Segments and blocks know the times of their first and last event. A heap holds them by the earliest time they
can contribute; only what comes to its top is opened. So a page of a large group costs about its own size.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from squib.model.log import LogEvent
from squib.model.units import EpochMs
from squib.store.log_blocks import Block, blocks, decode
from squib.store.log_segments import Segments
from squib.store.log_state import Segment, StreamState


class Source(NamedTuple):
    """One stream to read."""

    name: str
    stream_id: int
    state: StreamState


class Range(NamedTuple):
    """Which events are wanted, and in which direction they are given."""

    start_ms: EpochMs | None = None
    """The first timestamp wanted."""
    end_ms: EpochMs | None = None
    """The first timestamp not wanted any more."""
    after: tuple[EpochMs, str, int] | None = None
    """The last event (timestamp, stream, sequence) already given, in the direction of reading."""
    backwards: bool = False

    def may_hold(self, first_ms: EpochMs, last_ms: EpochMs) -> bool:
        """Whether events between the two times, both included, can be wanted."""
        if self.start_ms is not None and last_ms < self.start_ms:
            return False
        if self.end_ms is not None and first_ms >= self.end_ms:
            return False
        if self.after is None:
            return True
        return first_ms <= self.after[0] if self.backwards else last_ms >= self.after[0]

    def holds(self, event: LogEvent) -> bool:
        """Whether this event is wanted."""
        if self.start_ms is not None and event.timestamp_ms < self.start_ms:
            return False
        if self.end_ms is not None and event.timestamp_ms >= self.end_ms:
            return False
        if self.after is None:
            return True
        position = (event.timestamp_ms, event.stream, event.sequence)
        return position < self.after if self.backwards else position > self.after


_UNOPENED = 0  # sorts before events of the same millisecond: it may hold some
_EVENTS = 1

_Key: TypeAlias = tuple[int, int, int, int]
"""Time, _UNOPENED or _EVENTS, rank of the stream, sequence; all but the second negated when backwards."""


class _Opened(NamedTuple):
    """A segment's content and one block in it."""

    content: bytes
    block: Block


class _Run(NamedTuple):
    """Wanted events in order; the first `taken` are given already."""

    events: Sequence[LogEvent]
    taken: int


def merged(segments: Segments, sources: Sequence[Source], wanted: Range) -> Iterator[LogEvent]:
    """The wanted events of `sources`, the last first when backwards. Blocks on file reads."""
    merge = _Merge(segments, sorted(sources), wanted)
    return merge.events()


class _Merge:
    def __init__(self, segments: Segments, sources: Sequence[Source], wanted: Range) -> None:
        self._segments = segments
        self._sources = sources
        self._wanted = wanted
        self._sign = -1 if wanted.backwards else 1
        self._heap: list[tuple[_Key, Segment | _Opened | _Run]] = []

    def events(self) -> Iterator[LogEvent]:
        for rank, source in enumerate(self._sources):
            for segment in source.state.segments:
                self._push(rank, segment.first_sequence, segment)
        while self._heap:
            key, found = heapq.heappop(self._heap)
            rank = key[2] * self._sign
            match found:
                case Segment():
                    content = self._segments.read(self._sources[rank].stream_id, found)
                    for block in blocks(content):
                        self._push(rank, block.first_sequence, _Opened(content, block))
                case _Opened():
                    self._push_run(rank, _Run(self._open(rank, found), 0))
                case _Run():
                    yield from self._take(rank, found)

    def _push(self, rank: int, first_sequence: int, unopened: Segment | _Opened) -> None:
        times = unopened if isinstance(unopened, Segment) else unopened.block
        if not self._wanted.may_hold(times.first_event_at_ms, times.last_event_at_ms):
            return
        bound = times.last_event_at_ms if self._wanted.backwards else times.first_event_at_ms
        sign = self._sign
        heapq.heappush(self._heap, ((sign * bound, _UNOPENED, sign * rank, sign * first_sequence), unopened))

    def _open(self, rank: int, opened: _Opened) -> Sequence[LogEvent]:
        name, block = self._sources[rank].name, opened.block
        found = [
            LogEvent(name, EpochMs(timestamp_ms), block.ingestion_ms, message, sequence)
            for sequence, (timestamp_ms, message) in enumerate(
                decode(opened.content, block), block.first_sequence
            )
        ]
        found = [event for event in found if self._wanted.holds(event)]
        found.sort(key=_position, reverse=self._wanted.backwards)
        return found

    def _push_run(self, rank: int, run: _Run) -> None:
        if run.taken < len(run.events):
            heapq.heappush(self._heap, (self._key(rank, run.events[run.taken]), run))

    def _take(self, rank: int, run: _Run) -> Iterator[LogEvent]:
        """Events up to where something else comes first; the rest goes back."""
        taken = run.taken
        while taken < len(run.events) and not (
            self._heap and self._heap[0][0] < self._key(rank, run.events[taken])
        ):
            yield run.events[taken]
            taken += 1
        self._push_run(rank, _Run(run.events, taken))

    def _key(self, rank: int, event: LogEvent) -> _Key:
        sign = self._sign
        return (sign * event.timestamp_ms, _EVENTS, sign * rank, sign * event.sequence)


def _position(event: LogEvent) -> tuple[int, int]:
    return (event.timestamp_ms, event.sequence)
