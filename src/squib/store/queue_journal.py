"""What queues write, gathered: everything that is added while a commit runs goes into the next one.

One job of the store's writer carries the rows of every queue, so a commit (one fsync) is shared by all who
wait, and the event loop hears of it once.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from squib.store.queries import QUERIES
from squib.store.queue_rows import DeduplicationRow, DeliveryRow, MessageRow
from squib.store.writer import WriteFailed, Writer

Run: TypeAlias = Callable[[sqlite3.Connection], None]
Then: TypeAlias = Callable[[], None]
Row: TypeAlias = tuple[Any, ...]

MAX_COMMIT_BYTES: Final = 32 * 1024 * 1024  # squib's choice: bounds how long the first waits for the last


@dataclass(slots=True)
class _Batch:
    committed: "asyncio.Future[None]"
    messages: list[MessageRow] = field(default_factory=list)
    deduplications: list[DeduplicationRow] = field(default_factory=list)
    deliveries: list[DeliveryRow] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    gone: list[tuple[int]] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    thens: list[Then] = field(default_factory=list)
    size_bytes: int = 0

    def write(self, connection: sqlite3.Connection) -> None:
        """In this order: a message that is both received and deleted stays deleted."""
        connection.executemany(QUERIES["add_message"], self.messages)
        connection.executemany(QUERIES["accept_deduplication"], self.deduplications)
        connection.executemany(QUERIES["put_delivery"], self.deliveries)
        for run in self.runs:
            run(connection)
        connection.executemany(QUERIES["delete_message"], self.gone)
        connection.executemany(QUERIES["delete_delivery"], self.gone)
        for name, rows in self.rows.items():
            connection.executemany(QUERIES[name], rows)


class Journal:
    """Owned by one event loop."""

    def __init__(
        self, writer: Writer, loop: asyncio.AbstractEventLoop, on_failure: Callable[[WriteFailed], None]
    ) -> None:
        """`on_failure`: a commit has failed; nothing of it, nor of what was added since, stands."""
        self._writer = writer
        self._loop = loop
        self._on_failure = on_failure
        self._waiting: list[_Batch] = []
        self._running: _Batch | None = None

    def add(
        self,
        *,
        messages: Iterable[MessageRow] = (),
        deduplications: Iterable[DeduplicationRow] = (),
        deliveries: Iterable[DeliveryRow] = (),
        gone: Iterable[int] = (),
        run: Run | None = None,
        rows: Mapping[str, Iterable[Row]] | None = None,
        then: Then | None = None,
        size_bytes: int = 0,
    ) -> "asyncio.Future[None]":
        """Takes rows; the future, which many share, is done when they are on disk, or raises WriteFailed.
        `then` is called before that, in order, whether or not anybody waits. `rows`: more for these named
        statements, which are executed in no certain order."""
        if not self._waiting or self._waiting[-1].size_bytes + size_bytes > MAX_COMMIT_BYTES:
            self._waiting.append(_Batch(self._loop.create_future()))
        batch = self._waiting[-1]
        batch.messages.extend(messages)
        batch.deduplications.extend(deduplications)
        batch.deliveries.extend(deliveries)
        batch.gone.extend((key,) for key in gone)
        batch.size_bytes += size_bytes
        if rows is not None:
            for name, more in rows.items():
                batch.rows.setdefault(name, []).extend(more)
        if run is not None:
            batch.runs.append(run)
        if then is not None:
            batch.thens.append(then)
        if self._running is None:
            self._loop.call_soon(self._submit)
        return batch.committed

    @property
    def pending(self) -> "asyncio.Future[None] | None":
        """The commit that holds all that has been added; None when it is done."""
        last = self._waiting[-1] if self._waiting else self._running
        return None if last is None else last.committed

    async def settle(self) -> None:
        """Waits until everything added so far has been written, or has failed."""
        while (pending := self.pending) is not None:
            await asyncio.wait([pending])

    def _submit(self) -> None:
        if self._running is not None or not self._waiting:
            return
        batch = self._running = self._waiting.pop(0)
        try:
            job = self._writer.submit(batch.write)
        except WriteFailed as error:  # the store is closed
            self._failed(error)
            return
        job.add_done_callback(self._written)

    def _written(self, job: "Future[None]") -> None:
        """On the writer's thread."""
        try:
            self._loop.call_soon_threadsafe(self._done, job)
        except RuntimeError:  # the loop has been closed: nobody waits any more
            pass

    def _done(self, job: "Future[None]") -> None:
        batch, error = self._running, job.exception()
        assert batch is not None
        if error is not None:
            self._failed(error if isinstance(error, WriteFailed) else WriteFailed(repr(error)))
            return
        self._running = None
        for then in batch.thens:
            then()
        if not batch.committed.done():
            batch.committed.set_result(None)
        self._submit()

    def _failed(self, error: WriteFailed) -> None:
        failed = [*([self._running] if self._running is not None else []), *self._waiting]
        self._running = None
        self._waiting.clear()
        self._on_failure(error)
        for batch in failed:
            batch.committed.set_exception(error)
            batch.committed.exception()  # many wait for it, or nobody does
