"""The loop that ends environments of code and configuration that no longer run. Level-triggered."""

import asyncio
from typing import Any

from squib.environment.pool import Pool
from squib.model.function import LATEST, VERSIONS, FunctionVersion, version_key
from squib.store.base import Collection, Store


async def retire_replaced(store: Store, pool: Pool) -> None:
    """Until cancelled: environments of deleted functions and versions, and of `$LATEST` as it was before its
    last update, end; busy ones after their invocation."""
    functions, versions = store.functions, store.collection(VERSIONS)

    def is_current(version: FunctionVersion) -> bool:
        if version.version == LATEST:
            record = functions.peek(version.key)
            active = None if record is None else record.active
        else:
            active = versions.peek(version_key(version.key, version.version))
        return active is not None and active.content_id == version.content_id

    async def follow(collection: Collection[Any, Any]) -> None:
        seen = 0
        while True:
            pool.retire(is_current)
            seen = await collection.changed(seen)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(functions))
        tasks.create_task(follow(versions))
