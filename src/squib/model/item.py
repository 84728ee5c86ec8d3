"""Declared things as the store keeps them: a kind, a name within an account and region, a value.

Functions, versions, aliases, roles, queues are all items. What is no item has a table of its own: log events,
messages, what is counted.
"""

from typing import Any, Generic, Protocol, TypeVar

import msgspec

from squib.model.units import AccountId, Region

GLOBAL: Region = Region("")
"""The region of what belongs to an account as a whole, such as a role."""

V = TypeVar("V", bound=msgspec.Struct)


class Key(Protocol):
    """What names an item among those of its kind. Any frozen struct with these fields will do."""

    @property
    def account_id(self) -> AccountId: ...

    @property
    def region(self) -> Region: ...

    @property
    def name(self) -> str: ...


class ItemKey(msgspec.Struct, frozen=True, order=True):
    """The plain key. Parts of a longer name are joined by `:`, the one to list by in front."""

    account_id: AccountId
    region: Region
    name: str


K = TypeVar("K", bound=Key)


class Kind(Generic[K, V]):
    """One kind of item: its name in the store, which never changes, and the structs of its keys and values.

    A value is stored as one JSON document, so a new field with a default is a compatible change.
    """

    __slots__ = ("key_type", "name", "value_type")

    def __init__(self, name: str, key_type: type[K], value_type: type[V]) -> None:
        self.name = name
        self.key_type = key_type
        self.value_type = value_type

    def key(self, account_id: AccountId, region: Region, name: str) -> K:
        """A key of this kind."""
        made: Any = self.key_type
        key: K = made(account_id, region, name)
        return key

    def __repr__(self) -> str:
        return f"Kind({self.name})"
