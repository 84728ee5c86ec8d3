"""The poller of a stream, whatever kind it is: one reader for each shard that can be read."""

import asyncio
import logging
from collections.abc import Sequence, Set
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
_PROMPT_MS: Final = 10_000  # likewise: a mapping that was declared so lately begins now

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
        self._place = (mapping.account_id, mapping.region)
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
        new = await self._begin(shards)
        ids = {shard.shard_id for shard in shards}
        for shard in shards:
            if shard.shard_id in self._reading:
                continue
            checkpoint = self._checkpoint(shard.shard_id)
            waits_for = [parent for parent in shard.parents if parent in ids]
            if checkpoint is None or checkpoint.is_finished or not all(map(self._is_finished, waits_for)):
                continue
            self._reading.add(shard.shard_id)
            tasks.create_task(self._read(checkpoint, is_new=shard.shard_id in new))

    async def _begin(self, shards: Sequence[Shard]) -> Set[str]:
        """Stores where reading begins, of all shards that are seen for the first time at once: a stream that
        has been begun is known as such. Gives their ids."""
        known = self._checkpoints.page(*self._place, prefix=f"{self.mapping.uuid}:")
        listed = {shard.shard_id for shard in shards}
        gone = [one for one in known if one.shard_id not in listed and one.shard_id not in self._reading]
        new = listed - {one.shard_id for one in known}
        if not new:
            return new
        now_ms = self.tools.clock.now_ms()
        began = [
            StreamCheckpoint(
                shard_id=shard_id,
                begun_at_ms=now_ms if known else self.mapping.modified_at_ms,
                is_first=not known,
            )
            for shard_id in sorted(new)
        ]
        for one in gone:
            if not one.is_finished:
                _log.warning("shard_lost uuid=%s shard=%s", self.mapping.uuid, one.shard_id)

        def decide(transaction: Transaction) -> None:
            for one in began:
                transaction.put(STREAM_CHECKPOINTS, checkpoint_key(self.mapping, one.shard_id), one)
            for one in gone:
                transaction.delete(STREAM_CHECKPOINTS, checkpoint_key(self.mapping, one.shard_id))

        await self._store.write(decide)
        is_prompt = now_ms - self.mapping.modified_at_ms < _PROMPT_MS
        return new if is_prompt else frozenset()

    async def _read(self, checkpoint: StreamCheckpoint, *, is_new: bool) -> None:
        try:
            await ShardReader(self, checkpoint, is_new=is_new).run()
        except Exception:
            _log.exception("shard_failed uuid=%s shard=%s", self.mapping.uuid, checkpoint.shard_id)
            await self.pause(SHARDS_PAUSE_S)
        finally:
            self._reading.discard(checkpoint.shard_id)
            self._look_again.set()

    def _checkpoint(self, shard_id: str) -> StreamCheckpoint | None:
        return self._checkpoints.peek(checkpoint_key(self.mapping, shard_id))

    def _is_finished(self, shard_id: str) -> bool:
        found = self._checkpoint(shard_id)
        return found is not None and found.is_finished

    async def keep(self, checkpoint: StreamCheckpoint) -> None:
        """Stores it."""
        key = checkpoint_key(self.mapping, checkpoint.shard_id)

        def decide(transaction: Transaction) -> None:
            transaction.put(STREAM_CHECKPOINTS, key, checkpoint)

        await self._store.write(decide)
