"""The named statements of `sql/sqlite/queries/` and the migrations beside them, read from the package."""

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Final, NamedTuple

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION: Final = re.compile(r"^(\d{4})_\w+\.sql$")


class Migration(NamedTuple):
    """One step of the schema. Its script ends by setting `user_version` to `version`."""

    version: int
    name: str
    script: str


def parse(text: str) -> Mapping[str, str]:
    """Statements by name; each stands under a line `-- name: NAME`."""
    parts = _NAME.split(text)
    return {name: sql.strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


def _read_migrations(folder: str) -> Sequence[Migration]:
    found = [
        Migration(int(match[1]), entry.name, entry.read_text("utf-8"))
        for entry in resources.files("squib.store").joinpath("sql/sqlite", folder).iterdir()
        if (match := _MIGRATION.match(entry.name))
    ]
    return tuple(sorted(found))


def _read_queries() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for entry in resources.files("squib.store").joinpath("sql/sqlite/queries").iterdir():
        named = parse(entry.read_text("utf-8"))
        if twice := found.keys() & named.keys():
            raise AssertionError(f"{entry.name} names {twice} again")
        found.update(named)
    return found


QUERIES: Final = _read_queries()
"""Every statement by its name."""

MIGRATIONS: Final = _read_migrations("migrations")
"""In order, numbered from 1 without a gap."""

USAGE_MIGRATIONS: Final = _read_migrations("usage_migrations")
"""The same of `usage.db`."""

TRACE_MIGRATIONS: Final = _read_migrations("trace_migrations")
"""The same of `traces.db`."""
