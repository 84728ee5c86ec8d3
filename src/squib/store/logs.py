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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Final, TypeVar

from squib.clock import Clock
from squib.model.log import LogEvent, LogGroup, LogGroupKey, LogStream, event_bytes, retained_since
from squib.model.units import AccountId, EpochMs, Region
from squib.store import log_catalogue as catalogue
from squib.store.log_blocks import Buffered
from squib.store.log_flusher import Flush, Flusher, Look
from squib.store.log_merge import Range, Source, merged
from squib.store.log_segments import Segments
from squib.store.log_streams import OpenStream, sources
from squib.store.writer import Writer

T = TypeVar("T")

MAX_KEPT_STREAMS: Final = (
    128  # squib's choice: streams put into that stay open, which saves two commits a put
)

_log: Final = logging.getLogger("squib.store")


def _nothing() -> None:
    pass


class FileLogs:
    """Implements `base.Logs`. Used from one loop."""

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
        self._flusher = Flusher(segments, writer, look, clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="squib-store-logs")  # the flusher's
        self.before_flush: Callable[[], None] = _nothing
        """Called before events are handed to the thread: what it hands over itself is done first."""
        self._open: dict[LogGroupKey, dict[str, OpenStream]] = {}
        self._kept: dict[OpenStream, None] = {}  # open for what is put; the one used last is at the end
        self._dirty: list[OpenStream] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: Future[None] | None = None  # what the timer has begun last
        self._is_closed = False

    @property
    def thread(self) -> Executor:
        """The one that writes; it ends with `close`."""
        return self._thread

    # --- groups and streams

    async def create_group(
        self, key: LogGroupKey, *, now_ms: EpochMs, tags: Mapping[str, str] | None = None
    ) -> bool:
        await self.flush()
        added = LogGroup(key=key, created_at_ms=now_ms, tags=tags or {})
        return await self._write(lambda connection: catalogue.add_group(connection, added))

    async def group(self, key: LogGroupKey) -> LogGroup | None:
        def look(connection: sqlite3.Connection) -> LogGroup | None:
            row = catalogue.group(connection, key)
            return None if row is None else row.group

        return await self._read(look)

    async def change_group(self, key: LogGroupKey, change: Callable[[LogGroup], LogGroup]) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            row = catalogue.group(connection, key)
            if row is None:
                return False
            catalogue.put_group(connection, row.group_id, change(row.group))
            return True

        await self.flush()
        return await self._write(job)

    async def create_stream(self, group: LogGroupKey, stream: str, *, now_ms: EpochMs) -> bool | None:
        def job(connection: sqlite3.Connection) -> bool | None:
            row = catalogue.group(connection, group)
            if row is None:
                return None
            return catalogue.add_stream(connection, row.group_id, stream, now_ms, is_open=False)

        await self.flush()
        return await self._write(job)

    async def groups(
        self, account_id: AccountId, region: Region, *, prefix: str = "", after: str = "", limit: int = 50
    ) -> Sequence[LogGroup]:
        def look(connection: sqlite3.Connection) -> Sequence[LogGroup]:
            return catalogue.groups(connection, account_id, region, prefix=prefix, after=after, limit=limit)

        return await self._read(look)

    async def streams(self, group: LogGroupKey, *, prefix: str = "") -> Sequence[LogStream]:
        def look(connection: sqlite3.Connection) -> Sequence[LogStream]:
            row = catalogue.group(connection, group)
            if row is None:
                return []
            since_ms = self._since(row.group)
            found = sources(connection, row.group_id, live, prefix=prefix)
            retained = [
                (source.name, source.state.without(source.state.expired(since_ms))) for source in found
            ]
            return [state.described(group, name) for name, state in retained]

        await self.flush()
        live = dict(self._open.get(group, {}))
        return await self._read(look)

    def open_stream(
        self, group: LogGroupKey, stream: str, *, now_ms: EpochMs, makes_group: bool = True
    ) -> OpenStream:
        """See `base`. Opening a stream that is open already gives the same writer; `makes_group` counts as it
        was said last."""
        streams = self._open.setdefault(group, {})
        found = streams.get(stream)
        if found is None:
            found = streams[stream] = OpenStream(group, stream, now_ms, self._mark, makes_group=makes_group)
            self._mark(found)
        found.makes_group = makes_group
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
        names = frozenset(streams)

        def look(connection: sqlite3.Connection) -> tuple[Sequence[Source], EpochMs | None]:
            row = catalogue.group(connection, group)
            if row is None:
                return (), None
            return sources(connection, row.group_id, live, names=names), self._since(row.group)

        def read() -> Sequence[LogEvent]:
            found: list[LogEvent] = []
            room = sys.maxsize if max_bytes is None else max_bytes
            there, since_ms = self._look(look)
            first_ms = start_ms if since_ms is None else max(since_ms, start_ms or EpochMs(0))
            for event in merged(self._segments, there, Range(first_ms, end_ms, after, backwards)):
                room -= event_bytes(event)
                if len(found) == limit or (room < 0 and found):
                    break
                found.append(event)
            return found

        await self.flush()
        live = dict(self._open.get(group, {}))
        return await self._loop.run_in_executor(self._readers, read)

    async def put_events(self, group: LogGroupKey, stream: str, events: Sequence[Buffered]) -> bool:
        opened = self._open_existing(group, stream)
        try:
            is_there = await self._loop.run_in_executor(self._thread, self._flusher.put, opened, events)
            if is_there and not self._is_closed:
                self._keep(opened)
            else:
                self._give_up(opened)
            return is_there
        finally:
            opened.close()

    async def expire(self) -> int:
        removed_count = 0
        for group in await self._read(catalogue.retaining_groups):
            live = dict(self._open.get(group.key, {}))
            removed_count += await self._loop.run_in_executor(
                self._thread, self._flusher.expire, group.key, live
            )
        return removed_count

    async def flush(self) -> None:
        """Writes what is buffered now; when it returns, readers and a new process see it."""
        await self._loop.run_in_executor(self._thread, self._flusher.flush, self._take())

    async def close(self) -> None:
        """Writes everything, brings every row up to date, and takes no more events. Idempotent."""
        if self._is_closed:
            return
        batch = self._take()
        self._is_closed = True
        remaining = [s for streams in self._open.values() for s in streams.values()]
        batch.extend(Flush(stream, [], True) for stream in remaining)
        self._open.clear()
        await self._loop.run_in_executor(self._thread, self._flusher.flush, batch)
        self._thread.shutdown()
        self._segments.close()

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
        self._flushing = self._thread.submit(self._flusher.flush_unattended, self._take())

    def _take(self) -> list[Flush]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_closed:
            return []
        self.before_flush()
        batch: list[Flush] = []
        for stream in dict.fromkeys(self._dirty):
            is_closing = stream.users == 0
            if is_closing:
                self._retire(stream)
            if stream.dropped_count:
                _log.error("log_events_dropped stream=%s count=%d", stream.name, stream.dropped_count)
                stream.dropped_count = 0
            batch.append(Flush(stream, stream.events, is_closing))
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
        live = dict(self._open.get(group, {}))
        return await self._loop.run_in_executor(self._thread, self._flusher.remove, group, name, live)

    def _open_existing(self, group: LogGroupKey, name: str) -> OpenStream:
        """Opens a stream without making it, for one put."""
        streams = self._open.setdefault(group, {})
        found = streams.get(name)
        if found is None:
            found = streams[name] = OpenStream(group, name, self._clock.now_ms(), self._mark)
            found.has_row = False
        found.users += 1
        return found

    def _keep(self, stream: OpenStream) -> None:
        """Leaves a stream open for the next put, in place of the one whose last put is longest ago."""
        if stream not in self._kept:
            stream.users += 1
        self._kept.pop(stream, None)
        self._kept[stream] = None
        if len(self._kept) > MAX_KEPT_STREAMS:
            self._give_up(next(iter(self._kept)))

    def _give_up(self, stream: OpenStream) -> None:
        if stream in self._kept:
            del self._kept[stream]
            stream.close()

    def _since(self, group: LogGroup) -> EpochMs | None:
        return retained_since(group.retention_days, now_ms=self._clock.now_ms())


def recover_open_streams(connection: sqlite3.Connection, segments: Segments) -> int:
    """After a crash: finds what the rows of open streams do not say yet. Returns how many there were.

    Called within a transaction before anything else uses the connection or the files.
    """
    found = catalogue.open_streams(connection)
    for stream_id, _, state in found:
        catalogue.put_stream(connection, stream_id, segments.recover(stream_id, state), is_open=False)
    return len(found)
