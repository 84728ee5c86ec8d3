"""The files log events lie in: append, read, recover, remove. Blocks; one call at a time, but for `read`.

A stream's segments are `<root>/<low byte of its id>/<id>-<first sequence>.log`, mode 0600. Appending is not
fsynced: the death of the process loses nothing that was written, the death of the machine may lose the tail.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from squib.model.limits import MAX_LOG_EVENT_BYTES, MAX_PUT_EVENT_BYTES
from squib.model.units import EpochMs
from squib.store.data_dir import make_private_directory
from squib.store.log_blocks import Buffered, blocks, encode, in_order
from squib.store.log_state import Segment, StreamState
from squib.store.segment_files import SegmentFiles

RESERVE_BYTES: Final = 256 << 20  # squib's choice: what logs leave free on the disk, for the database
MAX_SEGMENT_SPAN_MS: Final = 24 * 3600 * 1000  # squib's choice: what outlives its retention in a file
MIN_SPANNED_BYTES: Final = 64 * 1024  # squib's choice: smaller files may span any time


class Segments:
    """The segment files under one directory."""

    def __init__(self, root: Path, *, segment_bytes: int, reserve_bytes: int = RESERVE_BYTES) -> None:
        """Makes the directory. `segment_bytes`: size from which a stream goes on in a new file;
        `reserve_bytes`: see SegmentFiles."""
        make_private_directory(root)
        self._root = str(root)
        self._segment_bytes = segment_bytes
        self._files = SegmentFiles(reserve_bytes)

    def append(
        self,
        stream_id: int,
        state: StreamState,
        events: Sequence[Buffered],
        *,
        ingestion_ms: EpochMs,
        is_exact: bool = False,
    ) -> StreamState:
        """Writes `events` (at least one) with one write and returns the new state. When `is_exact`, times
        stay as they are and messages whole, as far as PutLogEvents allows them.

        Raises OSError; then the file is as it was.
        """
        segment = state.segments[-1] if state.segments else None
        if not is_exact:
            events = in_order(events, segment.last_event_at_ms if segment else None)
        first_sequence = state.next_sequence
        encoded = encode(
            events,
            first_sequence=first_sequence,
            ingestion_ms=ingestion_ms,
            max_event_bytes=MAX_PUT_EVENT_BYTES if is_exact else MAX_LOG_EVENT_BYTES,
        )
        if segment is None or self._is_full(segment, encoded.last_event_at_ms):
            segment = Segment(
                first_sequence=first_sequence,
                size_bytes=0,
                first_event_at_ms=encoded.first_event_at_ms,
                last_event_at_ms=encoded.last_event_at_ms,
            )
        path = self._path(stream_id, segment.first_sequence)
        self._files.append(path, encoded.content, segment.size_bytes)
        grown = Segment(
            first_sequence=segment.first_sequence,
            size_bytes=segment.size_bytes + len(encoded.content),
            first_event_at_ms=min(segment.first_event_at_ms, encoded.first_event_at_ms),
            last_event_at_ms=max(segment.last_event_at_ms, encoded.last_event_at_ms),
        )
        return state.extended(
            grown, next_sequence=first_sequence + encoded.event_count, ingestion_ms=ingestion_ms
        )

    def read(self, stream_id: int, segment: Segment) -> bytes:
        """The part of a segment that `segment` knows of; empty when the file is gone."""
        try:
            fd = os.open(self._path(stream_id, segment.first_sequence), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, segment.size_bytes, 0)
        finally:
            os.close(fd)

    def is_intact(self, stream_id: int, state: StreamState) -> bool:
        """Whether the last file is as long as the state says: if not, `recover`."""
        if not state.segments:
            return not os.path.exists(self._path(stream_id, state.next_sequence))
        last = state.segments[-1]
        try:
            return os.stat(self._path(stream_id, last.first_sequence)).st_size == last.size_bytes
        except FileNotFoundError:
            return False

    def recover(self, stream_id: int, state: StreamState) -> StreamState:
        """The state after a crash, found in the files; cuts off what is torn.

        Looks at the last segment the state knows and at those that follow it.
        """
        known_sequence = state.next_sequence
        if state.segments:
            last = state.segments[-1]
            state = StreamState(
                created_at_ms=state.created_at_ms,
                last_ingestion_at_ms=state.last_ingestion_at_ms,
                next_sequence=last.first_sequence,
                segments=state.segments[:-1],
            )
        recovered = self._recover_segment(stream_id, state)
        if recovered is None:  # the last file is gone: what it held has expired, its numbers are used up
            return msgspec.structs.replace(state, next_sequence=known_sequence)
        while recovered is not None:
            state = recovered
            recovered = self._recover_segment(stream_id, state)
        return state

    def remove(self, stream_id: int, segments: Sequence[Segment]) -> None:
        """Removes these files of the stream, as far as they are there."""
        for segment in segments:
            self._unlink(self._path(stream_id, segment.first_sequence))

    def close(self) -> None:
        """Closes the files; what is appended later opens them again."""
        self._files.close()

    def _is_full(self, segment: Segment, last_event_at_ms: EpochMs) -> bool:
        """Whether the stream goes on in a new file: by size, or so that retention can let go of the old."""
        if segment.size_bytes >= self._segment_bytes:
            return True
        span_ms = last_event_at_ms - segment.first_event_at_ms
        return span_ms > MAX_SEGMENT_SPAN_MS and segment.size_bytes >= MIN_SPANNED_BYTES

    def _recover_segment(self, stream_id: int, state: StreamState) -> StreamState | None:
        """The state with the segment that starts at its next sequence; None when there is no such file."""
        path = self._path(stream_id, state.next_sequence)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with open(fd, "rb+") as file:
            found = list(blocks(file.read(), checked=True))
            if not found or found[0].first_sequence != state.next_sequence:
                self._unlink(path)
                return None
            file.truncate(found[-1].end)
        segment = Segment(
            first_sequence=state.next_sequence,
            size_bytes=found[-1].end,
            first_event_at_ms=min(block.first_event_at_ms for block in found),
            last_event_at_ms=max(block.last_event_at_ms for block in found),
        )
        return state.extended(
            segment,
            next_sequence=found[-1].first_sequence + found[-1].event_count,
            ingestion_ms=found[-1].ingestion_ms,
        )

    def _path(self, stream_id: int, first_sequence: int) -> str:
        return f"{self._root}/{stream_id & 0xFF:02x}/{stream_id}-{first_sequence}.log"

    def _unlink(self, path: str) -> None:
        self._files.forget(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
