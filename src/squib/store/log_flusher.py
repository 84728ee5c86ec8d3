"""What the one flusher thread does: rows for streams, events into files, and both out again.

Nothing else writes a stream's files or its row, so nothing here needs a lock. Everything blocks.
"""

import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from squib.clock import Clock
from squib.model.errors import PlatformError
from squib.model.log import LogGroupKey, retained_since
from squib.model.units import EpochMs
from squib.store import log_catalogue as catalogue
from squib.store.log_blocks import Buffered
from squib.store.log_merge import Source
from squib.store.log_segments import Segments
from squib.store.log_state import Segment
from squib.store.log_streams import OpenStream, sources
from squib.store.writer import Writer

T = TypeVar("T")

SAVE_INTERVAL_MS: Final = 10_000  # squib's choice: bounds how much of a file a start after a crash rereads

_log: Final = logging.getLogger("squib.store")


class Look(Protocol):
    """Runs a read on a connection of the calling thread's own."""

    def __call__(self, look: Callable[[sqlite3.Connection], T], /) -> T: ...


class Flush(NamedTuple):
    """One stream's part of a flush, taken off it on the loop."""

    stream: OpenStream
    events: list[Buffered]
    is_closing: bool


class LogNotWritten(PlatformError):
    """The disk refused events that were put (full, I/O error). None of them is there."""


