"""The store of one machine: SQLite in the data directory, one writer thread, readers beside it."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from squib.clock import Clock, SystemEntropy
from squib.model.function import FUNCTIONS, FunctionKey, FunctionRecord
from squib.model.item import Key, Kind
from squib.model.queue import QUEUES
from squib.store.async_events import SqliteAsyncEvents
from squib.store.base import Transaction
from squib.store.blobs import FileBlobs
from squib.store.collections import Collections, MemoryCollection, MemoryReader
from squib.store.data_dir import DataDirLock, make_private_file
from squib.store.documents import Documents
from squib.store.log_segments import Segments
from squib.store.logs import FileLogs, recover_open_streams
from squib.store.migrate import SEALED_SINCE, migrate, schema_version
from squib.store.queries import QUERIES
from squib.store.queues import SqliteQueues
from squib.store.sealing import Seal
from squib.store.traces import TraceOptions, Traces
from squib.store.transaction import SqliteTransaction
from squib.store.usage import Usage
from squib.store.writer import Writer

T = TypeVar("T")
K = TypeVar("K", bound=Key)
V = TypeVar("V", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Where the store lies and how it works."""

    data_dir: Path
    reader_count: int = 2
    """Threads that read the database."""
    flush_interval_ms: int = 50
    """How long a log event may stay in memory only."""
    log_segment_bytes: int = 8 * 1024 * 1024
    """Size at which a stream's log file is followed by a new one."""
    blob_grace_ms: int = 60_000
    """How long a sweep spares an archive after its put; it is not yet named by a row then."""
    traces: TraceOptions = field(default_factory=TraceOptions)


