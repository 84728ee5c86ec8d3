"""What is remembered of a log stream besides its events: times, sizes, and the segment files they lie in."""

import msgspec

from squib.model.log import LogGroupKey, LogStream
from squib.model.units import EpochMs


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One append-only file of a stream. Times are those of its earliest and latest event."""

    first_sequence: int
    """Of the file's first event; names the file."""
    size_bytes: int
    first_event_at_ms: EpochMs
    last_event_at_ms: EpochMs


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as it stands in memory and, a little later, in its row. Segments are in order of sequence."""

    created_at_ms: EpochMs
    last_ingestion_at_ms: EpochMs | None = None
    next_sequence: int = 0
    segments: tuple[Segment, ...] = ()

    def extended(self, segment: Segment, *, next_sequence: int, ingestion_ms: EpochMs) -> "StreamState":
        """With `segment` in place of the last one if it is the same file grown, else after it."""
        kept = self.segments
        if kept and kept[-1].first_sequence == segment.first_sequence:
            kept = kept[:-1]
        return StreamState(
            created_at_ms=self.created_at_ms,
            last_ingestion_at_ms=ingestion_ms,
            next_sequence=next_sequence,
            segments=(*kept, segment),
        )

    def expired(self, since_ms: EpochMs | None) -> tuple[Segment, ...]:
        """The segments that hold nothing from `since_ms` on; none when it is None."""
        if since_ms is None:
            return ()
        return tuple(segment for segment in self.segments if segment.last_event_at_ms < since_ms)

    def without(self, gone: tuple[Segment, ...]) -> "StreamState":
        """With those segments taken out. Sequences go on where they were."""
        if not gone:
            return self
        names = {segment.first_sequence for segment in gone}
        kept = tuple(segment for segment in self.segments if segment.first_sequence not in names)
        return msgspec.structs.replace(self, segments=kept)

    def described(self, group: LogGroupKey, name: str) -> LogStream:
        """As the API speaks of it."""
        segments = self.segments
        return LogStream(
            group=group,
            name=name,
            created_at_ms=self.created_at_ms,
            first_event_at_ms=min(s.first_event_at_ms for s in segments) if segments else None,
            last_event_at_ms=max(s.last_event_at_ms for s in segments) if segments else None,
            last_ingestion_at_ms=self.last_ingestion_at_ms,
            stored_bytes=sum(s.size_bytes for s in segments),
        )
