"""The shell of the concurrency ledger: one lease for the length of one invocation, and the loop that keeps
the ledger at what functions and versions have set aside."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from squib.clock import Clock
from squib.model.alias import ALIASES, qualified_key
from squib.model.arn import is_version_number
from squib.model.concurrency import PROVISIONED_CONCURRENCY, RESERVED_CONCURRENCY
from squib.model.errors import TooManyRequests
from squib.model.function import LATEST, FunctionKey
from squib.scheduler.concurrency import ConcurrencyLedger, Lease, Throttle
from squib.store.base import Collection, Store


class Admission:
    """Admits invocations while there is concurrency left. Lives on one event loop."""

    def __init__(self, ledger: ConcurrencyLedger, store: Store, clock: Clock) -> None:
        self._ledger, self._store, self._clock = ledger, store, clock
        self._collections: tuple[Collection[Any, Any], ...] = tuple(
            store.collection(kind) for kind in (RESERVED_CONCURRENCY, PROVISIONED_CONCURRENCY, ALIASES)
        )
        self.taken_count = 0
        """Leases taken so far."""
        self._settle()

    def take(self, key: FunctionKey, version: str = LATEST) -> Lease:
        """A lease, to be released exactly once. Raises TooManyRequests."""
        lease = self._ledger.lease(key, version, now_ms=self._clock.monotonic_ms())
        if isinstance(lease, Throttle):
            raise TooManyRequests(lease, retry_after_s=lease.retry_after_s)
        self.taken_count += 1
        return lease

    def forgo(self, lease: Lease) -> None:
        """Gives a lease back, in place of its release, that was not used after all."""
        self.taken_count -= 1
        self._ledger.forgo(lease)

    @contextmanager
    def lease(self, key: FunctionKey, version: str = LATEST) -> Iterator[None]:
        """The same, held for the block."""
        lease = self.take(key, version)
        try:
            yield
        finally:
            lease.release()

    async def follow(self) -> None:
        """Until cancelled: takes over what is set, in the same turn of the loop as the write that says so is
        answered."""

        async def follow(collection: Collection[Any, Any]) -> None:
            seen = 0
            while True:
                self._settle()
                seen = await collection.changed(seen)

        async with asyncio.TaskGroup() as tasks:
            for collection in self._collections:
                tasks.create_task(follow(collection))

    def _settle(self) -> None:
        reserved = self._store.collection(RESERVED_CONCURRENCY).all()
        self._ledger.settle({one.function: one.executions for one in reserved}, provisioned(self._store))


def provisioned(store: Store) -> dict[tuple[FunctionKey, str], int]:
    """What is to be initialized of each version, whether itself or through an alias."""
    counts: dict[tuple[FunctionKey, str], int] = {}
    for one in store.collection(PROVISIONED_CONCURRENCY).all():
        version = provisioned_version(store, one.function, one.qualifier)
        if version is not None:
            counts[one.function, version] = counts.get((one.function, version), 0) + one.executions
    return counts


def provisioned_version(store: Store, function: FunctionKey, qualifier: str) -> str | None:
    """The number that a qualifier means."""
    if is_version_number(qualifier):
        return qualifier
    alias = store.collection(ALIASES).peek(qualified_key(function, qualifier))
    return None if alias is None else alias.function_version
