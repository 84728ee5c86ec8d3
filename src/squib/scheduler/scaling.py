"""How many batches of one queue are worked on at a time. Pure: time is an argument.

Lambda developer guide, "Using Lambda with Amazon SQS", scaling: five at first; while there is more to do, up
to 300 more a minute; at most 1,250, or what MaximumConcurrency says; fewer after errors and throttles.
"""

from typing import Final, NamedTuple

from squib.model.event_source import EventSourceMapping

FIRST_LIMIT: Final = 5
QUIET_LIMIT: Final = 2
MAX_LIMIT: Final = 1_250
GROWTH_PER_MS: Final = 300 / 60_000
QUIET_AFTER_MS: Final = 60_000  # squib's choice: how long less than half of the limit is in use
SHRINK_PAUSE_MS: Final = 1_000  # squib's choice: failures of one moment count once
BATCHES_PER_POLLER: Final = 10  # the same guide, provisioned mode: what one event poller carries


class Bounds(NamedTuple):
    """Between which numbers the limit moves, and where it starts."""

    first: int = FIRST_LIMIT
    quiet: int = QUIET_LIMIT
    most: int = MAX_LIMIT

    @classmethod
    def of(cls, mapping: EventSourceMapping) -> "Bounds":
        """Those of a mapping's settings."""
        if mapping.max_concurrency is not None:
            most = mapping.max_concurrency
            return cls(min(FIRST_LIMIT, most), min(QUIET_LIMIT, most), most)
        if mapping.min_pollers is not None or mapping.max_pollers is not None:
            least = (mapping.min_pollers or 2) * BATCHES_PER_POLLER
            most = max(least, (mapping.max_pollers or 200) * BATCHES_PER_POLLER)
            return cls(least, least, most)
        return cls()


class Scale(NamedTuple):
    """The limit as of one moment."""

    limit: float
    at_ms: float
    """When it was last looked at."""
    busy_at_ms: float
    """When half of it was last in use."""
    shrunk_at_ms: float
    is_full: bool = False
    """All of it was in use at that moment: only the time since then counts."""

    @classmethod
    def start(cls, bounds: Bounds, *, now_ms: float) -> "Scale":
        """Of a mapping that begins to be polled."""
        return cls(float(bounds.first), now_ms, now_ms, now_ms - SHRINK_PAUSE_MS)

    @property
    def slots(self) -> int:
        """How many batches there may be."""
        return int(self.limit)


def seen(scale: Scale, bounds: Bounds, *, in_flight: int, now_ms: float) -> Scale:
    """After a batch was begun or has ended: more when all slots are taken, fewer after a quiet while."""
    if in_flight >= scale.slots:
        elapsed_ms = max(0.0, now_ms - scale.at_ms) if scale.is_full else 0.0
        grown = min(float(bounds.most), scale.limit + elapsed_ms * GROWTH_PER_MS)
        return scale._replace(limit=grown, at_ms=now_ms, busy_at_ms=now_ms, is_full=True)
    limit, busy_at_ms = scale.limit, scale.busy_at_ms
    if 2 * in_flight >= scale.slots:
        busy_at_ms = now_ms
    elif now_ms - busy_at_ms >= QUIET_AFTER_MS:
        limit, busy_at_ms = max(float(bounds.quiet), limit / 2), now_ms
    # A batch that has ended leaves a slot for a moment only: it was full as long as the limit held work back.
    is_full = scale.is_full and in_flight + 1 >= scale.slots
    return scale._replace(
        limit=limit, at_ms=now_ms if not is_full else scale.at_ms, busy_at_ms=busy_at_ms, is_full=is_full
    )


def failed(scale: Scale, *, now_ms: float) -> Scale:
    """After a function's error or a throttle: half of it, down to one."""
    if now_ms - scale.shrunk_at_ms < SHRINK_PAUSE_MS:
        return scale
    return scale._replace(limit=max(1.0, scale.limit / 2), shrunk_at_ms=now_ms, at_ms=now_ms)
