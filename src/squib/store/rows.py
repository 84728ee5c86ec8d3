"""Rows to model and back: the only place where column names meet fields.

A row is a few columns to find it by and one JSON document. Items have documents of their own (documents.py).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from squib.model.errors import PlatformError
from squib.model.log import LogGroup, LogGroupKey
from squib.model.units import AccountId, EpochMs, Region
from squib.store.log_state import StreamState

Parameters: TypeAlias = Mapping[str, str | int | None]
Row: TypeAlias = tuple[object, ...]
T = TypeVar("T")

_states: Final = msgspec.json.Decoder(StreamState)


class UnreadableRow(PlatformError):
    """A stored document that this squib cannot understand."""


class GroupRow(NamedTuple):
    """A stored log group and the number that names it within this store."""

    group_id: int
    group: LogGroup


class StreamRow(NamedTuple):
    """A stored log stream and the number that names its files."""

    stream_id: int
    name: str
    state: StreamState


class _GroupDocument(msgspec.Struct, kw_only=True):
    created_at_ms: EpochMs
    retention_days: int | None = None
    tags: Mapping[str, str] = {}


_groups: Final = msgspec.json.Decoder(_GroupDocument)


def group_key_parameters(key: LogGroupKey) -> Parameters:
    """The columns that name a log group."""
    return {"account_id": key.account_id, "region": key.region, "name": key.name}


def group_parameters(group: LogGroup) -> Parameters:
    """All columns of a log group but its number."""
    return {**group_key_parameters(group.key), **group_document(group)}


def group_document(group: LogGroup) -> Parameters:
    """The column of a log group that changes."""
    document = _GroupDocument(
        created_at_ms=group.created_at_ms, retention_days=group.retention_days, tags=group.tags
    )
    return {"document": msgspec.json.encode(document).decode()}


def group_from(row: Row) -> GroupRow:
    """From group_id, account_id, region, name, document, stored bytes."""
    group_id, account_id, region, name, document, stored_bytes = row
    stored = _decode(_groups, document, "log group")
    key = LogGroupKey(AccountId(str(account_id)), Region(str(region)), str(name))
    group = LogGroup(
        key=key,
        created_at_ms=stored.created_at_ms,
        retention_days=stored.retention_days,
        tags=stored.tags,
        stored_bytes=_number(stored_bytes),
    )
    return GroupRow(_number(group_id), group)


def stream_parameters(*, state: StreamState, is_open: bool) -> Parameters:
    """The columns of a log stream that change."""
    return {"is_open": int(is_open), "document": msgspec.json.encode(state).decode()}


def stream_from(row: Row) -> StreamRow:
    """From stream_id, name, document."""
    stream_id, name, document = row
    return StreamRow(_number(stream_id), str(name), _decode(_states, document, "log stream"))


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise UnreadableRow(f"a number was expected in the database, not {value!r}")
    return value


def _decode(decoder: msgspec.json.Decoder[T], document: object, kind: str) -> T:
    try:
        return decoder.decode(str(document))
    except msgspec.MsgspecError as error:
        raise UnreadableRow(f"The database holds a {kind} that this squib cannot read: {error}") from error
