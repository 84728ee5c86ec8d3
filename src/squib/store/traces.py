"""Traces, kept in `traces.db`: the segments that X-Ray was sent, as they were sent.

Segments wait in memory for the thread that writes log events, and are written in one commit with what came
in the same flush interval. Such a commit is not synced: it outlives this process, however that ends, and a
power failure takes what it takes of the log too. What comes faster than the disk takes it, what makes a
trace larger than X-Ray's, and the oldest traces of a full store are dropped: no function can fill the disk.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from squib.clock import Clock
from squib.model.segment import MAX_TRACE_BYTES, Segment
from squib.model.trace import made_at_s
from squib.model.units import AccountId, Region
from squib.store.data_dir import make_private_file
from squib.store.migrate import migrate
from squib.store.queries import QUERIES, TRACE_MIGRATIONS

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024  # our own choice: segments in memory that are not written yet
_MAX_AT_ONCE: Final = 200  # our own choice: traces that one statement of expiry takes
_HOUR_MS: Final = 3_600_000

_log: Final = logging.getLogger("squib.store")

T = TypeVar("T")


class TraceOptions(NamedTuple):
    """How long, and how much."""

    kept_days: int = 30
    max_bytes: int = 256 * 1024 * 1024
    """Of documents."""


class StoredTrace(NamedTuple):
    """One trace, and its segments in the order they began."""

    trace_id: str
    made_at_s: int
    updated_at_ms: int
    revision: int
    """Counts what was added."""
    is_cut: bool
    """It grew beyond MAX_TRACE_BYTES: what came then is not there."""
    documents: Sequence[bytes]


class TraceRange(NamedTuple):
    """Which traces to read, oldest first: `from_s` <= time <= `to_s`, after the position."""

    account_id: AccountId
    region: Region
    from_s: int
    to_s: int
    by_event: bool = False
    """By when something was added last, not by when the trace began."""
    after: int = -1
    """With `after_id` the position: its time (seconds; milliseconds where `by_event`)."""
    after_id: str = ""


class Traces:
    """Owns `traces.db`. Called on the event loop."""

    def __init__(
        self,
        path: Path,
        *,
        thread: Executor,
        readers: Executor,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        flush_interval_ms: int,
        options: TraceOptions,
    ) -> None:
        """`thread` is the one that writes log events. Blocks."""
        self._path, self._thread, self._readers = path, thread, readers
        self._clock, self._loop, self._options = clock, loop, options
        self._interval_s = flush_interval_ms / 1000
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[AccountId, Region, Segment]] = []
        self._waiting_bytes = 0
        self._is_stopped = False
        self.dropped_count = 0
        """Segments that came faster than they could be written."""
        make_private_file(path)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.executescript(QUERIES["configure"])
        self._connection.executescript(QUERIES["configure_usage"])
        migrate(self._connection, TRACE_MIGRATIONS)
        self._bytes = int(self._connection.execute(QUERIES["all_trace_bytes"]).fetchone()[0])  # the thread's
        self._expired_at_hour = 0  # the thread's

    def put(self, account_id: AccountId, region: Region, segment: Segment) -> bool:
        """Takes a segment; one of the same id is replaced. False when there is no room in memory."""
        if self._is_stopped or self._waiting_bytes + len(segment.document) > MAX_WAITING_BYTES:
            self.dropped_count += 1
            if not self.dropped_count & (self.dropped_count - 1):  # the first, the second, the fourth, ...
                _log.warning("segments_dropped count=%d: they come faster than the disk", self.dropped_count)
            return False
        self._waiting.append((account_id, region, segment))
        self._waiting_bytes += len(segment.document)
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval_s, self.flush)
        return True

    def flush(self) -> None:
        """Has what waits written, before whatever that thread is asked for afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            taken, self._waiting = self._waiting, []
            size_bytes = self._waiting_bytes
            future = self._thread.submit(self._write, taken)
            future.add_done_callback(
                lambda _: self._loop.is_closed() or self._loop.call_soon_threadsafe(self._wrote, size_bytes)
            )

    async def get(
        self,
        account_id: AccountId,
        region: Region,
        trace_ids: Sequence[str],
        digest: Callable[[StoredTrace], T],
    ) -> Sequence[T]:
        """Of each of these traces that is there, what `digest` makes of it, on another thread."""

        def look(connection: sqlite3.Connection) -> Sequence[T]:
            found = []
            for trace_id in trace_ids:
                where = {"account_id": account_id, "region": region, "trace_id": trace_id}
                row = connection.execute(QUERIES["get_trace"], where).fetchone()
                if row is not None:
                    found.append(digest(_stored(connection, account_id, region, (trace_id, *row))))
            return found

        return await self._read(look)

    async def between(
        self, wanted: TraceRange, *, limit: int, digest: Callable[[StoredTrace], T]
    ) -> Sequence[T]:
        """Likewise of a range, at most `limit` of them."""
        query = QUERIES["list_traces_by_event" if wanted.by_event else "list_traces_by_start"]

        def look(connection: sqlite3.Connection) -> Sequence[T]:
            rows = connection.execute(query, {**wanted._asdict(), "limit": limit}).fetchall()
            return [digest(_stored(connection, wanted.account_id, wanted.region, row)) for row in rows]

        return await self._read(look)

    def stop(self) -> None:
        """Writes what waits, and takes no more."""
        self._is_stopped = True
        self.flush()

    def close(self) -> None:
        """After the last job of the thread. Blocks."""
        self._connection.close()

    def _wrote(self, size_bytes: int) -> None:
        self._waiting_bytes -= size_bytes

    async def _read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        self.flush()
        await self._loop.run_in_executor(self._thread, lambda: None)
        return await self._loop.run_in_executor(self._readers, self._look, look)

    # --- on the thread

    def _write(self, taken: Sequence[tuple[AccountId, Region, Segment]]) -> None:
        connection = self._connection
        before_bytes = self._bytes
        try:
            connection.execute(QUERIES["begin_write"])
            try:
                for account_id, region, segment in taken:
                    self._put(account_id, region, segment)
                self._expire()
                connection.execute(QUERIES["commit"])
            except BaseException:
                if connection.in_transaction:
                    connection.execute(QUERIES["rollback"])
                raise
        except sqlite3.Error:
            self._bytes = before_bytes
            _log.exception("segments_not_written count=%d", len(taken))

    def _put(self, account_id: AccountId, region: Region, segment: Segment) -> None:
        execute = self._connection.execute
        where = {"account_id": account_id, "region": region, "trace_id": segment.trace_id}
        named = {**where, "segment_id": segment.segment_id}
        row = execute(QUERIES["get_trace"], where).fetchone()
        _, _, size_bytes, revision, is_cut = row or (0, 0, 0, 0, 0)
        replaced = execute(QUERIES["segment_bytes"], named).fetchone() if row else None
        more_bytes = len(segment.document) - (replaced[0] if replaced else 0)
        if size_bytes + more_bytes > MAX_TRACE_BYTES:
            is_cut, more_bytes = 1, 0
        else:
            document = {"start_ms": segment.start_ms, "document": segment.document}
            execute(QUERIES["put_segment"], {**named, **document})
        self._bytes += more_bytes
        trace = {
            "made_at_s": made_at_s(segment.trace_id),
            "updated_at_ms": self._clock.now_ms(),
            "size_bytes": size_bytes + more_bytes,
            "revision": revision + 1,
            "is_cut": is_cut,
        }
        execute(QUERIES["put_trace"], {**where, **trace})

    def _expire(self) -> None:
        now_ms = self._clock.now_ms()
        is_hour = now_ms // _HOUR_MS != self._expired_at_hour
        if not is_hour and self._bytes <= self._options.max_bytes:
            return
        self._expired_at_hour = now_ms // _HOUR_MS
        before_ms = now_ms - self._options.kept_days * 24 * _HOUR_MS
        while True:
            rows = self._connection.execute(QUERIES["oldest_traces"], {"limit": _MAX_AT_ONCE}).fetchall()
            for account_id, region, trace_id, size_bytes, updated_at_ms in rows:
                if updated_at_ms >= before_ms and self._bytes <= self._options.max_bytes:
                    return
                where = {"account_id": account_id, "region": region, "trace_id": trace_id}
                self._connection.execute(QUERIES["delete_segments"], where)
                self._connection.execute(QUERIES["delete_trace"], where)
                self._bytes -= size_bytes
            if not rows:
                return

    # --- on a reader's thread

    def _look(self, look: Callable[[sqlite3.Connection], T]) -> T:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.executescript(QUERIES["configure_reader"])
            connection.execute(QUERIES["begin_read"])
            return look(connection)
        finally:
            connection.close()


def _stored(
    connection: sqlite3.Connection,
    account_id: AccountId,
    region: Region,
    row: tuple[str, int, int, int, int, int],
) -> StoredTrace:
    trace_id, made_at, updated_at_ms, _, revision, is_cut = row
    where = {"account_id": account_id, "region": region, "trace_id": trace_id}
    found = connection.execute(QUERIES["list_segments"], where)
    documents = tuple(document for (document,) in found)
    return StoredTrace(trace_id, made_at, updated_at_ms, revision, bool(is_cut), documents)
