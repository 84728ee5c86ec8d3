"""Messages that go from one queue to another: what they keep, and their rows."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from squib.model.units import EpochMs
from squib.scheduler.queue import Entry
from squib.store.queries import QUERIES
from squib.store.queue_rows import Head, encode, head_of


class Renewal(Protocol):
    """What becomes new about a message that is moved."""

    def entry(self, entry: Entry, position: int, *, now_ms: EpochMs) -> Entry:
        """Its entry in the other queue: visible at once."""

    def head(self, head: Head) -> Head: ...


class DeadLetter:
    """A message that was received too often goes to the dead-letter queue. Its receives stay counted, and in
    standard queues its retention goes on (developer guide, "Dead-letter queues")."""

    def __init__(self, source_arn: str, *, is_fifo: bool) -> None:
        self._source_arn, self._is_fifo = source_arn, is_fifo

    def entry(self, entry: Entry, position: int, *, now_ms: EpochMs) -> Entry:
        kept_since_ms = now_ms if self._is_fifo else entry.kept_since_ms
        count, first_ms = entry.receive_count, entry.first_received_at_ms
        return Entry(position, entry.message_key, kept_since_ms, now_ms, entry.group, count, first_ms)

    def head(self, head: Head) -> Head:
        return msgspec.structs.replace(head, source_arn=self._source_arn)


class Redrive:
    """A message that a move task takes along counts as new: another id, sent now, never received (developer
    guide, "Dead-letter queue redrive")."""

    def __init__(self, message_id: Callable[[], str], *, now_ms: EpochMs) -> None:
        self._message_id, self._now_ms = message_id, now_ms

    def entry(self, entry: Entry, position: int, *, now_ms: EpochMs) -> Entry:
        return Entry(position, entry.message_key, now_ms, now_ms, entry.group)

    def head(self, head: Head) -> Head:
        return msgspec.structs.replace(
            head, message_id=self._message_id(), sent_at_ms=self._now_ms, source_arn=None
        )


def move_rows(
    connection: sqlite3.Connection, queue_id: int, moved: Sequence[Entry], renewal: Renewal
) -> None:
    """Puts the rows of messages into a queue."""
    for entry in moved:
        head = head_of(connection, entry.message_key)
        if head is None:
            continue
        parameters = {
            "message_key": entry.message_key,
            "queue_id": queue_id,
            "position": entry.position,
            "kept_since_ms": entry.kept_since_ms,
            "visible_at_ms": entry.visible_at_ms,
            "head": encode(renewal.head(head)),
        }
        connection.execute(QUERIES["move_message"], parameters)
        if entry.receive_count == 0:
            connection.execute(QUERIES["delete_delivery"], (entry.message_key,))
