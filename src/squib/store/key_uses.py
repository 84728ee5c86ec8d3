"""When and where access keys and roles were last used: noted in memory on each call, written once a
minute."""

import asyncio
from typing import Final

import msgspec

from squib.model.item import GLOBAL, ItemKey, Kind
from squib.model.units import AccountId, EpochMs
from squib.store.base import Store, Transaction

FLUSH_INTERVAL_S: Final = 60.0  # our own choice; AWS's answers lag by as much and more


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """The last use of something."""

    at_ms: EpochMs
    service: str
    region: str


KEY_USES: Final = Kind("iam-key-use", ItemKey, Use)


class KeyUses:
    """Last uses, by access key id or a role's unique id. One owner: the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stored = store.collection(KEY_USES)
        self._fresh: dict[ItemKey, tuple[EpochMs, str, str]] = {}

    def note(self, account_id: AccountId, name: str, service: str, region: str, at_ms: EpochMs) -> None:
        """It is used now."""
        self._fresh[ItemKey(account_id, GLOBAL, name)] = (at_ms, service, region)

    def of(self, account_id: AccountId, name: str) -> Use | None:
        """Its last use; None when there is none."""
        key = ItemKey(account_id, GLOBAL, name)
        fresh = self._fresh.get(key)
        if fresh is None:
            return self._stored.peek(key)
        return Use(at_ms=fresh[0], service=fresh[1], region=fresh[2])

    async def run(self) -> None:
        """Until cancelled; writes what is left then."""
        try:
            while True:
                await asyncio.sleep(FLUSH_INTERVAL_S)
                await self.flush()
        finally:
            await asyncio.shield(self.flush())

    async def flush(self) -> None:
        """Writes what has been noted since the last time."""
        noted, self._fresh = self._fresh, {}
        if not noted:
            return

        def decide(transaction: Transaction) -> None:
            for key, (at_ms, service, region) in noted.items():
                transaction.put(KEY_USES, key, Use(at_ms=at_ms, service=service, region=region))

        await self._store.write(decide)