async def open_store(options: StoreOptions, clock: Clock) -> "SqliteStore":
    """Opens the data directory, making or migrating what is in it, and mends what a crash left behind.

    Raises DataDirBusy when another process has it, SchemaTooNew when a newer squib wrote it. Close the
    result, or use it as an async context manager.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, SqliteStore, options, clock, loop)


class SqliteStore:
    """Implements `base.Store`. Used from one event loop; made by `open_store`."""

    def __init__(self, options: StoreOptions, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._path = options.data_dir / "squib.db"
        self._loop = loop
        self._local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._lock = DataDirLock(options.data_dir)
        try:
            self._open(options, clock)
        except BaseException:
            self._lock.close()
            raise

    def collection(self, kind: Kind[K, V]) -> MemoryCollection[K, V]:
        """See `base`. The first call for a kind reads all of it."""

        def load(connection: sqlite3.Connection) -> list[tuple[K, V]]:
            found = connection.execute(QUERIES["load_items"], {"kind": kind.name})
            return [self._documents.item(kind, row) for row in found]

        return self._collections.of(kind, lambda: self._look_at_connection(load))

    @property
    def memory(self) -> MemoryReader:
        return self._memory

    @property
    def functions(self) -> MemoryCollection[FunctionKey, FunctionRecord]:
        return self.collection(FUNCTIONS)

    @property
    def seal(self) -> Seal:
        """The data directory's own: what it seals, only this directory opens."""
        return self._seal

    @property
    def blobs(self) -> FileBlobs:
        return self._blobs

    @property
    def logs(self) -> FileLogs:
        return self._logs

    @property
    def queues(self) -> SqliteQueues:
        return self._queues

    @property
    def usage(self) -> Usage:
        """What functions have used."""
        return self._usage

    @property
    def traces(self) -> Traces:
        """What X-Ray was sent."""
        return self._traces

    @property
    def async_events(self) -> SqliteAsyncEvents:
        return self._async_events

    async def write(self, decide: Callable[[Transaction], T]) -> T:
        """See `base`. A caller cancelled before its turn writes nothing; after it, the write stands.

        Raises what `decide` raises, or WriteFailed.
        """
        transaction: SqliteTransaction

        def run(connection: sqlite3.Connection) -> T:
            nonlocal transaction
            transaction = SqliteTransaction(connection, self._documents)
            try:
                return decide(transaction)
            finally:
                transaction.end()

        def committed() -> None:
            self._collections.commit(transaction.changes)

        return await asyncio.wrap_future(self._writer.submit(run, committed=committed), loop=self._loop)

    async def read(self, look: Callable[[Transaction], T]) -> T:
        """See `base`. `look` sees one consistent state, and cannot write."""

        def run(connection: sqlite3.Connection) -> T:
            transaction = SqliteTransaction(connection, self._documents)
            try:
                return look(transaction)
            finally:
                transaction.end()

        return await self._loop.run_in_executor(self._readers, self._look_at_connection, run)

    async def close(self) -> None:
        """Writes what is buffered, finishes queued writes, gives the data directory up. Idempotent."""
        await self._async_events.close()
        await self._queues.close()
        self._traces.stop()
        await self._logs.close()
        await self._loop.run_in_executor(None, self._close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open(self, options: StoreOptions, clock: Clock) -> None:
        make_private_file(self._path)
        self._connection = self._connect("configure_writer")
        has_sealed = schema_version(self._connection) >= SEALED_SINCE
        load = Seal.load if has_sealed else Seal.load_or_create
        self._seal = load(options.data_dir, SystemEntropy())
        self._documents = Documents(self._seal)
        migrate(self._connection)
        segments = Segments(options.data_dir / "logs", segment_bytes=options.log_segment_bytes)
        self._connection.execute(QUERIES["begin_write"])
        recover_open_streams(self._connection, segments)
        self._connection.execute(QUERIES["commit"])
        self._collections = Collections(self._loop)
        self._memory = MemoryReader(self.collection)
        self._readers = ThreadPoolExecutor(options.reader_count, thread_name_prefix="squib-store-reader")
        self._files = ThreadPoolExecutor(2, thread_name_prefix="squib-store-files")
        self._blobs = FileBlobs(
            options.data_dir / "blobs", executor=self._files, clock=clock, grace_ms=options.blob_grace_ms
        )
        self._writer = Writer(self._connection)
        self._logs = FileLogs(
            segments,
            writer=self._writer,
            look=self._look_at_connection,
            readers=self._readers,
            clock=clock,
            loop=self._loop,
            flush_interval_ms=options.flush_interval_ms,
        )
        self._usage = Usage(
            options.data_dir / "usage.db",
            thread=self._logs.thread,
            readers=self._readers,
            clock=clock,
            loop=self._loop,
            flush_interval_ms=options.flush_interval_ms,
            exists=lambda key: self.collection(FUNCTIONS).peek(key) is not None,
        )
        self._logs.before_flush = self._usage.flush
        self._traces = Traces(
            options.data_dir / "traces.db",
            thread=self._logs.thread,
            readers=self._readers,
            clock=clock,
            loop=self._loop,
            flush_interval_ms=options.flush_interval_ms,
            options=options.traces,
        )
        self._queues = SqliteQueues(
            writer=self._writer,
            write=self.write,
            look=self._look_at_connection,
            readers=self._readers,
            definitions=self.collection(QUEUES),
            clock=clock,
            loop=self._loop,
        )

        self._async_events = SqliteAsyncEvents(
            writer=self._writer, look=self._look_at_connection, readers=self._readers, loop=self._loop
        )

    def _close(self) -> None:
        self._writer.close()
        self._readers.shutdown()
        self._files.shutdown()
        self._usage.close()
        self._traces.close()
        for connection in (*self._reader_connections, self._connection):
            connection.close()
        self._reader_connections.clear()
        self._lock.close()

    def _connect(self, role: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.executescript(QUERIES["configure"])
        connection.executescript(QUERIES[role])
        return connection

    def _look_at_connection(self, look: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `look` in a read transaction on this thread's own connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect("configure_reader")
            self._reader_connections.append(connection)
        connection.execute(QUERIES["begin_read"])
        try:
            return look(connection)
        finally:
            connection.execute(QUERIES["rollback"])
