"""Log groups, streams and events of CloudWatch Logs."""

import msgspec

from squib.model.units import AccountId, EpochMs, Region


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
    """What an event counts against a page's size: its UTF-8 and 26 bytes (PutLogEvents reference)."""
    message = event.message
    return (len(message) if message.isascii() else len(message.encode())) + 26
