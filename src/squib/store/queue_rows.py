"""Messages as rows: what is written once (head, content), and the index that is read at the start."""

import sqlite3
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from squib.model.queue import MessageAttribute, Queue, ReceivedMessage
from squib.model.receipt import Receipt, seal
from squib.model.units import EpochMs
from squib.scheduler.queue import Entry
from squib.store.queries import QUERIES

MessageRow: TypeAlias = tuple[int, int, int, int, int, str | None, bytes, bytes]
DeliveryRow: TypeAlias = tuple[int, int, int, int]
DeduplicationRow: TypeAlias = tuple[int, str, str, int, str, int]
Index: TypeAlias = tuple[list[tuple[int, Entry]], list[DeduplicationRow]]
"""What must be known of messages at the start: (queue, entry) of each, and what was accepted lately."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The small facts of a message. New ones go to the end, with a default."""

    message_id: str
    sent_at_ms: EpochMs
    sender_id: str
    trace_header: str | None = None
    deduplication_id: str | None = None
    source_arn: str | None = None


class Content(msgspec.Struct, frozen=True, array_like=True):
    """What the sender wants to say."""

    body: str
    attributes: dict[str, MessageAttribute] = {}


class Stored(NamedTuple):
    """A whole message."""

    head: Head
    content: Content


class Accepted(msgspec.Struct):
    """The first send of a deduplication id."""

    message_id: str
    position: int
    committed: Any = None
    """The future of its commit, an `asyncio.Future[None]`, until that is done."""


_heads: Final = msgspec.msgpack.Decoder(Head)
_contents: Final = msgspec.msgpack.Decoder(Content)
encode: Final = msgspec.msgpack.Encoder().encode


def message_row(queue_id: int, entry: Entry, head: Head, content: bytes) -> MessageRow:
    """The columns of a message that is sent."""
    return (
        entry.message_key,
        queue_id,
        entry.position,
        entry.kept_since_ms,
        entry.visible_at_ms,
        entry.group,
        encode(head),
        content,
    )


def delivery_row(entry: Entry) -> DeliveryRow:
    """What receives and changes of visibility leave of a message."""
    return (entry.message_key, entry.visible_at_ms, entry.receive_count, entry.first_received_at_ms)


def stored_from(head: bytes, content: bytes) -> Stored:
    """A message of its two blobs."""
    return Stored(_heads.decode(head), _contents.decode(content))


def received(queue: Queue, receipt: Receipt, entry: Entry, stored: Stored) -> ReceivedMessage:
    """A message as the receive `receipt` has it."""
    head, content = stored
    return ReceivedMessage(
        message_id=head.message_id,
        receipt_handle=seal(receipt, queue.secret),
        body=content.body,
        attributes=content.attributes,
        sent_at_ms=head.sent_at_ms,
        sender_id=head.sender_id,
        receive_count=receipt.receive_count,
        first_received_at_ms=entry.first_received_at_ms,
        sequence_number=entry.position,
        trace_header=head.trace_header,
        group_id=entry.group,
        deduplication_id=head.deduplication_id,
        source_arn=head.source_arn,
    )


def head_of(connection: sqlite3.Connection, message_key: int) -> Head | None:
    """The head of a row; None when there is none."""
    row = connection.execute(QUERIES["get_message_head"], (message_key,)).fetchone()
    return None if row is None else _heads.decode(row[0])


def read_index(connection: sqlite3.Connection) -> Index:
    """Every message, in order of position, without its content."""
    groups: dict[str, str] = {}  # one text for all messages of a group
    messages = []
    for key, queue_id, position, kept_since_ms, visible_at_ms, group, count, first_ms in connection.execute(
        QUERIES["load_messages"]
    ):
        shared = None if group is None else groups.setdefault(group, group)
        if position == key:
            position = key  # one number in memory, not two
        entry = Entry(position, key, kept_since_ms, visible_at_ms, shared, count, first_ms)
        messages.append((queue_id, entry))
    return messages, connection.execute(QUERIES["load_deduplications"]).fetchall()


def expire_deduplications(connection: sqlite3.Connection, before_ms: EpochMs) -> None:
    """Forgets what was accepted until then."""
    connection.execute(QUERIES["expire_deduplications"], {"before_ms": before_ms})
