"""Life cycle of one asynchronous event: what an attempt's outcome means, and what is to be done. Pure.

An event is run until it succeeds, has failed as often as it may, or is too old. Then whoever is to be told is
told, one after the other. It is durable from before its acceptance is answered until after the last is told.
"""

from enum import Enum, auto
from typing import Final, Never, TypeAlias

import msgspec

from squib.model.async_event import (
    DEFAULT_MAX_AGE_S,
    DEFAULT_MAX_RETRIES,
    Condition,
    Progress,
    Target,
    TargetKind,
)
from squib.model.event_invoke import EventInvokeConfig
from squib.model.units import EpochMs
from squib.scheduler.machine import Rules
from squib.scheduler.retry import RetryDelays


class State(Enum):
    """Where an event is."""

    WAITING = auto()  # durable; for its time, or for concurrency
    RUNNING = auto()  # an attempt is under way
    RESTING = auto()  # ended; somebody is still to be told
    TELLING = auto()  # ended; a target is being told
    GONE = auto()  # nothing is left to do, nor stored

    __hash__ = object.__hash__


class Event(Enum):
    """What happens to it."""

    BEGIN = auto()  # its time has come: it is given to the function, or its first target is told
    LEAVE = auto()  # squib stops, or cannot read it: what is stored of it counts
    RETRY = auto()  # it is to be run again: its progress is stored
    SETTLE = auto()  # it has ended, and somebody is to be told: its ending is stored
    TELL_NEXT = auto()  # one of several targets has been told: its ending, with the others, is stored
    TELL_AGAIN = auto()  # a target could not be told: its progress is stored
    CLOSE = auto()  # nobody is to be told, or nobody any more: it is removed from the store

    __hash__ = object.__hash__


RULES: Final[Rules[State, Event, Never]] = {
    (State.WAITING, Event.BEGIN): (State.RUNNING, ()),
    (State.RUNNING, Event.LEAVE): (State.WAITING, ()),
    (State.RUNNING, Event.RETRY): (State.WAITING, ()),
    (State.RUNNING, Event.SETTLE): (State.RESTING, ()),
    (State.RUNNING, Event.CLOSE): (State.GONE, ()),
    (State.RESTING, Event.BEGIN): (State.TELLING, ()),
    (State.TELLING, Event.LEAVE): (State.RESTING, ()),
    (State.TELLING, Event.TELL_NEXT): (State.RESTING, ()),
    (State.TELLING, Event.TELL_AGAIN): (State.RESTING, ()),
    (State.TELLING, Event.CLOSE): (State.GONE, ()),
}


class Came(Enum):
    """What came of an attempt."""

    SUCCESS = auto()  # the function answered
    FAILURE = auto()  # the function failed: error, timeout, crash
    REFUSAL = auto()  # throttled, not ready, or squib's own trouble: the function did not run to an end
    NO_CONCURRENCY = auto()  # its reserved concurrency is 0
    RECURSION = auto()  # its chain is to be stopped

    __hash__ = object.__hash__


class Terms(msgspec.Struct, frozen=True):
    """What is set for an event as it is tried."""

    max_retries: int = DEFAULT_MAX_RETRIES
    max_age_ms: int = DEFAULT_MAX_AGE_S * 1000
    on_success: str | None = None
    on_failure: str | None = None
    dead_letter: str | None = None

    @classmethod
    def of(cls, config: EventInvokeConfig | None, dead_letter: str | None) -> "Terms":
        """Those of a configuration, with Lambda's defaults, and of a version's dead-letter queue."""
        if config is None:
            return cls(dead_letter=dead_letter)
        retries, age_s = config.max_retry_attempts, config.max_event_age_s
        return cls(
            DEFAULT_MAX_RETRIES if retries is None else retries,
            1000 * (DEFAULT_MAX_AGE_S if age_s is None else age_s),
            config.on_success,
            config.on_failure,
            dead_letter,
        )

    def targets(self, condition: Condition) -> tuple[Target, ...]:
        """Who is to be told of an event that ends so."""
        if condition is Condition.SUCCESS:
            return () if self.on_success is None else (Target(TargetKind.DESTINATION, self.on_success),)
        letter = () if self.dead_letter is None else (Target(TargetKind.DEAD_LETTER, self.dead_letter),)
        told = () if self.on_failure is None else (Target(TargetKind.DESTINATION, self.on_failure),)
        return (*letter, *told)


class Again(msgspec.Struct, frozen=True):
    """It is run again at that time."""

    progress: Progress
    due_at_ms: EpochMs


class Ended(msgspec.Struct, frozen=True):
    """It is not run again."""

    progress: Progress
    condition: Condition


Verdict: TypeAlias = Again | Ended

_AT_ONCE: Final = {
    Came.SUCCESS: Condition.SUCCESS,
    Came.NO_CONCURRENCY: Condition.NO_CONCURRENCY,
    Came.RECURSION: Condition.RECURSION,
}


def is_too_old(terms: Terms, accepted_at_ms: EpochMs, *, now_ms: EpochMs) -> bool:
    """Whether an event may not be run any more."""
    return now_ms - accepted_at_ms > terms.max_age_ms


def judge(
    came: Came,
    progress: Progress,
    terms: Terms,
    delays: RetryDelays,
    *,
    accepted_at_ms: EpochMs,
    now_ms: EpochMs,
    draw: float,
) -> Verdict:
    """What is next for an event. One that would be too old when its next attempt is due ends now."""
    attempts, failures, backoffs = progress.attempts, progress.failures, progress.backoffs
    if came in (Came.SUCCESS, Came.FAILURE):
        attempts += 1
    if came in _AT_ONCE:
        return Ended(Progress(attempts, failures, backoffs), _AT_ONCE[came])
    if came is Came.FAILURE:
        failures += 1
        tried = Progress(attempts, failures, 0)
        if failures > terms.max_retries:
            return Ended(tried, Condition.RETRIES_EXHAUSTED)
        pause_ms = delays.after_failure_ms(failures)
    else:
        tried = Progress(attempts, failures, backoffs + 1)
        pause_ms = delays.backoff_ms(tried.backoffs, draw=draw)
    due_at_ms = EpochMs(now_ms + pause_ms)
    if is_too_old(terms, accepted_at_ms, now_ms=due_at_ms):
        return Ended(tried, Condition.EVENT_AGE_EXCEEDED)
    return Again(tried, due_at_ms)


MAX_TELLING_MS: Final = DEFAULT_MAX_AGE_S * 1000  # squib's choice: as long as an event may wait


def tell_again_at_ms(
    ended_at_ms: EpochMs, failures: int, delays: RetryDelays, *, now_ms: EpochMs, draw: float
) -> EpochMs | None:
    """When a target is told again after so many failures to do so; None: it is given up."""
    due_at_ms = EpochMs(now_ms + delays.backoff_ms(failures, draw=draw))
    return None if due_at_ms - ended_at_ms > MAX_TELLING_MS else due_at_ms
