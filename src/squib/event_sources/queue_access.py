"""A queue as its poller sees it, wherever the queue is."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was received for a mapping."""

    message_id: str
    handle: str
    record: dict[str, Any]
    """As the function gets it."""
    trace_header: str | None = None


class QueueGone(Exception):
    """The queue does not exist."""


class QueueFailed(Exception):
    """The queue does not answer as it should, for now; the text says why."""


class QueueAccess(Protocol):
    """One queue. Every method raises QueueGone and QueueFailed."""

    max_receive_count: int
    """What one receive may ask for."""
    is_elsewhere: bool
    """Not a queue of this squib."""

    def problem(self) -> str | None:
        """Why there can't be any messages, as far as that is known without asking."""

    async def visibility_s(self) -> int:
        """The queue's own visibility timeout."""

    async def receive(self, max_count: int, *, visibility_s: int | None, wait_ms: float) -> Sequence[Message]:
        """As soon as there are messages, else none after `wait_ms` or earlier. When it is cancelled, others
        may have them at once. None for the visibility: the queue's own."""

    async def delete(self, handles: Sequence[str]) -> None:
        """What is gone already, or has been received again, is left alone."""
