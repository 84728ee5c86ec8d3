"""What the rest of squib asks of durable truth. Protocols by reader; sqlite.py is the one implementation.

Writing: `await store.write(decide)` runs `decide(transaction)` on the one writer, inside a transaction that
is on disk when the call returns; `decide` is a plain function that reads, decides and writes, or raises (then
nothing is written). Reading on the hot path: `Collection.peek`, from memory, never waits.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from squib.model.alias import Alias
from squib.model.async_event import AcceptedEvent, Ending, Progress, StoredEvent, WaitingEvent
from squib.model.function import FunctionKey, FunctionRecord, FunctionVersion
from squib.model.item import ItemKey, Key, Kind
from squib.model.log import LogEvent, LogGroup, LogGroupKey, LogStream
from squib.model.queue import HandleFault, NewMessage, QueueCounts, QueueKey, ReceivedMessage, SentMessage
from squib.model.units import AccountId, ArchiveDigest, EpochMs, Region

T = TypeVar("T")
K = TypeVar("K", bound=Key)
V = TypeVar("V", bound=msgspec.Struct)
K_co = TypeVar("K_co", bound=Key, covariant=True)
V_co = TypeVar("V_co", bound=msgspec.Struct, covariant=True)


class Reader(Protocol):
    """Reads items: inside a transaction (`Transaction`), or what is committed from memory (`Store.memory`). A
    function that looks something up takes one of these, and serves both."""

    def get(self, kind: Kind[K, V], key: K) -> V | None: ...

    def page(
        self,
        kind: Kind[K, V],
        account_id: AccountId,
        region: Region,
        *,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
    ) -> Sequence[V]:
        """By name, from the first name greater than `after`, of those that begin with `prefix`."""


class Transaction(Reader, Protocol):
    """Reads and writes inside one transaction. Valid only within `decide`."""

    def put(self, kind: Kind[K, V], key: K, value: V) -> None: ...

    def delete(self, kind: Kind[K, V], key: K) -> bool:
        """False when there is none."""

    def delete_under(self, kind: Kind[K, V], account_id: AccountId, region: Region, name: str) -> int:
        """The item `name` and those whose names begin with `name:`; returns how many there were."""


class Collection(Protocol[K, V_co]):
    """The items of one kind, kept in memory beside the disk. On the event loop only; values never change
    under a reader."""

    def peek(self, key: K) -> V_co | None:
        """What is stored, from memory. Sees every write that has been awaited."""

    def all(self) -> Sequence[V_co]:
        """Every item of every account and region."""

    def page(
        self,
        account_id: AccountId,
        region: Region,
        *,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
    ) -> Sequence[V_co]:
        """See `Transaction.page`."""

    @property
    def generation(self) -> int:
        """Counts the commits that have written items of this kind: what was made of them is as good as new
        while it stands still."""

    async def changed(self, seen: int) -> int:
        """Returns once an item of this kind has been written after generation `seen` (0: since the start),
        with the present generation."""

    def watch(self, seen: Callable[[K, V_co | None, V_co | None], None]) -> None:
        """Calls `seen(key, before, after)` for every item there is, and from then on for every write, when
        `peek` sees it: for what is counted beside the items."""

    def follow(self) -> "Feed[K]":
        """For loops that act on what is stored: the keys to look at, so that they need not look at all."""


class Feed(Protocol[K_co]):
    """Keys of items that have been written or deleted. One reader each. It tells where to look, never what
    happened: several writes of an item may be one key."""

    async def keys(self) -> Sequence[K_co]:
        """Keys written since the last call, at least one. The first call gives every key there is, perhaps
        none. Raised errors and cancelling lose no key."""


Functions: TypeAlias = Collection[FunctionKey, FunctionRecord]
Versions: TypeAlias = Collection[ItemKey, FunctionVersion]
Aliases: TypeAlias = Collection[ItemKey, Alias]


class Blobs(Protocol):
    """Content-addressed archives."""

    async def put(self, content: bytes) -> ArchiveDigest:
        """On disk (fsync) when it returns. Idempotent."""

    def path(self, digest: ArchiveDigest) -> str:
        """Where the archive lies; the file may be missing."""

    async def read(self, digest: ArchiveDigest) -> bytes:
        """Raises FileNotFoundError."""

    async def sweep(self, keep: Iterable[ArchiveDigest]) -> int:
        """Removes archives not named, and half-written ones; returns how many. Those put a moment ago are
        spared, so that the row that names them can be written."""


class LogWriter(Protocol):
    """The open end of one log stream. Not thread-safe: one owner."""

    def append(self, timestamp_ms: EpochMs, message: str) -> None:
        """Takes one event; never blocks (it is buffered and written within Options.flush_interval_ms)."""

    def close(self) -> None:
        """Flushes and gives the stream up."""


class Logs(Protocol):
    """Log groups, streams and events."""

    async def create_group(
        self, key: LogGroupKey, *, now_ms: EpochMs, tags: Mapping[str, str] | None = None
    ) -> bool:
        """False when it exists already."""

    async def group(self, key: LogGroupKey) -> LogGroup | None:
        """Without its stored bytes, which only `groups` counts."""

    async def change_group(self, key: LogGroupKey, change: Callable[[LogGroup], LogGroup]) -> bool:
        """Writes what `change` makes of retention and tags, within one transaction; it may raise, then
        nothing is written. False when there is no such group."""

    async def create_stream(self, group: LogGroupKey, stream: str, *, now_ms: EpochMs) -> bool | None:
        """False when it exists already, None when the group does not exist."""

    async def groups(
        self, account_id: AccountId, region: Region, *, prefix: str = "", after: str = "", limit: int = 50
    ) -> Sequence[LogGroup]: ...

    async def streams(self, group: LogGroupKey, *, prefix: str = "") -> Sequence[LogStream]:
        """Every stream whose name starts with `prefix`, by name; includes what is still buffered."""

    def open_stream(
        self, group: LogGroupKey, stream: str, *, now_ms: EpochMs, makes_group: bool = True
    ) -> LogWriter:
        """Opens a stream for appending, creating stream and group when missing; without `makes_group`, what
        is appended while there is no group is dropped. Returns at once; the rows are written in the
        background. On the cold-start path."""

    async def put_events(
        self, group: LogGroupKey, stream: str, events: Sequence[tuple[EpochMs, str]]
    ) -> bool:
        """Appends events (at least one) with their own times. False when there is no such stream. When it
        returns they are in the file: they outlive this process. Raises PlatformError; then none is there."""

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
        """Events of the named streams with start_ms <= timestamp < end_ms in order of (timestamp, stream,
        sequence), from the first one past `after`; buffered events included, those that the group's
        retention has ended left out. `backwards` turns that order
        round: the last event first, and `after` is the earliest event already seen.

        Fewer than `limit` are given when more would pass `max_bytes`, by the measure of `event_bytes`; but
        one at least, so that none given means there is no more."""

    async def delete_group(self, group: LogGroupKey) -> bool:
        """With its streams and events. False when there is none. An open writer makes it anew."""

    async def delete_stream(self, group: LogGroupKey, stream: str) -> bool:
        """With its events. False when there is none. An open writer makes it anew."""

    async def expire(self) -> int:
        """Removes the files that hold only events which their groups no longer retain; returns how many.
        Events are hidden from the moment they expire, and removed with the last of their file."""

    async def flush(self) -> None:
        """Writes what is buffered."""


class Queues(Protocol):
    """Messages of queues. What is declared of a queue is an item (`collection(QUEUES)`) and is changed with
    `Store.write`; here are its messages, and what must happen to them when it is purged or deleted.

    Made for consumers in the same process as much as for the SQS API: `receive` waits without polling, and
    returns as soon as a message that somebody else has sent is on disk. When a call returns, what it says is
    on disk. Every method raises QueueDoesNotExist when there is no such queue, and PlatformError when the
    disk fails. A `receive` that is cancelled keeps no message from others.
    """

    def number(self) -> int:
        """A number that grows with time and never comes back: for queue ids."""

    def counts(self, key: QueueKey) -> QueueCounts:
        """From memory, exact."""

    async def send(self, key: QueueKey, messages: Sequence[NewMessage]) -> Sequence[SentMessage]:
        """Sends all of them, in this order, or none."""

    async def receive(
        self,
        key: QueueKey,
        *,
        max_count: int = 1,
        visibility_timeout_s: int | None = None,
        wait_ms: int = 0,
        attempt_id: str | None = None,
    ) -> Sequence[ReceivedMessage]:
        """Up to `max_count` messages (any number; the API's limit of 10 is the API's), as soon as there is
        one, else none after `wait_ms`. None for the visibility means the queue's own. Who waits longest is
        served first. Raises OverLimit as the API does."""

    async def delete(self, key: QueueKey, handles: Sequence[str]) -> Sequence[HandleFault | None]:
        """One outcome for each handle; None: fine."""

    async def change_visibility(
        self, key: QueueKey, changes: Sequence[tuple[str, int]]
    ) -> Sequence[HandleFault | None]:
        """For each handle how many seconds from now its message stays hidden; likewise."""

    async def purge(self, key: QueueKey, *, now_ms: EpochMs) -> None:
        """Every message that was sent before is gone."""

    async def delete_queue(self, key: QueueKey) -> bool:
        """With its messages. False when there is none."""

    async def move(
        self, source: QueueKey, max_count: int, *, to: QueueKey | None, message_id: Callable[[], str]
    ) -> int:
        """Moves visible messages to another queue, as new ones, or each to the queue it was put aside from
        (`to` None); returns how many. `message_id` gives fresh ids, also off the event loop."""

    def end_waits(self) -> None:
        """squib stops: receives that wait return, and none waits any more."""


class AsyncEvents(Protocol):
    """Events of asynchronous invocations, from their acceptance until all is done. On the event loop only.

    Who waits for a future that is returned waits until it is on disk; it raises PlatformError when the disk
    fails. Writes that are made together share one commit.
    """

    def add(
        self, event: AcceptedEvent, payload: bytes, then: Callable[[int], None]
    ) -> "asyncio.Future[None]":
        """Accepts an event; `then` gets its key when it is on disk."""

    def add_ended(
        self, event: AcceptedEvent, payload: bytes, ending: Ending, then: Callable[[int], None]
    ) -> "asyncio.Future[None]":
        """Accepts what is not to be run, but only told; `then` gets its key when both are on disk."""

    def put_progress(
        self, event_key: int, due_at_ms: EpochMs, progress: Progress, then: Callable[[], None]
    ) -> "asyncio.Future[None]":
        """It is to be run again, at that time. `then` is called afterwards, even if the disk fails."""

    def put_ending(
        self,
        event_key: int,
        due_at_ms: EpochMs,
        progress: Progress,
        ending: Ending,
        then: Callable[[], None],
    ) -> "asyncio.Future[None]":
        """It is not to be run again; the ending's targets are to be told. Likewise."""

    def remove(self, event_key: int) -> None:
        """All is done. On disk a moment later, together with others."""

    def kept(self, event_key: int) -> tuple[AcceptedEvent, bytes] | None:
        """An event and its payload, if they are in memory; events accepted lately are, up to a bound."""

    def forget(self, event_key: int) -> None:
        """Does without these in memory."""

    async def read(self, event_key: int) -> StoredEvent | None:
        """Everything about an event, from the disk."""

    async def waiting(self) -> Sequence[WaitingEvent]:
        """Every event, in the order of acceptance: for the start."""


class Store(Protocol):
    """The whole of durable truth."""

    def collection(self, kind: Kind[K, V]) -> Collection[K, V]:
        """The items of a kind, in memory. Ask once and keep it."""

    @property
    def memory(self) -> Reader:
        """What is committed, from memory, of every kind. On the event loop only."""

    @property
    def functions(self) -> Functions:
        """`collection(FUNCTIONS)`."""

    @property
    def blobs(self) -> Blobs: ...

    @property
    def logs(self) -> Logs: ...

    @property
    def queues(self) -> Queues: ...

    @property
    def async_events(self) -> AsyncEvents: ...

    async def write(self, decide: Callable[[Transaction], T]) -> T: ...

    async def read(self, look: Callable[[Transaction], T]) -> T: ...
