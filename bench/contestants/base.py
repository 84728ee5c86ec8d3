"""What the cells ask of everyone who is measured."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from bench.process import Memory

START_LIMIT_S: Final = 30.0
PYTHON_ENVIRONMENTS: Final = 5  # whose memory is looked at
ECHO: Final = "bench-echo"
SLEEP: Final = "bench-sleep"


class Cell(StrEnum):
    """What is measured."""

    WARM = "warm"  # one client, one warm environment
    THROUGHPUT = "throughput"  # 32 clients
    COLD_PYTHON = "cold-python"  # request to answer without a warm environment
    COLD_NODE = "cold-node"
    BURST = "burst"  # 50 requests at once for a function that takes a second, from cold
    PAYLOAD = "payload"  # 6 MB there and back
    DISCONNECT = "disconnect"  # clients that go away in the middle
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdAnswer:
    """One cold start: the proof comes from the function itself."""

    elapsed_ms: float
    count: int
    """Which invocation of its environment it was: 1 when the start was cold."""
    generation: str
    expected_generation: str


class Contestant(Protocol):
    """A server under measurement. `start` may raise Missing or NotReady; `stop` is safe at any time."""

    name: str
    cells: frozenset[Cell]
    max_connections: int
    """How many clients it can serve at a time."""
    port: int
    idle_memory: Memory | None
    """Of all its processes before any function existed; None before `start`."""

    def start(self) -> None:
        """Brings it up with the functions ECHO and SLEEP ready to be invoked."""

    def stop(self) -> int:
        """Ends every process of it; returns how many it had left behind by itself."""

    def serving_memory(self) -> Memory | None:
        """Of its processes that run no function, once some have run; None when these cannot be told apart."""

    def request(self, function: str, event: bytes) -> bytes:
        """One Invoke to send to `port`, fresh for five minutes."""

    def environments(self) -> list[list[int]]:
        """Processes of some warm idle Python environments, those of each in a list."""


class StartsCold(Protocol):
    """A contestant that can answer from cold at will (COLD_PYTHON, COLD_NODE)."""

    def cold(self, cell: Cell) -> ColdAnswer:
        """Makes sure that no warm environment can answer, then times one request."""


class StartsBursts(Protocol):
    """A contestant that scales (BURST)."""

    def refresh(self, function: str) -> str:
        """Makes every environment of the function stale; returns the generation that new ones report."""