class Flusher:
    """The methods are called on one thread, one after another."""

    def __init__(self, segments: Segments, writer: Writer, look: Look, clock: Clock) -> None:
        self._segments = segments
        self._writer = writer
        self._look = look
        self._clock = clock
        self._unsaved: set[OpenStream] = set()
        self._saved_at_ms = clock.monotonic_ms()

    def flush_unattended(self, batch: Sequence[Flush]) -> None:
        """As `flush`, but failures are only logged: nobody waits, and the next flush starts afresh."""
        try:
            self.flush(batch)
        except Exception:
            _log.exception("log_flush_failed")

    def flush(self, batch: Sequence[Flush]) -> None:
        """Makes missing rows, writes the events, and saves the states that are due."""
        now_ms = self._clock.now_ms()
        try:
            self._add_rows([part.stream for part in batch if _needs_row(part)])
        except (PlatformError, OSError):
            _log.exception("log_streams_refused")
        for stream, events, _ in batch:
            if events:
                self._append(stream, events, now_ms)
        self._save([part.stream for part in batch if part.is_closing])

    def put(self, stream: OpenStream, events: Sequence[Buffered]) -> bool:
        """Writes `events` as they are; False when the stream does not exist. Raises PlatformError."""
        if not stream.has_row and not self._adopt(stream):
            return False
        try:
            stream.state = self._segments.append(
                stream.stream_id, stream.state, events, ingestion_ms=self._clock.now_ms(), is_exact=True
            )
        except OSError as error:
            raise LogNotWritten(f"log events could not be written: {error}") from error
        self._unsaved.add(stream)
        self._save(())
        return True

    def remove(self, group: LogGroupKey, name: str | None, live: Mapping[str, OpenStream]) -> bool:
        """Deletes a stream, or the group with all of them when `name` is None; False when there is none."""

        def job(connection: sqlite3.Connection) -> bool:
            row = catalogue.group(connection, group)
            if row is None:
                return False
            names = None if name is None else frozenset((name,))
            found = sources(connection, row.group_id, live, names=names)
            for source in found:  # files before rows: a crash in between leaves what can be deleted again
                self._segments.remove(source.stream_id, source.state.segments)
                catalogue.delete_stream(connection, source.stream_id)
            if name is None:
                catalogue.delete_group(connection, row.group_id)
            return name is None or bool(found)

        is_deleted = self._writer.submit(job).result()
        for stream in live.values():
            if name in (None, stream.name):
                stream.has_row = False
                self._unsaved.discard(stream)
        return is_deleted

    def expire(self, group: LogGroupKey, live: Mapping[str, OpenStream]) -> int:
        """Removes the files that hold only what the group no longer retains; returns how many."""

        def look(connection: sqlite3.Connection) -> Sequence[tuple[Source, tuple[Segment, ...]]]:
            row = catalogue.group(connection, group)
            if row is None:
                return []
            since_ms = retained_since(row.group.retention_days, now_ms=self._clock.now_ms())
            found = sources(connection, row.group_id, live)
            return [(source, gone) for source in found if (gone := source.state.expired(since_ms))]

        expired = self._look(look)
        if not expired:
            return 0
        opened = {name: stream for name, stream in live.items() if stream.has_row}
        # Every file is in its row before the first goes: a start after a crash looks for files in order.
        self._put_rows([opened[source.name] for source, _ in expired if source.name in opened])

        def job(connection: sqlite3.Connection) -> None:
            for source, gone in expired:
                self._segments.remove(source.stream_id, gone)
                kept = source.state.without(gone)
                catalogue.put_stream(connection, source.stream_id, kept, is_open=source.name in opened)

        self._writer.submit(job).result()
        for source, gone in expired:
            if source.name in opened:
                opened[source.name].state = source.state.without(gone)
        return sum(len(gone) for _, gone in expired)

    def _add_rows(self, streams: Sequence[OpenStream]) -> None:
        if not streams:
            return

        def job(connection: sqlite3.Connection) -> None:
            for stream in streams:
                row = catalogue.open_stream(
                    connection,
                    stream.group,
                    stream.name,
                    stream.created_at_ms,
                    makes_group=stream.makes_group,
                )
                if row is None:
                    stream.has_row = False
                else:
                    made.append(stream)
                    stream.stream_id, stream.state = row.stream_id, row.state

        made: list[OpenStream] = []
        self._writer.submit(job).result()
        for stream in made:
            self._recover(stream)

    def _adopt(self, stream: OpenStream) -> bool:
        """Opens a stream as it lies in the database; False when it is not there."""

        def job(connection: sqlite3.Connection) -> bool:
            group = catalogue.group(connection, stream.group)
            row = None if group is None else catalogue.stream(connection, group.group_id, stream.name)
            if row is None:
                return False
            stream.stream_id, stream.state = row.stream_id, row.state
            catalogue.put_stream(connection, row.stream_id, row.state, is_open=True)
            return True

        if not self._writer.submit(job).result():
            return False
        self._recover(stream)
        return True

    def _recover(self, stream: OpenStream) -> None:
        if not self._segments.is_intact(stream.stream_id, stream.state):
            stream.state = self._segments.recover(stream.stream_id, stream.state)
        stream.has_row = True

    def _append(self, stream: OpenStream, events: Sequence[Buffered], now_ms: EpochMs) -> None:
        if not stream.has_row and not stream.makes_group:
            return  # whoever writes may not make the group: as if nothing had been said
        try:
            if not stream.has_row:
                raise OSError("the stream could not be made")
            stream.state = self._segments.append(stream.stream_id, stream.state, events, ingestion_ms=now_ms)
        except OSError as error:
            _log.error("log_events_dropped stream=%s count=%d error=%s", stream.name, len(events), error)
        else:
            self._unsaved.add(stream)

    def _save(self, closing: Sequence[OpenStream]) -> None:
        """Brings rows up to date: of the closing streams now, of all others once in SAVE_INTERVAL_MS."""
        monotonic_ms = self._clock.monotonic_ms()
        is_due = monotonic_ms - self._saved_at_ms >= SAVE_INTERVAL_MS
        due = {stream for stream in closing if stream.has_row}
        if is_due:
            self._saved_at_ms = monotonic_ms
            due.update(stream for stream in self._unsaved if stream.has_row)
        self._put_rows(due, closed=frozenset(closing))

    def _put_rows(
        self, streams: Collection[OpenStream], *, closed: frozenset[OpenStream] = frozenset()
    ) -> None:
        if not streams:
            return

        def job(connection: sqlite3.Connection) -> None:
            for stream in streams:
                catalogue.put_stream(connection, stream.stream_id, stream.state, is_open=stream not in closed)

        self._writer.submit(job).result()
        self._unsaved.difference_update(streams)


def _needs_row(part: Flush) -> bool:
    """A stream is made when opened; one deleted under its writer only when there is an event to write."""
    return part.stream.has_row is None or (part.stream.has_row is False and bool(part.events))
