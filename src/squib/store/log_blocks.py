"""How log events look on disk: blocks, each the events of one stream from one flush. No file is touched here.

A block is a fixed header (magic, CRC-32 of all that follows it, body size, event count, first and last
timestamp, ingestion time, sequence of the first event), then a MessagePack list of [timestamp, message].
One header for many events keeps encoding at tens of nanoseconds an event, and a reader looking for a time
hops from header to header. A block that is cut short or damaged ends the readable part of its file.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from squib.model.limits import MAX_LOG_EVENT_BYTES
from squib.model.units import EpochMs

Buffered: TypeAlias = tuple[EpochMs, str]
"""An event as it waits in memory: timestamp and message."""

MAX_BLOCK_BYTES: Final = 1024 * 1024  # squib's choice: what a reader must load to see one event
MAX_CLOCK_JITTER_MS: Final = 10_000  # squib's choice: a larger step back is the clock's, and is kept

_MAGIC: Final = b"SQB1"
_PREFIX: Final = struct.Struct("<4sI")
_FIELDS: Final = struct.Struct("<IIqqqQ")
_HEADER_BYTES: Final = _PREFIX.size + _FIELDS.size

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[tuple[int, str]])


class Block(NamedTuple):
    """One block's header, and where it lies in the bytes it was found in."""

    start: int
    end: int
    event_count: int
    first_event_at_ms: EpochMs
    last_event_at_ms: EpochMs
    ingestion_ms: EpochMs
    first_sequence: int


class Encoded(NamedTuple):
    """Blocks ready to be appended to a file."""

    content: bytes
    event_count: int
    first_event_at_ms: EpochMs
    last_event_at_ms: EpochMs


def in_order(events: Sequence[Buffered], not_before_ms: EpochMs | None) -> Sequence[Buffered]:
    """The same events with timestamps that never step back by a little.

    A stream's lines come from several clocks' readings (the runtime's, ours), so a line can carry an earlier
    millisecond than the line before it. Raising it to its predecessor's keeps lines in the order they were
    written, and lets a follower's token pass over nothing. `not_before_ms` is the stream's last timestamp.
    """
    stamps = [timestamp_ms for timestamp_ms, _ in events]
    floor = stamps[0] if not_before_ms is None else not_before_ms
    if stamps[0] >= floor and stamps == sorted(stamps):
        return events
    ordered: list[Buffered] = []
    for timestamp_ms, message in events:
        if floor - MAX_CLOCK_JITTER_MS <= timestamp_ms < floor:
            timestamp_ms = floor
        floor = timestamp_ms
        ordered.append((timestamp_ms, message))
    return ordered


def encode(
    events: Sequence[Buffered],
    *,
    first_sequence: int,
    ingestion_ms: EpochMs,
    max_event_bytes: int = MAX_LOG_EVENT_BYTES,
) -> Encoded:
    """Blocks for `events` (at least one), numbered from `first_sequence`; longer messages than
    `max_event_bytes` become several events."""
    try:
        body = _encoder.encode(events)
    except UnicodeEncodeError:  # lone surrogates
        events = [(at, message.encode("utf-8", "replace").decode()) for at, message in events]
        body = _encoder.encode(events)
    if len(body) > max_event_bytes:
        events = [piece for event in events for piece in _split(event, max_event_bytes)]
        if len(events) > 1:
            body = _encoder.encode(events)
    if len(body) > MAX_BLOCK_BYTES and len(events) > 1:
        middle = len(events) // 2
        left = encode(
            events[:middle],
            first_sequence=first_sequence,
            ingestion_ms=ingestion_ms,
            max_event_bytes=max_event_bytes,
        )
        right = encode(
            events[middle:],
            first_sequence=first_sequence + left.event_count,
            ingestion_ms=ingestion_ms,
            max_event_bytes=max_event_bytes,
        )
        return Encoded(
            left.content + right.content,
            left.event_count + right.event_count,
            min(left.first_event_at_ms, right.first_event_at_ms),
            max(left.last_event_at_ms, right.last_event_at_ms),
        )
    stamps = [timestamp_ms for timestamp_ms, _ in events]
    first_ms, last_ms = min(stamps), max(stamps)
    fields = _FIELDS.pack(len(body), len(events), first_ms, last_ms, ingestion_ms, first_sequence)
    crc = zlib.crc32(body, zlib.crc32(fields))
    return Encoded(_PREFIX.pack(_MAGIC, crc) + fields + body, len(events), first_ms, last_ms)


def blocks(content: bytes, *, checked: bool = False) -> Iterator[Block]:
    """The blocks of a file's content in order, up to the first that is cut short or no block.

    With `checked` the CRC is verified and sequences must be without a gap; without, only headers are read.
    """
    start = 0
    expected_sequence: int | None = None
    while start + _HEADER_BYTES <= len(content):
        magic, crc = _PREFIX.unpack_from(content, start)
        fields_at = start + _PREFIX.size
        size, count, first_ms, last_ms, ingestion_ms, first_sequence = _FIELDS.unpack_from(content, fields_at)
        end = start + _HEADER_BYTES + size
        if magic != _MAGIC or end > len(content):
            return
        if checked:
            if zlib.crc32(memoryview(content)[fields_at:end]) != crc:
                return
            if expected_sequence not in (None, first_sequence):
                return
            expected_sequence = first_sequence + count
        yield Block(start, end, count, first_ms, last_ms, ingestion_ms, first_sequence)
        start = end


def decode(content: bytes, block: Block) -> Sequence[tuple[int, str]]:
    """The [timestamp, message] pairs of a block; empty when it is damaged."""
    fields_at = block.start + _PREFIX.size
    view = memoryview(content)[fields_at : block.end]
    if zlib.crc32(view) != _PREFIX.unpack_from(content, block.start)[1]:
        return ()
    return _decoder.decode(view[_FIELDS.size :])


def _split(event: Buffered, max_event_bytes: int) -> Iterator[Buffered]:
    timestamp_ms, message = event
    if len(message) * 4 <= max_event_bytes:
        yield event
        return
    content = message.encode()
    start = 0
    while start < len(content):
        end = min(start + max_event_bytes, len(content))
        while end < len(content) and content[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        yield timestamp_ms, content[start:end].decode()
        start = end
