"""One asynchronous event in memory: small, for there may be many. What is large about it is in the store."""

from squib.model.async_event import Progress
from squib.model.function import FunctionKey
from squib.model.units import EpochMs
from squib.scheduler.async_event import RULES, Event, State
from squib.scheduler.machine import step


class Entry:
    """Where an event is in its life."""

    __slots__ = ("accepted_at_ms", "event_key", "function", "progress", "state")

    def __init__(
        self,
        event_key: int,
        function: FunctionKey,
        accepted_at_ms: EpochMs,
        progress: Progress,
        state: State,
    ) -> None:
        self.event_key = event_key
        self.function = function
        self.accepted_at_ms = accepted_at_ms
        self.progress = progress
        self.state = state

    def happen(self, event: Event) -> None:
        """One step. Raises IllegalTransitionError: our bug."""
        self.state, _ = step(RULES, self.state, event)
