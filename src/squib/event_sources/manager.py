"""The loop from declared mappings to running pollers, and from these to the states that are shown.

Level-triggered: it looks at what the store says, so it may be stopped and started at any point.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from squib.event_sources.base import Poller, Source
from squib.model.errors import PlatformError
from squib.model.event_source import EVENT_SOURCE_MAPPINGS, EventSourceMapping, MappingState, SourceKind
from squib.model.item import ItemKey
from squib.model.units import EpochMs
from squib.scheduler.machine import step
from squib.scheduler.mapping import RULES, Do, Event
from squib.store.base import Store, Transaction

_FAILURE_PAUSE_S: Final = 1.0  # squib's choice: after a failure of ours

_log: Final = logging.getLogger("squib.event_sources")


class Manager:
    """Has one poller for each enabled mapping, while it runs."""

    def __init__(self, store: Store, sources: Mapping[SourceKind, Source]) -> None:
        self._store, self._sources = store, sources
        self._mappings = store.collection(EVENT_SOURCE_MAPPINGS)
        self._keepers: dict[ItemKey, _Keeper] = {}
        self._is_stopping = asyncio.Event()

    async def run(self) -> None:
        """Until `stop` was called and every poller has ended; or cancelled."""
        feed = self._mappings.follow()
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow(feed.keys, tasks))
            await self._is_stopping.wait()
            following.cancel()
            for keeper in self._keepers.values():
                tasks.create_task(keeper.stop())

    def stop(self) -> None:
        """Nothing more is taken. `run` returns once what is under way has ended."""
        self._is_stopping.set()

    async def _follow(
        self, keys: Callable[[], Awaitable[Sequence[ItemKey]]], tasks: asyncio.TaskGroup
    ) -> None:
        while True:
            for key in await keys():
                keeper = self._keepers.get(key)
                if keeper is None:
                    mapping = self._mappings.peek(key)
                    source = None if mapping is None else self._sources.get(mapping.kind)
                    if source is None:
                        continue
                    keeper = self._keepers[key] = _Keeper(self._store, key, source, tasks)
                    tasks.create_task(self._keep(key, keeper))
                keeper.look()

    async def _keep(self, key: ItemKey, keeper: "_Keeper") -> None:
        await keeper.run()
        del self._keepers[key]


class _Keeper:
    """Keeps one mapping's poller as declared. Ends when the mapping is gone or squib stops."""

    def __init__(self, store: Store, key: ItemKey, source: Source, tasks: asyncio.TaskGroup) -> None:
        self._store, self._key, self._source, self._tasks = store, key, source, tasks
        self._mappings = store.collection(EVENT_SOURCE_MAPPINGS)
        self._polled: bytes | None = None
        self._poller: Poller | None = None
        self._look_again = asyncio.Event()
        self._is_stopping = False

    def look(self) -> None:
        """Something of the mapping may have changed."""
        self._look_again.set()

    async def run(self) -> None:
        """Level-triggered: until the mapping is gone."""
        while not self._is_stopping:
            await self._look_again.wait()
            self._look_again.clear()
            if self._is_stopping:
                return
            try:
                if not await self._settle():
                    return
            except PlatformError as error:
                _log.warning("mapping_not_settled uuid=%s error=%s", self._key.name, error)
            except Exception:
                _log.exception("mapping_not_settled uuid=%s", self._key.name)
            else:
                continue
            await asyncio.sleep(_FAILURE_PAUSE_S)
            self._look_again.set()

    async def stop(self) -> None:
        """squib stops: what is declared stays as it is."""
        self._is_stopping = True
        self._look_again.set()
        if self._poller is not None:
            await self._poller.stop()

    async def _settle(self) -> bool:
        """Makes it so; False when the mapping is gone."""
        mapping = self._mappings.peek(self._key)
        wanted = None
        if mapping is not None and mapping.is_enabled and mapping.state is not MappingState.DELETING:
            wanted = _settings(mapping)
        if self._poller is not None and self._polled != wanted:
            await self._poller.stop()
            self._poller = None
        if mapping is None:
            return False
        if self._poller is None and wanted is not None and not self._is_stopping:
            self._polled, self._poller = wanted, self._source.poller(mapping)
            self._tasks.create_task(self._poll(self._poller))
        await self._show(mapping, Event.RESTING if wanted is None else Event.POLLING)
        return True

    async def _poll(self, poller: Poller) -> None:
        try:
            await poller.run()
        except Exception:
            _log.exception("poller_failed uuid=%s", self._key.name)
            await asyncio.sleep(_FAILURE_PAUSE_S)
            if self._poller is poller:
                self._poller = None
                self._look_again.set()

    async def _show(self, seen: EventSourceMapping, event: Event) -> None:
        """The mapping's state follows what has been done, unless more has been declared meanwhile."""
        if (seen.state, event) not in RULES:
            return

        def decide(transaction: Transaction) -> bool:
            mapping = transaction.get(EVENT_SOURCE_MAPPINGS, self._key)
            if mapping is None or mapping.state is not seen.state or _settings(mapping) != _settings(seen):
                return False
            state, effects = step(RULES, mapping.state, event)
            if Do.FORGET in effects:
                transaction.delete(EVENT_SOURCE_MAPPINGS, self._key)
                return True
            transaction.put(EVENT_SOURCE_MAPPINGS, self._key, msgspec.structs.replace(mapping, state=state))
            return False

        if await self._store.write(decide):
            await self._source.forget(seen)


def _settings(mapping: EventSourceMapping) -> bytes:
    """The mapping without what polling does not depend on; as bytes, for a list is read back as a tuple's."""
    return msgspec.msgpack.encode(
        msgspec.structs.replace(
            mapping,
            state=MappingState.CREATING,
            modified_at_ms=EpochMs(0),
            last_processing_result=None,
            tags={},
        )
    )
