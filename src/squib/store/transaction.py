"""The statements a decision may use inside one transaction: functions and accounts."""

import sqlite3
from collections.abc import Sequence

from squib.model.function import FunctionKey, FunctionRecord
from squib.model.units import AccountId, EpochMs, Region
from squib.store import rows
from squib.store.queries import QUERIES


class SqliteTransaction:
    """Implements `base.Transaction`; `changes` lists the functions written, None for a deleted one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection: sqlite3.Connection | None = connection
        self.changes: dict[FunctionKey, FunctionRecord | None] = {}

    def function(self, key: FunctionKey) -> FunctionRecord | None:
        row = self._execute("get_function", rows.key_parameters(key)).fetchone()
        return None if row is None else rows.function_from(row)

    def functions(
        self, account_id: AccountId, region: Region | None, *, after: str = "", limit: int = 10_000
    ) -> Sequence[FunctionRecord]:
        parameters = {"account_id": account_id, "region": region, "after": after, "limit": limit}
        return [rows.function_from(row) for row in self._execute("list_functions", parameters)]

    def all_functions(self) -> Sequence[FunctionRecord]:
        """Every function of every account."""
        return [rows.function_from(row) for row in self._execute("all_functions")]

    def put_function(self, record: FunctionRecord) -> None:
        self._execute("put_function", rows.function_parameters(record))
        self.changes[record.key] = record

    def delete_function(self, key: FunctionKey) -> bool:
        if self._execute("delete_function", rows.key_parameters(key)).rowcount == 0:
            return False
        self.changes[key] = None
        return True

    def accounts(self) -> Sequence[AccountId]:
        return [rows.account_from(row) for row in self._execute("list_accounts")]

    def put_account(self, account_id: AccountId, *, created_at_ms: EpochMs) -> None:
        """Leaves an account that exists already as it is."""
        self._execute("put_account", rows.account_parameters(account_id, created_at_ms))

    def end(self) -> None:
        """From here on every use is an AssertionError: the decision has been made."""
        self._connection = None

    def _execute(self, name: str, parameters: rows.Parameters | None = None) -> sqlite3.Cursor:
        if self._connection is None:
            raise AssertionError("a transaction was used outside of its decision")
        return self._connection.execute(QUERIES[name], parameters or {})
