"""How far a shard of a stream has been read for a mapping."""

from typing import Final

import msgspec

from squib.model.event_source import EventSourceMapping
from squib.model.item import ItemKey, Kind
from squib.model.units import EpochMs


class StreamCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Everything up to `sequence` is done."""

    shard_id: str
    sequence: str | None = None
    """None: nothing yet."""
    begun_at_ms: EpochMs
    """When the mapping first looked at the shard."""
    is_first: bool = False
    """It was there when the mapping began: it is read from the mapping's starting position on, others from
    their beginning."""
    window_start_ms: EpochMs | None = None
    """Of the tumbling window that has begun and not ended."""
    window_state: bytes = b"{}"
    """What the function has handed on within it."""
    is_finished: bool = False
    """The shard was closed, and all of it is done."""


STREAM_CHECKPOINTS: Final = Kind("stream_checkpoint", ItemKey, StreamCheckpoint)
"""Named by the mapping's UUID and the shard, `UUID:SHARD`."""


def checkpoint_key(mapping: EventSourceMapping, shard_id: str) -> ItemKey:
    """The key of a shard's checkpoint."""
    return ItemKey(mapping.account_id, mapping.region, f"{mapping.uuid}:{shard_id}")
