"""The shutdown phase of an environment: how long runtime and extensions have, and whose turn it is. Pure.

The runtime is asked first, then the extensions are told; whoever is left when the time is over is killed.
"""

from enum import Enum, StrEnum, auto

import msgspec

from squib.model.limits import (
    SHUTDOWN_EXTERNAL_MS,
    SHUTDOWN_INTERNAL_MS,
    SHUTDOWN_RUNTIME_MS,
    SHUTDOWN_RUNTIME_WITH_INTERNAL_MS,
)


class Reason(StrEnum):
    """`shutdownReason` of the SHUTDOWN event."""

    SPINDOWN = "SPINDOWN"  # the environment is wanted no longer
    TIMEOUT = "TIMEOUT"  # an initialization or an invocation took too long
    FAILURE = "FAILURE"  # the runtime or an extension ended or failed


class Turn(Enum):
    """Whose end is waited for."""

    RUNTIME = auto()  # it has its signal
    EXTENSIONS = auto()  # they have their event
    NOBODY = auto()  # the phase is over


class Shutdown(msgspec.Struct, frozen=True, kw_only=True):
    """One shutdown phase. Times are monotonic milliseconds; with no extension there is none to spend."""

    reason: Reason
    runtime_until_ms: float
    until_ms: float

    @property
    def has_budget(self) -> bool:
        """Somebody is given time to end."""
        return self.until_ms > float("-inf")


def begin(reason: Reason, *, external_count: int, internal_count: int, now_ms: float) -> Shutdown:
    """The phase that begins now; the counts are of registered extensions."""
    if not external_count and not internal_count:
        return Shutdown(reason=reason, runtime_until_ms=float("-inf"), until_ms=float("-inf"))
    whole_ms = SHUTDOWN_EXTERNAL_MS if external_count else SHUTDOWN_INTERNAL_MS
    runtime_ms = SHUTDOWN_RUNTIME_WITH_INTERNAL_MS if internal_count else SHUTDOWN_RUNTIME_MS
    return Shutdown(reason=reason, runtime_until_ms=now_ms + runtime_ms, until_ms=now_ms + whole_ms)


def turn(shutdown: Shutdown, *, is_runtime_alive: bool, living_extensions: int, now_ms: float) -> Turn:
    """Whose turn it is now; `living_extensions` are external ones that want the SHUTDOWN event."""
    if now_ms >= shutdown.until_ms:
        return Turn.NOBODY
    if is_runtime_alive and now_ms < shutdown.runtime_until_ms:
        return Turn.RUNTIME
    return Turn.EXTENSIONS if living_extensions else Turn.NOBODY


def next_change_ms(shutdown: Shutdown, *, now_ms: float) -> float:
    """When time alone changes the turn."""
    return shutdown.runtime_until_ms if now_ms < shutdown.runtime_until_ms else shutdown.until_ms
