"""The accounts of this squib."""

from typing import Final

import msgspec

from squib.model.item import GLOBAL, ItemKey, Kind
from squib.model.units import AccountId, EpochMs


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account. Its keys are not kept here."""

    created_at_ms: EpochMs
    alias: str | None = None
    """Unique over all accounts."""


ACCOUNTS: Final = Kind("account", ItemKey, Account)


def account_key(account_id: AccountId) -> ItemKey:
    """Names the account itself."""
    return ItemKey(account_id, GLOBAL, "")


class AliasOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose an account alias is: an alias is unique over all accounts."""

    account_id: AccountId


ACCOUNT_ALIASES: Final = Kind("account-alias", ItemKey, AliasOwner)


def alias_key(alias: str) -> ItemKey:
    """Names an alias among those of all accounts."""
    return ItemKey(AccountId(""), GLOBAL, alias)
