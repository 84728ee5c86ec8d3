"""Environments end when what they run is no longer what the store says; others stay."""

import asyncio
from types import SimpleNamespace
from typing import Any

from harness.environments import World, function
from squib.invoke.retirement import retire_replaced
from squib.model.function import VERSIONS, FunctionKey, FunctionRecord, FunctionVersion, version_key
from squib.model.item import ItemKey
from squib.store.collections import MemoryCollection


def test_environments_end_with_their_version_and_with_an_update_that_is_active() -> None:
    async def story(world: World) -> None:
        loop = asyncio.get_running_loop()
        functions: MemoryCollection[FunctionKey, FunctionRecord] = MemoryCollection(loop, ())
        versions: MemoryCollection[ItemKey, FunctionVersion] = MemoryCollection(loop, ())
        store: Any = SimpleNamespace(functions=functions, collection={VERSIONS: versions}.__getitem__)
        latest, first = function(), function(version="1")
        key = latest.key

        async def write(record: FunctionRecord | None, *published: FunctionVersion | None) -> None:
            functions.apply(key, record)
            functions.wake()
            for version in published:
                versions.apply(version_key(key, "1"), version)
                versions.wake()
            await asyncio.sleep(0.1)

        def running() -> list[str]:
            return sorted(one.version for one in world.pool.snapshot())

        await write(FunctionRecord(declared=latest, active=latest), first)
        for version in (latest, first):
            await world.invoke(b"1", of=version)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(retire_replaced(store, world.pool))
            await asyncio.sleep(0.1)
            assert running() == ["$LATEST", "1"]

            preparing = function(content_id="content-2", revision_id="revision-2")
            await write(FunctionRecord(declared=preparing, active=latest))
            assert running() == ["$LATEST", "1"]
            await write(FunctionRecord(declared=preparing, active=preparing))
            assert running() == ["1"]

            tagged = function(content_id="content-2", revision_id="revision-3")
            await world.invoke(b"1", of=preparing)
            await write(FunctionRecord(declared=tagged, active=tagged))
            assert running() == ["$LATEST", "1"]
            await write(FunctionRecord(declared=tagged, active=tagged), None)
            assert running() == ["$LATEST"]
            await write(None)
            assert running() == []
            following.cancel()

    World().run(story)
