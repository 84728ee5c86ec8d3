"""Log groups, streams and events: metadata in the database, events in segment files, the newest in memory.

Appending only adds to a list. Once per flush interval the loop takes every list that is not empty and hands
them to one flusher thread, which makes missing rows, encodes, and does one write per stream. Readers flush
first, so they look at files only. A stream's row is brought up to date now and then, and when it is closed;
after a crash the rest is found in the files.
"""

import asyncio
import logging
import sqlite3
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol, TypeVar

from squib.clock import Clock
from squib.model.errors import PlatformError
from squib.model.log import LogEvent, LogGroup, LogGroupKey, LogStream, event_bytes
from squib.model.units import AccountId, EpochMs, Region
from squib.store import log_catalogue as catalogue
from squib.store.log_blocks import Buffered
from squib.store.log_merge import Range, Source, merged
from squib.store.log_segments import Segments
from squib.store.log_state import StreamState
from squib.store.writer import Writer

T = TypeVar("T")

MAX_BUFFERED_EVENTS: Final = 100_000  # squib's choice, a stream: reached only when the disk does not answer
MAX_BUFFERED_CHARACTERS: Final = 16 * 1024 * 1024  # likewise; functions write without end if they like
SAVE_INTERVAL_MS: Final = 10_000  # squib's choice: bounds how much of a file a start after a crash rereads
_MANY_STREAMS: Final = 64  # squib's choice: from here on one query for the whole group is cheaper

_log: Final = logging.getLogger("squib.store")


class Look(Protocol):
    """Runs a read on a connection of the calling reader thread."""

    def __call__(self, look: Callable[[sqlite3.Connection], T], /) -> T: ...


class OpenStream:
    """Implements `base.LogWriter`. Belongs to the loop, but for `stream_id`, `state` and `has_row`, which
    only the flusher thread writes."""

    __slots__ = (
        "_characters",
        "_mark",
        "created_at_ms",
        "dropped_count",
        "events",
        "group",
        "has_row",
        "name",
        "state",
        "stream_id",
        "users",
    )

    def __init__(
        self,
        group: LogGroupKey,
        name: str,
        created_at_ms: EpochMs,
        mark: Callable[["OpenStream"], None],
    ) -> None:
        self.group = group
        self.name = name
        self.created_at_ms = created_at_ms
        self.events: list[Buffered] = []
        self.dropped_count = 0
        self.users = 0
        self.stream_id = 0
        self.state = StreamState(created_at_ms=created_at_ms)
        self.has_row: bool | None = None  # None until the first flush; False when deleted under its writer
        self._characters = 0  # of `events`
        self._mark = mark

    def append(self, timestamp_ms: EpochMs, message: str) -> None:
        events = self.events
        if not events:
            self._characters = 0
            self._mark(self)
        elif len(events) >= MAX_BUFFERED_EVENTS or self._characters >= MAX_BUFFERED_CHARACTERS:
            self.dropped_count += 1
            return
        self._characters += len(message)
        events.append((timestamp_ms, message))

    def close(self) -> None:
        self.users -= 1
        self._mark(self)


class _Flush(NamedTuple):
    """One stream's part of a flush, taken off it on the loop."""

    stream: OpenStream
    events: list[Buffered]
    is_closing: bool


