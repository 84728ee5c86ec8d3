"""What the manager asks of a kind of source, and what pollers are given."""

from dataclasses import dataclass
from typing import Protocol

from squib.clock import Clock, Entropy
from squib.event_sources.conditions import Conditions
from squib.event_sources.results import Results
from squib.event_sources.sender import Sender
from squib.model.event_source import EventSourceMapping
from squib.model.function import FunctionVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every poller works with."""

    sender: Sender
    conditions: Conditions
    results: Results
    clock: Clock
    entropy: Entropy


class Poller(Protocol):
    """Polls for one mapping as it is declared. Made once, run once."""

    async def run(self) -> None:
        """Until `stop` was called and what had been taken is dealt with; or cancelled."""

    async def stop(self) -> None:
        """Returns when nothing more is taken and a successor may begin: what is under way neither gets lost
        nor hinders it."""


class Source(Protocol):
    """One kind of source."""

    async def check(self, mapping: EventSourceMapping, function: FunctionVersion) -> None:
        """Raises InvalidParameterValue where the source does not exist, the function's role may not read it,
        or the function can't be fed from it."""

    def poller(self, mapping: EventSourceMapping) -> Poller:
        """For a mapping that is to be polled."""

    async def forget(self, mapping: EventSourceMapping) -> None:
        """The mapping is deleted: removes what was kept for it."""
