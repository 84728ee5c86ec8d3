"""A disk that is full for a while: what was refused is not there, everything else is, and squib goes on."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from conformance.queue_harness import World, run
from squib.model.errors import PlatformError
from squib.model.queue import QueueCounts

LARGE = "x" * 1_000_000


def limit_pages(world: World, count: int) -> None:
    """SQLite's own bound on the size of the database: it refuses like a full disk."""
    world.store._connection.execute(f"PRAGMA max_page_count = {count}")


def page_count(world: World) -> int:
    count: int = world.store._connection.execute("PRAGMA page_count").fetchone()[0]
    return count


def test_a_refused_write_leaves_the_queue_as_it_is_on_disk(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key, fifo = await world.queue(), await world.queue("q.fifo")
            await world.send(key, "a", "b", "c")
            [a] = await world.receive(key, 1)
            await world.store.queues.settle()
            limit_pages(world, page_count(world))
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(world.bodies(fifo, wait_ms=60_000))
                async with asyncio.TaskGroup() as doomed:  # one commit for all: none of them stands
                    sends = [
                        doomed.create_task(is_refused(work))
                        for work in (
                            world.send(key, LARGE),
                            world.send(fifo, LARGE, group_id="g", deduplication_id="d"),
                            world.receive(key, 1),
                            world.store.queues.delete(key, [a.receipt_handle]),
                        )
                    ]
                assert [send.result() for send in sends] == [True] * 4
                limit_pages(world, 1_000_000)
                counts = world.store.queues.counts
                assert await world.bodies(key) == ["b", "c"]
                assert counts(key) == QueueCounts(0, 3, 0)
                await world.send(fifo, "taken", group_id="g", deduplication_id="d")
            assert waiting.result() == ["taken"]
            assert await world.store.queues.delete(key, [a.receipt_handle]) == [None]
        async with world.opened():
            world.clock.now += 60_000
            assert await world.bodies(key) == ["b", "c"]

    async def is_refused(work: Coroutine[Any, Any, object]) -> bool:
        try:
            await work
        except PlatformError:
            return True
        return False

    run(tmp_path, story)
