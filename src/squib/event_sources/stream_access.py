"""A stream as its poller sees it, whatever kind it is."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from squib.model.units import EpochMs


class Shard(msgspec.Struct, frozen=True):
    """A part of a stream whose records are in order."""

    shard_id: str
    parents: tuple[str, ...] = ()
    """What must have been read before."""


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record."""

    sequence: str
    lane_key: str
    """Records of one key stay in order."""
    arrived_at_ms: float
    record: dict[str, Any]
    """As the function gets it."""
    is_wanted: bool = True
    """A filter wants it, or there is none."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where reading begins: after a record, at a time, or at the beginning."""

    after: str | None = None
    at_ms: EpochMs | None = None
    is_now: bool = False
    """That time is now: what comes next."""
    is_start: bool = False


class StreamGone(Exception):
    """The stream does not exist."""


class StreamFailed(Exception):
    """The stream does not answer as it should, for now; the text says why."""


class IteratorExpired(Exception):
    """An iterator is too old to be used: another one is needed."""


class StreamAccess(Protocol):
    """One stream. Every method raises StreamGone and StreamFailed."""

    actions: tuple[str, ...]
    """What the function's role needs to be allowed."""
    pause_s: float
    """Between two reads of a shard."""

    async def shards(self) -> Sequence[Shard]:
        """All that there are, closed ones included."""

    async def iterator(self, shard_id: str, position: Position) -> str:
        """For `read`."""

    async def read(
        self, iterator: str, limit: int, shard_id: str
    ) -> tuple[Sequence[StreamRecord], str | None]:
        """Records of the shard, and the iterator of what follows: None at the end of a closed shard. Raises
        IteratorExpired."""
