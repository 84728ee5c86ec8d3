"""How a version is published: the rules, within the caller's transaction."""

import msgspec

from squib.model.function import (
    LAST_NUMBERS,
    VERSIONS,
    FunctionKey,
    FunctionRecord,
    FunctionVersion,
    LastNumber,
    LastUpdateStatus,
    Published,
    ReasonCode,
    State,
    has_same_content,
    version_key,
)
from squib.model.units import EpochMs
from squib.store.base import Reader, Transaction

BEING_CREATED = "The function is being created."  # recorded, for new functions, for updates and versions


def unchanged_version(reader: Reader, record: FunctionRecord) -> FunctionVersion | None:
    """The version that was published last, if there still is nothing new to publish."""
    published = record.published
    if published is None or published.description != record.declared.description:
        return None
    version = reader.get(VERSIONS, version_key(record.key, published.number))
    return version if version is not None and has_same_content(version, record.declared) else None


def publish(
    transaction: Transaction,
    record: FunctionRecord,
    *,
    description: str | None,
    revision_id: str,
    now_ms: EpochMs,
) -> tuple[FunctionRecord, FunctionVersion]:
    """Makes a version of what is declared, with a number never used before. It is active at once when what is
    declared is, and no snapshot is to be taken of it; else it is prepared like a new function. Returns the
    record that is yet to be put."""
    declared = record.declared
    is_ready = record.active is not None and record.active.content_id == declared.content_id
    is_active = is_ready and declared.snap_start == "None"
    version = msgspec.structs.replace(
        declared,
        version=_next_number(transaction, record.key),
        modified_at_ms=now_ms,
        revision_id=revision_id,
        description=declared.description if description is None else description,
        state=State.ACTIVE if is_active else State.PENDING,
        state_reason=None if is_active else BEING_CREATED,
        state_reason_code=None if is_active else ReasonCode.CREATING,
        last_update_status=LastUpdateStatus.SUCCESSFUL if is_active else None,
        last_update_status_reason=None,
        last_update_status_reason_code=None,
    )
    transaction.put(VERSIONS, version_key(record.key, version.version), version)
    published = Published(number=version.version, description=declared.description)
    return msgspec.structs.replace(record, published=published), version


def _next_number(transaction: Transaction, key: FunctionKey) -> str:
    last = transaction.get(LAST_NUMBERS, key)
    number = 1 if last is None else last.number + 1
    transaction.put(LAST_NUMBERS, key, LastNumber(number))
    return str(number)
