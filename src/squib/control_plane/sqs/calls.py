"""What every operation of SQS needs: the parts of squib it works on, and the queue that a call names."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from squib.clock import Entropy
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.queue import Queue, QueueKey, parse_queue_url
from squib.model.queue_errors import (
    InvalidQueueAddress,
    MissingQueueParameter,
    QueueDoesNotExist,
    QueueParameterInvalid,
)
from squib.model.units import AccountId, EpochMs
from squib.store.base import Collection, Queues, Store

NOTHING = OperationResult(output={})


@dataclass(frozen=True, slots=True)
class Sqs:
    """Where queues are declared and where their messages are."""

    store: Store
    queues: Queues
    definitions: Collection[QueueKey, Queue]
    entropy: Entropy
    deleted_at_ms: dict[QueueKey, EpochMs] = field(default_factory=dict)
    """Names that may not be used again yet; squib forgets them when it ends."""
    waiting: Counter[AccountId] = field(default_factory=Counter)
    """Receives that wait for a message, by whose they are."""


def required(given: Mapping[str, Any], name: str) -> Any:
    """A member of the input. Raises MissingQueueParameter; an empty text is none."""
    value = given.get(name)
    if value is None or value == "":
        raise MissingQueueParameter(name)
    return value


def queue_key(call: AuthorizedCall) -> QueueKey:
    """The queue that `QueueUrl` names. Raises MissingQueueParameter, InvalidQueueAddress."""
    url = required(call.input, "QueueUrl")
    named = parse_queue_url(url)
    if named is None:
        raise InvalidQueueAddress(url)
    return QueueKey(named[0], call.region, named[1])


def queue_of(sqs: Sqs, call: AuthorizedCall) -> Queue:
    """Likewise, as it is declared. Raises QueueDoesNotExist."""
    queue = sqs.definitions.peek(queue_key(call))
    if queue is None:
        raise QueueDoesNotExist()
    return queue


def queue_url(call: AuthorizedCall, key: QueueKey) -> str:
    """The URL that clients use. Its region is that of the signature: the path has no place for it, and the
    host is whatever reaches squib."""
    return f"{call.base_url}/{key.account_id}/{key.name}"


def in_range(given: Mapping[str, Any], name: str, lowest: int, highest: int, reason: str) -> int | None:
    """A number of the input, if there. Raises QueueParameterInvalid."""
    value: int | None = given.get(name)
    if value is not None and not lowest <= value <= highest:
        raise invalid(name, value, reason)
    return value


def invalid(name: str, value: object, reason: str) -> QueueParameterInvalid:
    """The usual refusal of a parameter's value."""
    return QueueParameterInvalid(f"Value {value} for parameter {name} is invalid. Reason: {reason}")
