"""`LastProcessingResult` of mappings: what GetEventSourceMapping shows of how polling goes."""

import asyncio
import logging
from typing import Final

import msgspec

from squib.model.errors import PlatformError
from squib.model.event_source import EVENT_SOURCE_MAPPINGS
from squib.model.item import ItemKey
from squib.store.base import Store, Transaction

OK: Final = "OK"
FUNCTION_FAILED: Final = "PROBLEM: Function call failed"
_PAUSE_S: Final = 0.2  # squib's choice: results of failing functions change often; the last one is written

_log: Final = logging.getLogger("squib.event_sources")


def problem(words: str) -> str:
    """A result that says what is wrong."""
    return f"PROBLEM: {words}"


class Results:
    """Writes results behind those who report them; a result that has not changed is not written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mappings = store.collection(EVENT_SOURCE_MAPPINGS)
        self._news: dict[ItemKey, str] = {}
        self._has_news = asyncio.Event()

    def report(self, key: ItemKey, result: str, *, is_quiet_when_fine: bool = False) -> None:
        """How it went now. `is_quiet_when_fine`: a success is only told after something else."""
        said = self._news.get(key)
        if said is None:
            mapping = self._mappings.peek(key)
            said = None if mapping is None else mapping.last_processing_result
        if said == result or (said is None and is_quiet_when_fine and result == OK):
            return
        if result != OK:
            _log.info("mapping_result uuid=%s result=%r", key.name, result)
        self._news[key] = result
        self._has_news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            news, self._news = self._news, {}

            def decide(transaction: Transaction, news: dict[ItemKey, str] = news) -> None:
                for key, result in news.items():
                    mapping = transaction.get(EVENT_SOURCE_MAPPINGS, key)
                    if mapping is not None:
                        told = msgspec.structs.replace(mapping, last_processing_result=result)
                        transaction.put(EVENT_SOURCE_MAPPINGS, key, told)

            try:
                await self._store.write(decide)
            except PlatformError as error:
                _log.warning("mapping_results_not_written error=%s", error)
            await asyncio.sleep(_PAUSE_S)
