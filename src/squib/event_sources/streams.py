"""The poller of a stream, whatever kind it is: one reader for each shard that can be read."""

import asyncio
import logging
from typing import Final

from squib.event_sources.base import Tools
from squib.event_sources.conditions import Problem
from squib.event_sources.discards import Discards
from squib.event_sources.results import problem
from squib.event_sources.shard_reader import ShardReader, StreamRules
from squib.event_sources.stream_access import Shard, StreamAccess, StreamFailed, StreamGone
from squib.model.event_source import EventSourceMapping
from squib.model.stream_checkpoint import STREAM_CHECKPOINTS, StreamCheckpoint, checkpoint_key
from squib.store.base import Store, Transaction

SHARDS_PAUSE_S: Final = 10.0  # squib's choice: how often new shards are looked for

_log: Final = logging.getLogger("squib.event_sources")


class StreamPoller:
    """Implements `base.Poller`, and `shard_reader.Owner` for its readers."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        tools: Tools,
        store: Store,
        discards: Discards,
        access: StreamAccess,
    ) -> None:
        self.mapping, self.tools, self._store = mapping, tools, store
        self.discards, self.access = discards, access
        self.rules = StreamRules.of(mapping)
        self._checkpoints = store.collection(STREAM_CHECKPOINTS)
        self._stopping = asyncio.Event()
        self._done = asyncio.Event()
        self._reading: set[str] = set()
        self._look_again = asyncio.Event()

    async def run(self) -> None:
        end = self.tools.conditions.listen(self._look_again.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self.is_stopping:
                    self._look_again.clear()
                    await self._look(tasks)
                    await self._either(self._look_again, SHARDS_PAUSE_S)
        finally:
            end()
            self._done.set()

    async def stop(self) -> None:
        """Waits for invocations under way: a successor must not send the same records."""
        self._stopping.set()
        self._look_again.set()
        await self._done.wait()

    @property
    def is_stopping(self) -> bool:
        """Nothing more is to be begun."""
        return self._stopping.is_set()

    async def pause(self, seconds: float) -> None:
        """So long, or until it stops."""
        await self._either(self._stopping, seconds)

    @staticmethod
    async def _either(event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    def wrong(self) -> str | None:
        """What stands in the way of reading and sending."""
        try:
            function = self.tools.conditions.function(self.mapping)
        except Problem as error:
            return str(error)
        arn = self.mapping.source_arn or ""
        action = self.tools.conditions.missing(function, self.access.actions, arn, is_elsewhere=True)
        if action is not None:
            return f"The execution role is not authorized to perform {action} on {arn}"
        return None

    def report(self, result: str) -> None:
        """How it went."""
        if not self.is_stopping:
            self.tools.results.report(self.mapping.key, result)

    # --- shards

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        found = self.wrong()
        if found is not None:
            self.report(problem(found))
            return
        try:
            shards = await self.access.shards()
        except (StreamGone, StreamFailed) as error:
            self.report(problem(str(error)))
            return
        ids = {shard.shard_id for shard in shards}
        is_beginning = not any(self._checkpoint(shard) for shard in shards)
        for shard in shards:
            if shard.shard_id in self._reading:
                continue
            checkpoint = self._checkpoint(shard)
            if checkpoint is None:
                checkpoint = StreamCheckpoint(
                    shard_id=shard.shard_id,
                    begun_at_ms=self.tools.clock.now_ms(),
                    is_first=is_beginning,
                )
                await self.keep(checkpoint)
            waits_for = [parent for parent in shard.parents if parent in ids]
            if checkpoint.is_finished or not all(self._is_finished(parent) for parent in waits_for):
                continue
            self._reading.add(shard.shard_id)
            tasks.create_task(self._read(checkpoint))

    async def _read(self, checkpoint: StreamCheckpoint) -> None:
        try:
            await ShardReader(self, checkpoint).run()
        except Exception:
            _log.exception("shard_failed uuid=%s shard=%s", self.mapping.uuid, checkpoint.shard_id)
            await self.pause(SHARDS_PAUSE_S)
        finally:
            self._reading.discard(checkpoint.shard_id)
            self._look_again.set()

    def _checkpoint(self, shard: Shard) -> StreamCheckpoint | None:
        return self._checkpoints.peek(checkpoint_key(self.mapping, shard.shard_id))

    def _is_finished(self, shard_id: str) -> bool:
        found = self._checkpoints.peek(checkpoint_key(self.mapping, shard_id))
        return found is not None and found.is_finished

    async def keep(self, checkpoint: StreamCheckpoint) -> None:
        """Stores it."""
        key = checkpoint_key(self.mapping, checkpoint.shard_id)

        def decide(transaction: Transaction) -> None:
            transaction.put(STREAM_CHECKPOINTS, key, checkpoint)

        await self._store.write(decide)
