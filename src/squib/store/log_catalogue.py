"""Log groups and streams in the database: what a job on a connection may ask and write."""

import sqlite3
from collections.abc import Sequence

from squib.model.log import LogGroup, LogGroupKey
from squib.model.units import AccountId, EpochMs, Region
from squib.store import rows
from squib.store.log_state import StreamState
from squib.store.queries import QUERIES


def add_group(connection: sqlite3.Connection, added: LogGroup) -> bool:
    """False when it exists already."""
    return connection.execute(QUERIES["add_log_group"], rows.group_parameters(added)).rowcount == 1


def group(connection: sqlite3.Connection, key: LogGroupKey) -> rows.GroupRow | None:
    row = connection.execute(QUERIES["get_log_group"], rows.group_key_parameters(key)).fetchone()
    return None if row is None else rows.group_from(row)


def groups(
    connection: sqlite3.Connection,
    account_id: AccountId,
    region: Region,
    *,
    prefix: str,
    after: str,
    limit: int,
) -> Sequence[LogGroup]:
    """By name, from the first name greater than `after`."""
    parameters = {
        "account_id": account_id,
        "region": region,
        "prefix": prefix,
        "after": after,
        "limit": limit,
    }
    found = connection.execute(QUERIES["list_log_groups"], parameters)
    return [rows.group_from(row).group for row in found]


def retaining_groups(connection: sqlite3.Connection) -> Sequence[LogGroup]:
    """Those that keep their events for a while only."""
    return [rows.group_from(row).group for row in connection.execute(QUERIES["list_retaining_log_groups"])]


def put_group(connection: sqlite3.Connection, group_id: int, changed: LogGroup) -> None:
    connection.execute(QUERIES["put_log_group"], {"group_id": group_id, **rows.group_document(changed)})


def delete_group(connection: sqlite3.Connection, group_id: int) -> None:
    """Its streams' rows go with it."""
    connection.execute(QUERIES["delete_log_group"], {"group_id": group_id})


def open_stream(
    connection: sqlite3.Connection,
    key: LogGroupKey,
    name: str,
    created_at_ms: EpochMs,
    *,
    makes_group: bool,
) -> rows.StreamRow | None:
    """The stream's row, made if missing, and marked open. A missing group is made too, or None given."""
    found_group = group(connection, key)
    if found_group is None:
        if not makes_group:
            return None
        add_group(connection, LogGroup(key=key, created_at_ms=created_at_ms))
        found_group = group(connection, key)
    if found_group is None:
        raise AssertionError(f"log group {key} is gone within its own transaction")
    is_new = add_stream(connection, found_group.group_id, name, created_at_ms, is_open=True)
    found = stream(connection, found_group.group_id, name)
    if found is None:
        raise AssertionError(f"log stream {name} is gone within its own transaction")
    if not is_new:
        put_stream(connection, found.stream_id, found.state, is_open=True)
    return found


def add_stream(
    connection: sqlite3.Connection, group_id: int, name: str, created_at_ms: EpochMs, *, is_open: bool
) -> bool:
    """False when it exists already."""
    document = rows.stream_parameters(state=StreamState(created_at_ms=created_at_ms), is_open=is_open)
    parameters = {"group_id": group_id, "name": name, **document}
    return connection.execute(QUERIES["add_log_stream"], parameters).rowcount == 1


def stream(connection: sqlite3.Connection, group_id: int, name: str) -> rows.StreamRow | None:
    row = connection.execute(QUERIES["get_log_stream"], {"group_id": group_id, "name": name}).fetchone()
    return None if row is None else rows.stream_from(row)


def streams(connection: sqlite3.Connection, group_id: int, *, prefix: str = "") -> Sequence[rows.StreamRow]:
    """By name."""
    found = connection.execute(QUERIES["list_log_streams"], {"group_id": group_id, "prefix": prefix})
    return [rows.stream_from(row) for row in found]


def open_streams(connection: sqlite3.Connection) -> Sequence[rows.StreamRow]:
    """Those whose files may hold more than their row says."""
    return [rows.stream_from(row) for row in connection.execute(QUERIES["list_open_log_streams"])]


def put_stream(connection: sqlite3.Connection, stream_id: int, state: StreamState, *, is_open: bool) -> None:
    connection.execute(
        QUERIES["put_log_stream"],
        {"stream_id": stream_id, **rows.stream_parameters(state=state, is_open=is_open)},
    )


def delete_stream(connection: sqlite3.Connection, stream_id: int) -> None:
    connection.execute(QUERIES["delete_log_stream"], {"stream_id": stream_id})
