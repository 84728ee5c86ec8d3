"""Events of asynchronous invocations as they are kept: what was accepted, how far it is, who is told."""

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from squib.model.function import LATEST, FunctionKey
from squib.model.units import EpochMs, RequestId

DEFAULT_MAX_RETRIES: Final = 2  # Lambda developer guide, "Asynchronous invocation": after the first attempt
DEFAULT_MAX_AGE_S: Final = 21_600  # the same: six hours


class Condition(StrEnum):
    """`requestContext.condition` of an invocation record: how an event has ended."""

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"  # the function failed as often as it may
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"  # it waited for longer than it may
    NO_CONCURRENCY = "ZeroReservedConcurrency"  # the function's reserved concurrency is 0
    RECURSION = "RecursiveInvocation"  # its chain has invoked the function too often


class AcceptedEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event without its payload; never changes. New fields go to the end, with a default."""

    request_id: RequestId
    function: FunctionKey
    qualifier: str | None
    """As invoked; None: none was given."""
    accepted_at_ms: EpochMs
    trace_id: str
    client_context: str = ""
    is_recursive: bool = False
    """The chain of invocations that it belongs to is to end with it."""

    @property
    def invoked_arn(self) -> str:
        """The function's ARN as it was invoked."""
        return self.function.arn(self.qualifier)

    @property
    def qualified_arn(self) -> str:
        """The same, with a qualifier in any case, as records have it."""
        return self.function.arn(self.qualifier or LATEST)


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How often an event was tried."""

    attempts: int = 0
    """Times that it was given to the function."""
    failures: int = 0
    """Of these, times that the function failed."""
    backoffs: int = 0
    """Times that it could not be given, or, once its outcome is known, that a delivery failed."""


class TargetKind(StrEnum):
    """What a target gets."""

    DESTINATION = "destination"  # the invocation record
    DEAD_LETTER = "dead_letter"  # the event itself
    DISCARD = "discard"  # a record of what an event source gives up; it stands in place of the event


class Target(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who is to be told of an event's end."""

    kind: TargetKind
    arn: str


class Ending(msgspec.Struct, frozen=True, array_like=True):
    """How an event has ended, and who is still to be told."""

    condition: Condition
    ended_at_ms: EpochMs
    role_arn: str
    """The execution role, with which the targets are reached."""
    targets: tuple[Target, ...]
    status: int
    """As a caller who had waited would have seen it."""
    executed_version: str | None = None
    """None: the function did not run."""
    function_error: str | None = None
    response: bytes = b""
    error_message: str = ""
    bucket_folder: str = ""
    """Where in a bucket its record goes; empty: to those of its function's events."""


class StoredEvent(NamedTuple):
    """Everything of an event but its progress."""

    event: AcceptedEvent
    payload: bytes
    ending: Ending | None


class WaitingEvent(NamedTuple):
    """What must be known of an event at the start."""

    event_key: int
    function: FunctionKey
    accepted_at_ms: EpochMs
    due_at_ms: EpochMs
    progress: Progress
    has_ended: bool
    """Only its targets are still to be told."""


class AsyncMetric(StrEnum):
    """CloudWatch's names for what is counted about asynchronous invocations."""

    RECEIVED = "AsyncEventsReceived"
    AGE = "AsyncEventAge"  # milliseconds from acceptance to an attempt
    DROPPED = "AsyncEventsDropped"  # ended without success
    DEAD_LETTER_ERRORS = "DeadLetterErrors"
    DELIVERY_FAILURES = "DestinationDeliveryFailures"
