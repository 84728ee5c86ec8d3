"""Log groups, streams and events in the wire names of CloudWatch Logs."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from squib.model.log import LogEvent, LogGroup, LogStream


def group_shape(group: LogGroup) -> Mapping[str, Any]:
    """`LogGroup` in full."""
    shape = {
        **group_summary(group),
        "metricFilterCount": 0,
        "storedBytes": group.stored_bytes,
        "logGroupClass": "STANDARD",
        "logGroupArn": group.arn,
    }
    if group.retention_days is not None:
        shape["retentionInDays"] = group.retention_days
    return shape


def group_summary(group: LogGroup) -> Mapping[str, Any]:
    """`LogGroup` as a search by name pattern answers it."""
    return {
        "logGroupName": group.key.name,
        "creationTime": group.created_at_ms,
        "arn": f"{group.arn}:*",
    }


def stream_shape(stream: LogStream) -> Mapping[str, Any]:
    """`LogStream`; times are left out while it has no event."""
    group = stream.group
    group_arn = f"arn:aws:logs:{group.region}:{group.account_id}:log-group:{group.name}"
    times = {
        "firstEventTimestamp": stream.first_event_at_ms,
        "lastEventTimestamp": stream.last_event_at_ms,
        "lastIngestionTime": stream.last_ingestion_at_ms,
    }
    return {
        "logStreamName": stream.name,
        "creationTime": stream.created_at_ms,
        **{name: value for name, value in times.items() if value is not None},
        "arn": f"{group_arn}:log-stream:{stream.name}",
        "storedBytes": stream.stored_bytes,
    }


def output_event_shape(event: LogEvent) -> Mapping[str, Any]:
    """`OutputLogEvent` of GetLogEvents."""
    return {
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.ingestion_ms,
    }


def filtered_event_shape(event: LogEvent) -> Mapping[str, Any]:
    """`FilteredLogEvent` of FilterLogEvents."""
    return {
        "logStreamName": event.stream,
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.ingestion_ms,
        "eventId": event_id(event),
    }


def event_id(event: LogEvent) -> str:
    """56 digits that no other event of the log group has: time, stream, sequence."""
    return f"{event.timestamp_ms:016d}{_stream_digits(event.stream)}{event.sequence:020d}"


@lru_cache(maxsize=1024)
def _stream_digits(stream: str) -> str:
    return f"{int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], 'big'):020d}"
