"""The long-lived access keys of users, as they are stored: the secret only sealed."""

from typing import Final

import msgspec

from squib.model.item import GLOBAL, ItemKey, Kind
from squib.model.units import AccountId, EpochMs


class UserKey(msgspec.Struct, frozen=True, kw_only=True):
    """An access key of a user."""

    account_id: AccountId
    access_key_id: str
    user_name: str
    user_id: str
    """Of the user it was made for: a later one of the same name does not get it."""
    created_at_ms: EpochMs
    is_active: bool = True
    sealed_secret: str
    """By the data directory's key, bound to the access key id (`store/sealing.py`)."""

    def __repr__(self) -> str:
        return f"UserKey({self.access_key_id})"


USER_KEYS: Final = Kind("iam-access-key", ItemKey, UserKey)


def user_key_key(account_id: AccountId, access_key_id: str) -> ItemKey:
    """Where an access key is kept."""
    return ItemKey(account_id, GLOBAL, access_key_id)
