"""Log groups, streams and events of CloudWatch Logs."""

from collections.abc import Mapping
from typing import Final

import msgspec

from squib.model.units import AccountId, EpochMs, Region

EVENT_OVERHEAD_BYTES: Final = 26  # PutLogEvents reference: what an event counts beside its message
RETENTION_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180),
    *(365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""How long a log group may keep events (PutRetentionPolicy reference)."""
_DAY_MS: Final = 24 * 60 * 60 * 1000


class LogGroupKey(msgspec.Struct, frozen=True, order=True):
    """Names a log group within one squib."""

    account_id: AccountId
    region: Region
    name: str


class LogGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One log group."""

    key: LogGroupKey
    created_at_ms: EpochMs
    retention_days: int | None = None
    tags: Mapping[str, str] = {}
    stored_bytes: int = 0
    """Of all its streams' events; may lag behind by seconds."""

    @property
    def arn(self) -> str:
        """Without the trailing `:*` that `arn` of DescribeLogGroups carries."""
        return f"arn:aws:logs:{self.key.region}:{self.key.account_id}:log-group:{self.key.name}"


class LogStream(msgspec.Struct, frozen=True, kw_only=True):
    """One log stream; times are None while it has no event."""

    group: LogGroupKey
    name: str
    created_at_ms: EpochMs
    first_event_at_ms: EpochMs | None = None
    last_event_at_ms: EpochMs | None = None
    last_ingestion_at_ms: EpochMs | None = None
    stored_bytes: int = 0


class LogEvent(msgspec.Struct, frozen=True):
    """One line. `sequence` orders the events of a stream and never repeats in it."""

    stream: str
    timestamp_ms: EpochMs
    ingestion_ms: EpochMs
    message: str
    sequence: int


def event_bytes(event: LogEvent) -> int:
    """What an event counts against a page's size."""
    return message_bytes(event.message)


def message_bytes(message: str) -> int:
    """What an event of this message counts: its UTF-8 and the overhead."""
    size_bytes = len(message) if message.isascii() else len(message.encode("utf-8", "replace"))
    return size_bytes + EVENT_OVERHEAD_BYTES


def retained_since(retention_days: int | None, *, now_ms: EpochMs) -> EpochMs | None:
    """The first timestamp that a group with this retention still has; None when it keeps everything."""
    return None if retention_days is None else EpochMs(now_ms - retention_days * _DAY_MS)
