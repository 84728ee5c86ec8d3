"""What functions have used, kept by the minute and by the hour in `usage.db`.

The meter's counts are written when log events are, by the same thread and just before them: whatever REPORT
says is in the numbers once anybody can read it in the log. Such a commit is not synced: it outlives this
process, however that ends (kill -9 included), and a power failure takes what a power failure takes of the
log too. What is lost at most when the process is killed is what ended in the last flush interval (50 ms),
numbers and REPORT lines alike. A database of its own, because the other one syncs every commit.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from squib.clock import Clock
from squib.model.function import FunctionKey
from squib.model.units import AccountId, Region
from squib.model.usage import HOUR_S, MINUTE_S, SeriesKey, Span, Tally
from squib.store.data_dir import make_private_file
from squib.store.meter import Meter
from squib.store.migrate import migrate
from squib.store.queries import QUERIES, USAGE_MIGRATIONS

KEPT_S: Final[Mapping[int, int]] = {MINUTE_S: 15 * 86_400, HOUR_S: 455 * 86_400}
"""How long minutes and hours are kept (CloudWatch's "Metrics retention"; its five-minute points are not)."""
MAX_UNWRITTEN: Final = 100_000  # our own choice: tallies that wait for a disk that refuses them

_log: Final = logging.getLogger("squib.store")
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Tally).decode


class Range(NamedTuple):
    """Which tallies to read: of one account, `from_s` <= start < `to_s`. None takes any."""

    account_id: AccountId
    span_s: int
    """MINUTE_S or HOUR_S."""
    from_s: int
    to_s: int
    region: Region | None = None
    function: str | None = None


class Usage:
    """Owns `usage.db`. Called on the event loop."""

    def __init__(
        self,
        path: Path,
        *,
        thread: Executor,
        readers: Executor,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        flush_interval_ms: int,
        exists: Callable[[FunctionKey], bool] = lambda _: True,
    ) -> None:
        """`thread` is the one that writes log events: jobs are done in the order they come. `exists` as in
        `Meter`. Blocks."""
        self._path, self._thread, self._readers = path, thread, readers
        self._clock, self._loop = clock, loop
        self._interval_s = flush_interval_ms / 1000
        self._timer: asyncio.TimerHandle | None = None
        self.meter = Meter(self._have_some, exists)
        self._unwritten: dict[tuple[SeriesKey, int], Tally] = {}  # the thread's
        self._expired_at_hour = 0  # the thread's
        make_private_file(path)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.executescript(QUERIES["configure"])
        self._connection.executescript(QUERIES["configure_usage"])
        migrate(self._connection, USAGE_MIGRATIONS)

    def flush(self) -> None:
        """Has what was counted written, before whatever that thread is asked for afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        taken = self.meter.take()
        if taken:
            self._thread.submit(self._write, taken)

    async def read(self, wanted: Range) -> Sequence[Span]:
        """What was counted, up to now."""
        self.flush()
        await self._loop.run_in_executor(self._thread, lambda: None)
        return await self._loop.run_in_executor(self._readers, self._look, wanted)

    def close(self) -> None:
        """After the last job of the thread. Blocks."""
        self._connection.close()

    def _have_some(self) -> None:
        self._timer = self._loop.call_later(self._interval_s, self.flush)

    # --- on the thread

    def _write(self, taken: Mapping[tuple[SeriesKey, int], Tally]) -> None:
        waiting = self._unwritten
        for at, tally in taken.items():
            known = waiting.get(at)
            if known is not None:
                known.merge(tally)
            elif len(waiting) < MAX_UNWRITTEN:
                waiting[at] = tally
        try:
            self._in_transaction(self._put_all)
        except sqlite3.Error:
            _log.exception("usage_not_written count=%d", len(waiting))
        else:
            self._unwritten = {}

    def _in_transaction(self, run: Callable[[], None]) -> None:
        connection = self._connection
        connection.execute(QUERIES["begin_write"])
        try:
            run()
            connection.execute(QUERIES["commit"])
        except BaseException:
            if connection.in_transaction:
                connection.execute(QUERIES["rollback"])
            raise

    def _put_all(self) -> None:
        for (series, start_s), tally in self._unwritten.items():
            self._add(series, MINUTE_S, start_s, tally)
            self._add(series, HOUR_S, start_s // HOUR_S * HOUR_S, tally)
        now_s = self._clock.now_ms() // 1000
        if now_s // HOUR_S != self._expired_at_hour:
            self._expired_at_hour = now_s // HOUR_S
            for span_s, kept_s in KEPT_S.items():
                self._connection.execute(
                    QUERIES["expire_usage"], {"span_s": span_s, "before_s": now_s - kept_s}
                )

    def _add(self, series: SeriesKey, span_s: int, start_s: int, tally: Tally) -> None:
        where = {**series._asdict(), "span_s": span_s, "start_s": start_s}
        row = self._connection.execute(QUERIES["get_usage"], where).fetchone()
        if row is not None:
            known = _decode(row[0])
            known.merge(tally)
            tally = known
        self._connection.execute(QUERIES["put_usage"], {**where, "tally": _encode(tally)})

    # --- on a reader's thread

    def _look(self, wanted: Range) -> Sequence[Span]:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.executescript(QUERIES["configure_reader"])
            found = connection.execute(QUERIES["list_usage"], wanted._asdict())
            return [
                Span(
                    SeriesKey(wanted.account_id, Region(row[0]), row[1], row[2], row[3]),
                    row[4],
                    _decode(row[5]),
                )
                for row in found
            ]
        finally:
            connection.close()
