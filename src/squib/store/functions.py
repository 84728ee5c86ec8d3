"""Functions in memory beside the disk: what the hot path reads, and the wake-up of those who follow them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from squib.model.function import FunctionKey, FunctionRecord


class FunctionSnapshot:
    """Implements `base.Functions`. Read on the loop, replaced as a whole after each commit."""

    def __init__(self, records: Iterable[FunctionRecord], loop: asyncio.AbstractEventLoop) -> None:
        self._records: Mapping[FunctionKey, FunctionRecord] = {record.key: record for record in records}
        self._loop = loop
        self._generation = 0
        self._returned = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def peek(self, key: FunctionKey) -> FunctionRecord | None:
        return self._records.get(key)

    def all(self) -> Sequence[FunctionRecord]:
        return tuple(self._records.values())

    async def changed(self, seen: int | None = None) -> int:
        start = self._returned if seen is None else seen
        while self._generation <= start:
            future: asyncio.Future[None] = self._loop.create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)
        if seen is None:
            self._returned = self._generation
        return self._generation

    def apply(self, changes: Mapping[FunctionKey, FunctionRecord | None]) -> None:
        """Takes over what a commit has written; None means deleted. Called on the writer's thread only."""
        if not changes:
            return
        records = dict(self._records)
        for key, record in changes.items():
            if record is None:
                records.pop(key, None)
            else:
                records[key] = record
        self._records = records
        self._generation += 1
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop has been closed: nobody waits any more
            pass

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
