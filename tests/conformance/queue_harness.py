"""What tests of a store's queues share: a clock to set, queues, and messages."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from squib.model.queue import QUEUES, NewMessage, Queue, QueueKey, ReceivedMessage, RedrivePolicy
from squib.model.units import AccountId, EpochMs, MonotonicMs, Region
from squib.store.base import Store, Transaction
from squib.store.sqlite import SqliteStore, StoreOptions, open_store

ACCOUNT = AccountId("000000000000")
REGION = Region("us-east-1")
START_MS = 1_700_000_000_000
_numbers = count(1)
_ID_PREFIX = f"{os.getpid()}"


class SetClock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = START_MS

    def now_ms(self) -> EpochMs:
        return EpochMs(self.now)

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(self.now)


class World:
    """One store with its queues, opened again and again on the same files."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.clock = data_dir, SetClock()
        self.store: SqliteStore

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["World"]:
        """The store, its background work running."""
        options = StoreOptions(data_dir=self.data_dir)
        async with await open_store(options, self.clock) as self.store, asyncio.TaskGroup() as tasks:
            background = tasks.create_task(self.store.queues.run())
            try:
                yield self
            finally:
                background.cancel()

    async def queue(self, name: str = "q", **attributes: Any) -> QueueKey:
        """Declares a queue."""
        return await declare(self.store, name, self.clock.now_ms(), **attributes)

    async def change(self, key: QueueKey, **attributes: Any) -> None:
        """Declares other attributes."""

        def put(transaction: Transaction) -> None:
            queue = transaction.get(QUEUES, key)
            assert queue is not None
            transaction.put(QUEUES, key, msgspec.structs.replace(queue, **attributes))

        await self.store.write(put)

    async def send(self, key: QueueKey, *bodies: str, **more: Any) -> list[str]:
        """Sends messages; gives their ids."""
        sent = await self.store.queues.send(key, [message(body, **more) for body in bodies])
        return [one.message_id for one in sent]

    async def receive(self, key: QueueKey, max_count: int = 10, **more: Any) -> Sequence[ReceivedMessage]:
        """Receives without waiting, unless told to."""
        return await self.store.queues.receive(key, max_count=max_count, **more)

    async def bodies(self, key: QueueKey, max_count: int = 10, **more: Any) -> list[str]:
        """The bodies of what is received."""
        return [one.body for one in await self.receive(key, max_count, **more)]

    async def row_counts(self) -> tuple[int, ...]:
        """`rows_now`, once all that is under way is written."""
        await self.store.queues.settle()
        return await self.rows_now()

    async def rows_now(self) -> tuple[int, ...]:
        """Rows of messages, deliveries and deduplications on disk."""
        return await self.store.read(_row_counts)


def _row_counts(transaction: Any) -> tuple[int, ...]:
    names = ("count_messages", "count_deliveries", "count_deduplications")
    return tuple(transaction.execute(name).fetchone()[0] for name in names)


async def declare(store: Store, name: str, now_ms: EpochMs, **attributes: Any) -> QueueKey:
    """A queue as CreateQueue makes it; `dead_letters=(key, count)` is its redrive policy."""
    key = QueueKey(ACCOUNT, REGION, name)
    if "dead_letters" in attributes:
        attributes["redrive"] = RedrivePolicy(*attributes.pop("dead_letters"))
    queue = Queue(
        key=key,
        queue_id=store.queues.number(),
        secret=b"s" * 16,
        created_at_ms=now_ms,
        modified_at_ms=now_ms,
        **attributes,
    )

    def put(transaction: Transaction) -> None:
        transaction.put(QUEUES, key, queue)

    await store.write(put)
    return key


def message(body: str, **more: Any) -> NewMessage:
    """A message of its own id."""
    return NewMessage(message_id=f"{_ID_PREFIX}-{next(_numbers)}", body=body, sender_id="me", **more)


def run(tmp_path: Path, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Runs a story that opens the store itself."""
    asyncio.run(story(World(tmp_path)))
