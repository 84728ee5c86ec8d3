"""Declares every account that has a root key: `squib account create` writes the key's file and nothing
else, so that it works beside a running squib as well as without one."""

import asyncio
from typing import Final

from squib.clock import Clock
from squib.model.account import ACCOUNTS, Account, account_key
from squib.store.base import Store, Transaction
from squib.store.identities import Identities
from squib.store.keyring import KeyRing

_INTERVAL_S: Final = 1.0  # our own choice: the key itself is found at once, whenever it is first used


class AccountsLoop:
    """Looks at the file now and then."""

    def __init__(self, store: Store, identities: Identities, keyring: KeyRing, clock: Clock) -> None:
        self._store, self._identities = store, identities
        self._keyring, self._clock = keyring, clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self._keyring.refresh()
            await self.declare()

    async def declare(self) -> None:
        """Declares the accounts that are not yet."""
        missing = [each for each in self._keyring.accounts if not self._identities.has_account(each)]
        if not missing:
            return
        now_ms = self._clock.now_ms()

        def decide(transaction: Transaction) -> None:
            for account_id in missing:
                key = account_key(account_id)
                if transaction.get(ACCOUNTS, key) is None:
                    transaction.put(ACCOUNTS, key, Account(created_at_ms=now_ms))

        await self._store.write(decide)
