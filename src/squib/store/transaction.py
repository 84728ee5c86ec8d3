"""What a decision may read and write inside one transaction: items."""

import sqlite3
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from squib.model.item import Key, Kind
from squib.model.units import AccountId, Region
from squib.store import rows
from squib.store.collections import Change
from squib.store.documents import Documents, key_parameters
from squib.store.queries import QUERIES

K = TypeVar("K", bound=Key)
V = TypeVar("V", bound=msgspec.Struct)

_NO_LIMIT = -1


class SqliteTransaction:
    """Implements `base.Transaction`; `changes` lists what was written, in order."""

    def __init__(self, connection: sqlite3.Connection, documents: Documents) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._documents = documents
        self.changes: list[Change] = []

    def get(self, kind: Kind[K, V], key: K) -> V | None:
        row = self.execute("get_item", key_parameters(kind, key)).fetchone()
        return None if row is None else self._documents.item(kind, row)[1]

    def page(
        self,
        kind: Kind[K, V],
        account_id: AccountId,
        region: Region,
        *,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
    ) -> Sequence[V]:
        parameters: rows.Parameters = {
            "kind": kind.name,
            "account_id": account_id,
            "region": region,
            "prefix": prefix,
            "after": after,
            "limit": _NO_LIMIT if limit is None else limit,
        }
        return [self._documents.item(kind, row)[1] for row in self.execute("list_items", parameters)]

    def put(self, kind: Kind[K, V], key: K, value: V) -> None:
        self.execute("put_item", self._documents.parameters(kind, key, value))
        self.changes.append((kind, key, value))

    def delete(self, kind: Kind[K, V], key: K) -> bool:
        if self.execute("delete_item", key_parameters(kind, key)).rowcount == 0:
            return False
        self.changes.append((kind, key, None))
        return True

    def delete_under(self, kind: Kind[K, V], account_id: AccountId, region: Region, name: str) -> int:
        where = {"kind": kind.name, "account_id": account_id, "region": region, "name": name}
        names = [str(row[0]) for row in self.execute("delete_items_under", where)]
        self.changes += [(kind, kind.key(account_id, region, deleted), None) for deleted in names]
        return len(names)

    def end(self) -> None:
        """From here on every use is an AssertionError: the decision has been made."""
        self._connection = None

    def execute(self, name: str, parameters: rows.Parameters | None = None) -> sqlite3.Cursor:
        """Runs one named statement: for the parts of the store that have tables of their own."""
        if self._connection is None:
            raise AssertionError("a transaction was used outside of its decision")
        return self._connection.execute(QUERIES[name], parameters or {})
