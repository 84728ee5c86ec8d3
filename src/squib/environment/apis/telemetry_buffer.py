"""What waits for one subscriber: batches by count, size and age, within bounds. Pure.

A batch stays until it is acknowledged. What does not fit any more is dropped and counted.
"""

from collections import deque
from typing import Final

_MARGIN: Final = 2  # a batch under way, and one that fills meanwhile


class TelemetryBuffer:
    """Events as they will be sent. Times are monotonic milliseconds."""

    def __init__(self, *, max_items: int, max_bytes: int, timeout_ms: int) -> None:
        self._max_items, self._max_bytes, self._timeout_ms = max_items, max_bytes, timeout_ms
        self._events: deque[tuple[float, bytes]] = deque()
        self._size_bytes = 0
        self._is_flushing = False
        self.dropped_records = 0
        self.dropped_bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def size_bytes(self) -> int:
        """Of all that waits."""
        return self._size_bytes

    def add(self, event: bytes, now_ms: float) -> None:
        """Takes an event, or drops it."""
        is_full = (
            len(self._events) >= _MARGIN * self._max_items
            or self._size_bytes + len(event) > _MARGIN * self._max_bytes
        )
        if is_full:
            self.dropped_records += 1
            self.dropped_bytes += len(event)
            return
        self._events.append((now_ms, event))
        self._size_bytes += len(event)

    def flush(self) -> None:
        """What waits now is due at once."""
        self._is_flushing = bool(self._events)

    def due_ms(self) -> float:
        """When there is a batch to send; in the past when there is one already."""
        if not self._events:
            return float("inf")
        is_due = self._is_flushing or len(self._events) >= self._max_items
        if is_due or self._size_bytes >= self._max_bytes:
            return float("-inf")
        return self._events[0][0] + self._timeout_ms

    def batch(self) -> list[bytes]:
        """The oldest events that make one batch: at least one, if there is any."""
        chosen: list[bytes] = []
        size_bytes = 0
        for _, event in self._events:
            if len(chosen) == self._max_items or (chosen and size_bytes + len(event) > self._max_bytes):
                break
            chosen.append(event)
            size_bytes += len(event)
        return chosen

    def acknowledge(self, count: int) -> None:
        """The oldest `count` events have arrived."""
        for _ in range(count):
            _, event = self._events.popleft()
            self._size_bytes -= len(event)
        if not self._events:
            self._is_flushing = False

    def take_dropped(self) -> tuple[int, int]:
        """Records and bytes dropped since this was asked last."""
        dropped = self.dropped_records, self.dropped_bytes
        self.dropped_records = self.dropped_bytes = 0
        return dropped
