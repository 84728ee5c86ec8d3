"""What a send writes: its rows, the entries they will have, and what repetitions are answered with."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from squib.model.queue import NewMessage, Queue, SentMessage
from squib.model.units import EpochMs
from squib.scheduler.deduplication import Deduplication, Scoped, scoped
from squib.scheduler.queue import Entry
from squib.store.queue_rows import (
    Accepted,
    Content,
    DeduplicationRow,
    Head,
    MessageRow,
    Stored,
    encode,
    message_row,
)


@dataclass(slots=True)
class Sending:
    """Messages of one send, made ready to be written."""

    sent: list[SentMessage] = field(default_factory=list)
    rows: list[MessageRow] = field(default_factory=list)
    marks: list[DeduplicationRow] = field(default_factory=list)
    added: list[tuple[Entry, Stored, int]] = field(default_factory=list)
    """Entry, contents and their size, of each message that is no repetition."""
    accepted: list[Accepted] = field(default_factory=list)
    waits_for: "set[asyncio.Future[None]]" = field(default_factory=set)
    """The commits of the first sends that this one repeats."""


def prepare(
    queue: Queue,
    messages: Sequence[NewMessage],
    deduplication: Deduplication[Accepted],
    *,
    number: Callable[[], int],
    now_ms: EpochMs,
) -> Sending:
    """Makes messages ready, and has `deduplication` know them from now on."""
    sending = Sending()
    for message in messages:
        name = _name(queue, message)
        first = None if name is None else deduplication.find(name, now_ms=now_ms)
        if first is not None:
            sending.sent.append(SentMessage(first.message_id, first.position))
            if first.committed is not None:
                sending.waits_for.add(first.committed)
            continue
        delay_s = queue.delay_s if message.delay_s is None else message.delay_s
        position = number()
        entry = Entry(position, position, now_ms, EpochMs(now_ms + delay_s * 1000), message.group_id)
        head = Head(
            message.message_id, now_ms, message.sender_id, message.trace_header, message.deduplication_id
        )
        content = Content(message.body, dict(message.attributes))
        packed = encode(content)
        sending.rows.append(message_row(queue.queue_id, entry, head, packed))
        sending.added.append((entry, Stored(head, content), len(packed)))
        sending.sent.append(SentMessage(message.message_id, position))
        if name is not None:
            first = Accepted(message.message_id, position)
            deduplication.accept(name, first, at_ms=now_ms)
            sending.accepted.append(first)
            sending.marks.append((queue.queue_id, *name, now_ms, message.message_id, position))
    return sending


def _name(queue: Queue, message: NewMessage) -> Scoped | None:
    if not queue.key.is_fifo or message.deduplication_id is None:
        return None
    return scoped(message.deduplication_id, message.group_id, is_per_group=queue.deduplication_per_group)
