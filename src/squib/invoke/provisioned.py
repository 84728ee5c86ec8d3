"""The loop from declared to allocated: initializes environments of versions with provisioned concurrency.

Level-triggered: it looks at what the store says and tells the pool all of it, which starts and ends what
differs. So an alias that moves takes its environments along, and a restart begins anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from squib.environment.pool import Pool
from squib.invoke.admit import provisioned, provisioned_version
from squib.model.alias import ALIASES
from squib.model.concurrency import PROVISIONED_CONCURRENCY, Allocation, ProvisionedConcurrency
from squib.model.errors import SquibError
from squib.model.function import VERSIONS, FunctionVersion, State, version_key
from squib.store.base import Collection, Store

_log: Final = logging.getLogger("squib.provisioned")
_RETRY_S: Final = 10.0  # squib's choice: after code that could not be unpacked


class ProvisionedLoop:
    """One per node; all methods on the event loop."""

    def __init__(
        self, store: Store, pool: Pool, ensure_code: Callable[[FunctionVersion], Awaitable[None]]
    ) -> None:
        """`ensure_code` returns once a version's code lies unpacked."""
        self._store, self._pool, self._ensure_code = store, pool, ensure_code
        self._versions = store.collection(VERSIONS)
        self._changed = asyncio.Event()

    def allocation(self, declared: ProvisionedConcurrency) -> Allocation:
        """How far it is with what is declared."""
        number = provisioned_version(self._store, declared.function, declared.qualifier)
        version = None if number is None else self._versions.peek(version_key(declared.function, number))
        if version is None:
            return Allocation()
        return self._pool.allocation(version, declared.executions)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for kind in (PROVISIONED_CONCURRENCY, ALIASES, VERSIONS):
                tasks.create_task(self._follow(self._store.collection(kind)))
            while True:
                self._changed.clear()
                try:
                    async with asyncio.timeout(None if await self._settle() else _RETRY_S):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    async def _follow(self, collection: Collection[Any, Any]) -> None:
        seen = 0
        while True:
            seen = await collection.changed(seen)
            self._changed.set()

    async def _settle(self) -> bool:
        """False when something is to be tried again."""
        ready, is_complete = set(), True
        for function, number in provisioned(self._store):
            version = self._versions.peek(version_key(function, number))
            if version is None or version.state is not State.ACTIVE:
                continue
            try:
                await self._ensure_code(version)
                ready.add((version.content_id, number))
            except SquibError as error:
                _log.warning("provisioned_code_missing function_arn=%s reason=%s", version.arn, error)
                is_complete = False
        wanted = []
        for (function, number), count in provisioned(self._store).items():  # as it is by now
            version = self._versions.peek(version_key(function, number))
            if version is not None and (version.content_id, number) in ready:
                wanted.append((version, count))
        self._pool.provision(wanted)
        return is_complete