class FileLogs:
    """Implements `base.Logs`, and deletes. Used from one loop."""

    def __init__(
        self,
        segments: Segments,
        *,
        writer: Writer,
        look: Look,
        readers: Executor,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        flush_interval_ms: int,
    ) -> None:
        self._segments = segments
        self._writer = writer
        self._look = look
        self._readers = readers
        self._clock = clock
        self._loop = loop
        self._flush_interval_s = flush_interval_ms / 1000
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="squib-store-logs")
        self._open: dict[LogGroupKey, dict[str, OpenStream]] = {}
        self._dirty: list[OpenStream] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: Future[None] | None = None  # what the timer has begun last
        self._is_closed = False
        self._unsaved: set[OpenStream] = set()  # the flusher thread's
        self._saved_at_ms = clock.monotonic_ms()  # the flusher thread's

    # --- groups and streams

    async def create_group(self, key: LogGroupKey, *, now_ms: EpochMs) -> bool:
        return await self._write(lambda connection: catalogue.add_group(connection, key, now_ms))

    async def has_group(self, key: LogGroupKey) -> bool:
        return await self._read(lambda connection: catalogue.group(connection, key) is not None)

    async def groups(
        self, account_id: AccountId, region: Region, *, prefix: str = "", after: str = "", limit: int = 50
    ) -> Sequence[LogGroup]:
        def look(connection: sqlite3.Connection) -> Sequence[LogGroup]:
            return catalogue.groups(connection, account_id, region, prefix=prefix, after=after, limit=limit)

        return await self._read(look)

    async def streams(self, group: LogGroupKey, *, prefix: str = "") -> Sequence[LogStream]:
        def look(connection: sqlite3.Connection) -> Sequence[LogStream]:
            found = self._sources(connection, group, live, prefix=prefix)
            return [source.state.described(group, source.name) for source in found]

        await self.flush()
        live = dict(self._open.get(group, {}))
        return await self._read(look)

    def open_stream(self, group: LogGroupKey, stream: str, *, now_ms: EpochMs) -> OpenStream:
        """See `base`. Opening a stream that is open already gives the same writer."""
        streams = self._open.setdefault(group, {})
        found = streams.get(stream)
        if found is None:
            found = streams[stream] = OpenStream(group, stream, now_ms, self._mark)
            self._mark(found)
        found.users += 1
        return found

    async def delete_group(self, group: LogGroupKey) -> bool:
        """Deletes the group, its streams and their events; False when there is none.

        A writer that is still open makes group and stream anew with its next event.
        """
        return await self._delete(group, None)

    async def delete_stream(self, group: LogGroupKey, stream: str) -> bool:
        """Deletes one stream and its events; False when there is none. Open writers as in `delete_group`."""
        return await self._delete(group, stream)

    # --- events

    async def events(
        self,
        group: LogGroupKey,
        streams: Sequence[str],
        *,
        start_ms: EpochMs | None = None,
        end_ms: EpochMs | None = None,
        after: tuple[EpochMs, str, int] | None = None,
        limit: int = 10_000,
        max_bytes: int | None = None,
        backwards: bool = False,
    ) -> Sequence[LogEvent]:
        wanted = Range(start_ms, end_ms, after, backwards)
        names = frozenset(streams)

        def look(connection: sqlite3.Connection) -> Sequence[Source]:
            if len(names) < _MANY_STREAMS:
                return self._sources(connection, group, live, names=names)
            return [s for s in self._sources(connection, group, live) if s.name in names]

        def read() -> Sequence[LogEvent]:
            found: list[LogEvent] = []
            room = sys.maxsize if max_bytes is None else max_bytes
            for event in merged(self._segments, self._look(look), wanted):
                room -= event_bytes(event)
                if len(found) == limit or (room < 0 and found):
                    break
                found.append(event)
            return found

        await self.flush()
        live = dict(self._open.get(group, {}))
        return await self._loop.run_in_executor(self._readers, read)

    async def flush(self) -> None:
        """Writes what is buffered now; when it returns, readers and a new process see it."""
        await self._loop.run_in_executor(self._flusher, self._flush, self._take())

    async def close(self) -> None:
        """Writes everything, brings every row up to date, and takes no more events. Idempotent."""
        if self._is_closed:
            return
        batch = self._take()
        self._is_closed = True
        remaining = [s for streams in self._open.values() for s in streams.values()]
        batch.extend(_Flush(stream, [], True) for stream in remaining)
        self._open.clear()
        await self._loop.run_in_executor(self._flusher, self._flush, batch)
        self._flusher.shutdown()

    # --- on the loop

    def _mark(self, stream: OpenStream) -> None:
        """Called when a stream's list is about to be no longer empty, and when it is opened or closed."""
        self._dirty.append(stream)
        if self._timer is None and not self._is_closed:
            self._timer = self._loop.call_later(self._flush_interval_s, self._tick)

    def _tick(self) -> None:
        """One flush at a time: while the disk is slow, events wait where their number is bounded."""
        if self._flushing is not None and not self._flushing.done():
            self._timer = self._loop.call_later(self._flush_interval_s, self._tick)
            return
        self._flushing = self._flusher.submit(self._flush_unattended, self._take())

    def _take(self) -> list[_Flush]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_closed:
            return []
        batch: list[_Flush] = []
        for stream in dict.fromkeys(self._dirty):
            is_closing = stream.users == 0
            if is_closing:
                self._retire(stream)
            if stream.dropped_count:
                _log.error("log_events_dropped stream=%s count=%d", stream.name, stream.dropped_count)
                stream.dropped_count = 0
            batch.append(_Flush(stream, stream.events, is_closing))
            stream.events = []
        self._dirty.clear()
        return batch

    def _retire(self, stream: OpenStream) -> None:
        streams = self._open.get(stream.group, {})
        if streams.get(stream.name) is stream:
            del streams[stream.name]
            if not streams:
                del self._open[stream.group]

    async def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.wrap_future(self._writer.submit(job), loop=self._loop)

    async def _read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        await self.flush()
        return await self._loop.run_in_executor(self._readers, self._look, look)

    async def _delete(self, group: LogGroupKey, name: str | None) -> bool:
        await self.flush()
        live = [s for s in self._open.get(group, {}).values() if name in (None, s.name)]
        return await self._loop.run_in_executor(self._flusher, self._remove, group, name, live)

    # --- on the flusher thread

    def _flush_unattended(self, batch: list[_Flush]) -> None:
        try:
            self._flush(batch)
        except Exception:  # nobody waits for this flush; the next one starts afresh
            _log.exception("log_flush_failed")

    def _flush(self, batch: list[_Flush]) -> None:
        now_ms = self._clock.now_ms()
        try:
            self._add_rows([part.stream for part in batch if _needs_row(part)])
        except (PlatformError, OSError):
            _log.exception("log_streams_refused")
        for stream, events, _ in batch:
            if events:
                self._append(stream, events, now_ms)
        self._save([part.stream for part in batch if part.is_closing])

    def _add_rows(self, streams: Sequence[OpenStream]) -> None:
        if not streams:
            return

        def job(connection: sqlite3.Connection) -> None:
            for stream in streams:
                row = catalogue.open_stream(connection, stream.group, stream.name, stream.created_at_ms)
                stream.stream_id, stream.state = row.stream_id, row.state

        self._writer.submit(job).result()
        for stream in streams:
            if not self._segments.is_intact(stream.stream_id, stream.state):
                stream.state = self._segments.recover(stream.stream_id, stream.state)
            stream.has_row = True

    def _append(self, stream: OpenStream, events: list[Buffered], now_ms: EpochMs) -> None:
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
        due = [s for s in self._unsaved if s.has_row] if is_due else [s for s in closing if s.has_row]
        if is_due:
            self._saved_at_ms = monotonic_ms
        if not due:
            return
        closed = frozenset(closing)

        def job(connection: sqlite3.Connection) -> None:
            for stream in due:
                catalogue.put_stream(connection, stream.stream_id, stream.state, is_open=stream not in closed)

        self._writer.submit(job).result()
        self._unsaved.difference_update(due)

    def _remove(self, group: LogGroupKey, name: str | None, live: Sequence[OpenStream]) -> bool:
        current = {stream.name: stream for stream in live}

        def job(connection: sqlite3.Connection) -> bool:
            row = catalogue.group(connection, group)
            if row is None:
                return False
            names = None if name is None else frozenset((name,))
            found = self._sources(connection, group, current, names=names)
            for (
                source
            ) in found:  # files before rows: a crash in between leaves rows that can be deleted again
                self._segments.remove(source.stream_id, source.state)
                catalogue.delete_stream(connection, source.stream_id)
            if name is None:
                catalogue.delete_group(connection, row.group_id)
            return name is None or bool(found)

        is_deleted = self._writer.submit(job).result()
        for stream in live:
            stream.has_row = False
            self._unsaved.discard(stream)
        return is_deleted

    # --- on any thread

    @staticmethod
    def _sources(
        connection: sqlite3.Connection,
        group: LogGroupKey,
        live: dict[str, OpenStream],
        *,
        prefix: str = "",
        names: frozenset[str] | None = None,
    ) -> Sequence[Source]:
        """The group's streams by name, as far as they exist, with the state of `live` where it is newer."""
        row = catalogue.group(connection, group)
        if row is None:
            return []
        if names is None:
            found = catalogue.streams(connection, row.group_id, prefix=prefix)
        else:
            asked = [catalogue.stream(connection, row.group_id, name) for name in sorted(names)]
            found = [stream for stream in asked if stream is not None]
        return [
            Source(name, stream_id, live[name].state if name in live and live[name].has_row else state)
            for stream_id, name, state in found
        ]


def recover_open_streams(connection: sqlite3.Connection, segments: Segments) -> int:
    """After a crash: finds what the rows of open streams do not say yet. Returns how many there were.

    Called within a transaction before anything else uses the connection or the files.
    """
    found = catalogue.open_streams(connection)
    for stream_id, _, state in found:
        catalogue.put_stream(connection, stream_id, segments.recover(stream_id, state), is_open=False)
    return len(found)


def _needs_row(part: _Flush) -> bool:
    """A stream is made when opened; one deleted under its writer only when there is an event to write."""
    return part.stream.has_row is None or (part.stream.has_row is False and bool(part.events))
