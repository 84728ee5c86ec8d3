"""The pool, as an environment knows it."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from squib.environment.environment import Environment
    from squib.environment.templates import Templates


class Owner(Protocol):
    """Who has an environment and gives it invocations."""

    @property
    def templates(self) -> "Templates":
        """What environments of versions with a snapshot are cloned of."""

    def bound(self, environment: "Environment") -> None:
        """The environment has its sandbox."""

    def offer(self, environment: "Environment") -> None:
        """The environment can take an invocation."""

    def withdraw(self, environment: "Environment") -> None:
        """It can't take the one it was offered for: it will be offered again."""

    def stopping(self, environment: "Environment") -> None:
        """The environment is on its way out. Its `fault` says why when that was not wanted."""

    def stopped(self, environment: "Environment") -> None:
        """The environment is no more."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine in the owner's task group."""

    def due(self, environment: "Environment", at_ms: float) -> None:
        """Asks for a `sweep` at a monotonic time."""
