"""What an account has: how many functions, and the bytes of their code. Counted as it is written."""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from squib.model.errors import CodeStorageExceeded
from squib.model.function import FUNCTIONS, VERSIONS
from squib.model.item import Key, Kind
from squib.model.layer import LAYER_VERSIONS
from squib.model.units import AccountId, Region
from squib.store.base import Store

Place: TypeAlias = tuple[AccountId, Region]


class CodeUsage:
    """The use of every account and region. Every version counts, whether or not it shares its archive."""

    def __init__(self, store: Store, *, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        """Of every account, in each region."""
        self._functions: Counter[Place] = Counter()
        self._bytes: Counter[Place] = Counter()
        self._count(store, FUNCTIONS, lambda record: record.declared.code.size_bytes, self._functions)
        self._count(store, VERSIONS, lambda version: version.code.size_bytes)
        self._count(store, LAYER_VERSIONS, lambda version: version.content.size_bytes)

    def functions(self, account_id: AccountId, region: Region) -> int:
        """How many there are."""
        return self._functions[account_id, region]

    def size_bytes(self, account_id: AccountId, region: Region) -> int:
        """Of the archives of all versions of functions and layers."""
        return self._bytes[account_id, region]

    def check(self, account_id: AccountId, region: Region, more_bytes: int) -> None:
        """Raises CodeStorageExceeded when there is no room for so much more."""
        if self._bytes[account_id, region] + more_bytes > self.limit_bytes:
            raise CodeStorageExceeded("Code storage limit exceeded.", fields={"Type": "User"})

    def _count(
        self,
        store: Store,
        kind: Kind[Any, Any],
        size_of: Callable[[Any], int],
        counter: Counter[Place] | None = None,
    ) -> None:
        def seen(key: Key, before: Any, after: Any) -> None:
            place = (key.account_id, key.region)
            self._bytes[place] += (0 if after is None else size_of(after)) - (
                0 if before is None else size_of(before)
            )
            if counter is not None:
                counter[place] += (after is not None) - (before is not None)

        store.collection(kind).watch(seen)
