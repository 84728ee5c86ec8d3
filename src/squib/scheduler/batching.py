"""When a batch of records is full, and how it is cut where it is too large for one invocation. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from squib.model.limits import MAX_SYNC_PAYLOAD_BYTES

_FRAME_BYTES: Final = len(b'{"Records":[]}')


class BatchRules(NamedTuple):
    """What a mapping says about its batches."""

    max_count: int
    window_ms: int
    """How long a batch may wait to become full, from its first record on."""
    max_bytes: int = MAX_SYNC_PAYLOAD_BYTES
    """Of the whole event."""


def wait_ms(rules: BatchRules, count: int, size_bytes: int, *, first_at_ms: float, now_ms: float) -> float:
    """How long to wait for more records; 0: the batch goes now. `size_bytes` is of the records as JSON."""
    if count >= rules.max_count or size_bytes + _FRAME_BYTES + count >= rules.max_bytes:
        return 0
    return max(0.0, first_at_ms + rules.window_ms - now_ms)


def cut(sizes_bytes: Sequence[int], rules: BatchRules) -> Iterator[slice]:
    """Slices of the records that fit into one event each, in order. A record that is too large by itself is
    alone in its slice."""
    start, total_bytes = 0, _FRAME_BYTES
    for at, size_bytes in enumerate(sizes_bytes):
        grown_bytes = total_bytes + size_bytes + (at > start)
        if at > start and (grown_bytes > rules.max_bytes or at - start >= rules.max_count):
            yield slice(start, at)
            start, grown_bytes = at, _FRAME_BYTES + size_bytes
        total_bytes = grown_bytes
    if start < len(sizes_bytes):
        yield slice(start, len(sizes_bytes))
