"""Brings a database's schema to what this squib knows: numbered steps, forward only, one transaction each."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from squib.model.errors import PlatformError
from squib.store.queries import MIGRATIONS, QUERIES, Migration

SEALED_SINCE: Final = 3
"""Databases of this schema version and later hold sealed secrets; their key was made before they were."""


class SchemaTooNew(PlatformError):
    """The database was written by a newer squib."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"The database has schema version {found}, but this squib knows versions up to {known}. "
            "Use the newer squib that wrote it, or another data directory."
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Applies the steps that are missing and returns the schema version. Raises SchemaTooNew."""
    known = migrations[-1].version
    found = schema_version(connection)
    if found > known:
        raise SchemaTooNew(found, known)
    for migration in migrations[found:]:
        connection.execute(QUERIES["begin_write"])
        try:
            for statement in _statements(migration.script):
                connection.execute(statement)
            reached = schema_version(connection)
            if reached != migration.version:
                raise AssertionError(f"{migration.name} leaves user_version at {reached}")
        except BaseException:
            connection.execute(QUERIES["rollback"])
            raise
        connection.execute(QUERIES["commit"])
    return known


def schema_version(connection: sqlite3.Connection) -> int:
    """The number of the last step applied; 0 for an empty database."""
    return int(connection.execute(QUERIES["schema_version"]).fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """One by one: `executescript` would commit the transaction around it."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        raise AssertionError(f"a statement without its semicolon: {pending!r}")
