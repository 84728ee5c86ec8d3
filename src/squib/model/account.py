"""The accounts of this squib."""

from typing import Final

import msgspec

from squib.model.item import GLOBAL, ItemKey, Kind
from squib.model.units import AccountId, EpochMs


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account. Its keys are not kept here."""

    created_at_ms: EpochMs


ACCOUNTS: Final = Kind("account", ItemKey, Account)


def account_key(account_id: AccountId) -> ItemKey:
    """Names the account itself."""
    return ItemKey(account_id, GLOBAL, "")
