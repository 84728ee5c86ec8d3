"""Run as a process to be killed: uses queues and says on stdout what has been acknowledged.

Arguments: data directory, round. Lines: `sent QUEUE ID`, `received QUEUE ID COUNT`, `deleting QUEUE ID`,
`deleted QUEUE ID`; a send of a FIFO queue is named by the first send of its deduplication id.
"""

import asyncio
import sys
from pathlib import Path

from conformance.queue_harness import ACCOUNT, REGION, declare, message
from squib.clock import SystemClock
from squib.model.queue import QUEUES, NewMessage, QueueKey
from squib.store.sqlite import SqliteStore, StoreOptions, open_store

STANDARD = QueueKey(ACCOUNT, REGION, "standard")
FIFO = QueueKey(ACCOUNT, REGION, "ordered.fifo")
DEAD = QueueKey(ACCOUNT, REGION, "dead")
VISIBILITY_S = 3600


def say(*words: object) -> None:
    print(*words, flush=True)


async def produce(store: SqliteStore, key: QueueKey, prefix: str) -> None:
    """Without end: batches of three, a group for each producer; every tenth message is large."""
    number = 0
    while True:
        batch: list[NewMessage] = []
        for _ in range(3):
            body = f"{prefix} {number:06}" + ("x" * 20_000 if number % 10 == 0 else "")
            more = {"group_id": prefix, "deduplication_id": f"{prefix}-{number}"} if key.is_fifo else {}
            batch.append(message(body, **more))
            number += 1
        for sent in await store.queues.send(key, batch):
            say("sent", key.name, sent.message_id)


async def consume(store: SqliteStore, key: QueueKey) -> None:
    """Without end: deletes every second message, shows every fifth again at once, keeps the others hidden."""
    number = 0
    while True:
        for got in await store.queues.receive(key, max_count=4, wait_ms=60_000):
            say("received", key.name, got.message_id, got.receive_count)
            number += 1
            if number % 2:
                say("deleting", key.name, got.message_id)
                assert await store.queues.delete(key, [got.receipt_handle]) == [None]
                say("deleted", key.name, got.message_id)
            elif number % 5 == 0:
                say("deleting", key.name, got.message_id)  # as far as its being hidden goes
                await store.queues.change_visibility(key, [(got.receipt_handle, 0)])


async def main(data_dir: Path, number: str) -> None:
    clock = SystemClock()
    async with (
        await open_store(StoreOptions(data_dir=data_dir), clock) as store,
        asyncio.TaskGroup() as group,
    ):
        if store.collection(QUEUES).peek(STANDARD) is None:
            more = {"visibility_timeout_s": VISIBILITY_S}
            await declare(store, DEAD.name, clock.now_ms(), **more)
            await declare(store, STANDARD.name, clock.now_ms(), dead_letters=(DEAD, 2), **more)
            await declare(store, FIFO.name, clock.now_ms(), **more)
        group.create_task(store.queues.run())
        for key in (STANDARD, FIFO):
            for task in range(3):
                group.create_task(produce(store, key, f"{number}-{task}"))
                group.create_task(consume(store, key))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
