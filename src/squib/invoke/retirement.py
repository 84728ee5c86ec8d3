"""The loop that ends environments of code and configuration that no longer run. Level-triggered."""

from squib.environment.pool import Pool
from squib.store.base import Functions


async def retire_replaced(functions: Functions, pool: Pool) -> None:
    """Until cancelled: environments of deleted functions and of revisions that are active no more end, busy
    ones after their invocation."""
    seen = 0
    while True:
        for key in pool.functions():
            record = functions.peek(key)
            active = record.active if record is not None else None
            keep = frozenset() if active is None else frozenset({active.revision_id})
            pool.retire(key, keep_revision_ids=keep)
        seen = await functions.changed(seen)
