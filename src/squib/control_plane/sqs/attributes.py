"""Attributes of queues: texts to fields and back, with their ranges (SetQueueAttributes reference)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from squib.access.named import shown_text, unique_ids
from squib.control_plane.sqs.calls import NOTHING, Sqs, queue_of, required
from squib.control_plane.sqs.redrive import (
    allow_policy_text,
    parse_allow_policy,
    parse_redrive_policy,
    redrive_policy_text,
)
from squib.iam.document import parse_document
from squib.model.errors import MalformedPolicyDocument, UnsupportedParameter
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.policy import PolicyType
from squib.model.queue import QUEUES, Queue, QueueCounts
from squib.model.queue_errors import InvalidAttribute, InvalidAttributeName, QueueDoesNotExist
from squib.model.queue_limits import (
    MAX_DELAY_S,
    MAX_MESSAGE_BYTES,
    MAX_POLICY_BYTES,
    MAX_POLICY_STATEMENTS,
    MAX_RETENTION_S,
    MAX_VISIBILITY_S,
    MAX_WAIT_S,
    MIN_MESSAGE_LIMIT_BYTES,
    MIN_RETENTION_S,
)
from squib.store.base import Reader, Transaction

Given: TypeAlias = Mapping[str, str]

_NUMBERS: Final = {
    "DelaySeconds": ("delay_s", 0, MAX_DELAY_S),
    "MaximumMessageSize": ("max_message_bytes", MIN_MESSAGE_LIMIT_BYTES, MAX_MESSAGE_BYTES),
    "MessageRetentionPeriod": ("retention_s", MIN_RETENTION_S, MAX_RETENTION_S),
    "ReceiveMessageWaitTimeSeconds": ("receive_wait_s", 0, MAX_WAIT_S),
    "VisibilityTimeout": ("visibility_timeout_s", 0, MAX_VISIBILITY_S),
    "KmsDataKeyReusePeriodSeconds": ("kms_reuse_s", 60, 86_400),
}
_FIFO_CHOICES: Final[Mapping[str, tuple[str, Mapping[str, bool]]]] = {
    "ContentBasedDeduplication": ("content_based_deduplication", {"true": True, "false": False}),
    "DeduplicationScope": ("deduplication_per_group", {"messageGroup": True, "queue": False}),
    "FifoThroughputLimit": ("throughput_per_group", {"perMessageGroupId": True, "perQueue": False}),
}
_FIXED: Final = frozenset(
    (
        "All",
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "CreatedTimestamp",
        "LastModifiedTimestamp",
        "QueueArn",
    )
)
_KNOWN: Final = frozenset(
    (*_FIXED, *_NUMBERS, *_FIFO_CHOICES, "FifoQueue", "Policy", "RedrivePolicy", "RedriveAllowPolicy")
) | {"KmsMasterKeyId", "SqsManagedSseEnabled"}
_INTEGER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


def changed(
    queue: Queue, given: Given, reader: Reader, *, operation: str, peek: Callable[[Any], Queue | None]
) -> Queue:
    """The queue with other attributes. `reader` finds whom its policy names, `peek` the dead-letter queue.
    Raises InvalidAttributeName,
    InvalidAttributeValue, QueueParameterInvalid, UnsupportedParameter."""
    changes: dict[str, Any] = {}
    for name, text in given.items():
        if name in _NUMBERS:
            field, lowest, highest = _NUMBERS[name]
            if _INTEGER.fullmatch(text) is None or not lowest <= int(text) <= highest:
                raise InvalidAttribute(name)
            changes[field] = int(text)
        elif name in _FIFO_CHOICES and queue.key.is_fifo:
            field, choices = _FIFO_CHOICES[name]
            if text.lower() not in choices and text not in choices:
                raise InvalidAttribute(name)
            changes[field] = choices.get(text, choices.get(text.lower()))
        elif name == "FifoQueue" and queue.key.is_fifo:
            if text.lower() != "true":
                raise InvalidAttribute(name, "Modifying queue type is not supported.")
        elif name == "Policy":
            changes |= {"policy": text, "principal_ids": _principal_ids(text, reader)}
        elif name == "RedrivePolicy":
            changes["redrive"] = parse_redrive_policy(queue.key, text, peek) if text else None
        elif name == "RedriveAllowPolicy":
            changes["redrive_allow"] = parse_allow_policy(text) if text else None
        elif name == "KmsMasterKeyId":
            if text:
                raise UnsupportedParameter(operation, name)
        elif name == "SqsManagedSseEnabled":
            if text.lower() not in ("true", "false"):
                raise InvalidAttribute(name)
            if text.lower() == "true":  # messages are as safe as the data directory: encrypt the disk
                raise UnsupportedParameter(operation, f"{name} (true)")
        else:
            raise InvalidAttributeName(name)
    result = msgspec.structs.replace(queue, **changes)
    if result.throughput_per_group and not result.deduplication_per_group:
        raise InvalidAttribute(
            "FifoThroughputLimit",
            "The value perMessageGroupId is allowed only when the value for DeduplicationScope is "
            "messageGroup.",
        )
    return result


def differing(queue: Queue, wanted: Queue, given: Given) -> str | None:
    """The first attribute of `given` in which a queue that exists is another than the one wanted."""
    none = QueueCounts(0, 0, 0)
    has, wants = described(queue, none), described(wanted, none)
    if "Policy" in given and queue.principal_ids != wanted.principal_ids:
        return "Policy"
    return next((name for name in given if has.get(name) != wants.get(name)), None)


def described(queue: Queue, counts: QueueCounts) -> dict[str, str]:
    """Every attribute that a queue has."""
    found = {
        "QueueArn": queue.key.arn,
        "ApproximateNumberOfMessages": str(counts.visible),
        "ApproximateNumberOfMessagesNotVisible": str(counts.in_flight),
        "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
        "CreatedTimestamp": str(queue.created_at_ms // 1000),
        "LastModifiedTimestamp": str(queue.modified_at_ms // 1000),
        "VisibilityTimeout": str(queue.visibility_timeout_s),
        "MaximumMessageSize": str(queue.max_message_bytes),
        "MessageRetentionPeriod": str(queue.retention_s),
        "DelaySeconds": str(queue.delay_s),
        "ReceiveMessageWaitTimeSeconds": str(queue.receive_wait_s),
        "SqsManagedSseEnabled": "false",
    }
    if queue.policy:
        found["Policy"] = queue.policy
    if queue.redrive is not None:
        found["RedrivePolicy"] = redrive_policy_text(queue.redrive)
    if queue.redrive_allow is not None:
        found["RedriveAllowPolicy"] = allow_policy_text(queue.redrive_allow)
    if queue.kms_reuse_s is not None:
        found["KmsDataKeyReusePeriodSeconds"] = str(queue.kms_reuse_s)
    if queue.key.is_fifo:
        found |= {
            "FifoQueue": "true",
            "ContentBasedDeduplication": str(queue.content_based_deduplication).lower(),
            "DeduplicationScope": "messageGroup" if queue.deduplication_per_group else "queue",
            "FifoThroughputLimit": "perMessageGroupId" if queue.throughput_per_group else "perQueue",
        }
    return found


async def get_queue_attributes(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """GetQueueAttributes: those asked for that the queue has."""
    queue = queue_of(sqs, call)
    names: Sequence[str] = call.input.get("AttributeNames") or ()
    for name in names:
        if name not in _KNOWN:
            raise InvalidAttributeName(name)
    found = described(queue, sqs.queues.counts(queue.key))
    if queue.policy:
        found["Policy"] = shown_text(queue.policy, queue.principal_ids, sqs.store.memory)
    if "All" not in names:
        found = {name: text for name, text in found.items() if name in names}
    return OperationResult(output={"Attributes": found} if found else {})


async def set_queue_attributes(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """SetQueueAttributes: holds at once, for messages that are there already too."""
    key = queue_of(sqs, call).key
    given: Given = required(call.input, "Attributes")

    def decide(queue: Queue, reader: Reader) -> Queue:
        return changed(queue, given, reader, operation=call.operation, peek=sqs.definitions.peek)

    await update(sqs, call, key, decide)
    return NOTHING


async def update(sqs: Sqs, call: AuthorizedCall, key: Any, decide: Callable[[Queue, Reader], Queue]) -> None:
    """Writes what `decide` makes of a queue. Raises QueueDoesNotExist."""

    def write(transaction: Transaction) -> None:
        queue = transaction.get(QUEUES, key)
        if queue is None:
            raise QueueDoesNotExist()
        wanted = decide(queue, transaction)
        transaction.put(QUEUES, key, msgspec.structs.replace(wanted, modified_at_ms=call.received_at_ms))

    await sqs.store.write(write)


def _principal_ids(policy: str, reader: Reader) -> Mapping[str, str]:
    """Whom the policy names. Raises InvalidAttributeValue for one that cannot be read or names nobody."""
    if not policy:
        return {}
    if len(policy.encode()) > MAX_POLICY_BYTES:
        raise InvalidAttribute("Policy", f"A policy has at most {MAX_POLICY_BYTES} bytes.")
    try:
        document = parse_document(policy, PolicyType.RESOURCE)
    except MalformedPolicyDocument as error:
        raise InvalidAttribute("Policy", error.message) from None
    if len(document.statements) > MAX_POLICY_STATEMENTS:
        raise InvalidAttribute("Policy", f"A policy has at most {MAX_POLICY_STATEMENTS} statements.")
    named = unique_ids(reader, document)
    if named.missing:
        raise InvalidAttribute("Policy")
    return named.by_arn
