"""Redrive policies: where a queue's dead letters go, and whose a queue takes."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from squib.control_plane.sqs.calls import Sqs, in_range, invalid, queue_of, queue_url
from squib.control_plane.sqs.listing import page
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.queue import Queue, QueueKey, RedriveAllowPolicy, RedrivePolicy, parse_queue_arn
from squib.model.queue_errors import QueueParameterInvalid
from squib.model.queue_limits import MAX_LISTED, MAX_RECEIVE_COUNT, MAX_REDRIVE_SOURCES

_PERMISSIONS: Final = ("allowAll", "denyAll", "byQueue")


def parse_redrive_policy(
    source: QueueKey, text: str, peek: Callable[[QueueKey], Queue | None]
) -> RedrivePolicy:
    """The policy of an attribute's text. Raises QueueParameterInvalid."""

    def refused(reason: str) -> QueueParameterInvalid:
        return invalid("RedrivePolicy", text, reason)

    given = _json_map(text)
    if given is None:
        raise refused("Redrive policy is not a valid JSON map.")
    for name in ("deadLetterTargetArn", "maxReceiveCount"):
        if given.get(name) in (None, ""):
            raise refused(f"Redrive policy does not contain mandatory attribute: {name}.")
    for name in given:
        if name not in ("deadLetterTargetArn", "maxReceiveCount"):
            raise refused(f"Redrive policy contains invalid attribute: {name}.")
    count = _number(given["maxReceiveCount"])
    if count is None or not 1 <= count <= MAX_RECEIVE_COUNT:
        raise refused(
            f"Invalid value for maxReceiveCount: {given['maxReceiveCount']}, valid values are from 1 to "
            f"{MAX_RECEIVE_COUNT} both inclusive."
        )
    target = parse_queue_arn(str(given["deadLetterTargetArn"]))
    if target is None:
        raise refused("Invalid value for deadLetterTargetArn.")
    if target.account_id != source.account_id or target.region != source.region:
        raise refused("Dead letter target owner and region should be the same as the source's.")
    queue = peek(target)
    if queue is None:
        raise refused("Dead letter target does not exist.")
    if target.is_fifo != source.is_fifo:
        raise refused(
            "Dead-letter queue of a FIFO queue must also be a FIFO queue. Similarly, the dead-letter queue "
            "of a standard queue must also be a standard queue."
        )
    if target == source:
        raise refused("Dead letter target should not be the same as the source queue.")
    if not queue.allows_source(source):
        raise refused("Source queue is not allowed by the RedriveAllowPolicy of the dead letter target.")
    return RedrivePolicy(target, count)


def redrive_policy_text(policy: RedrivePolicy) -> str:
    """The attribute's text."""
    return _text({"deadLetterTargetArn": policy.target.arn, "maxReceiveCount": policy.max_receive_count})


def parse_allow_policy(text: str) -> RedriveAllowPolicy:
    """The policy of an attribute's text. Raises QueueParameterInvalid."""

    def refused(reason: str) -> QueueParameterInvalid:
        return invalid("RedriveAllowPolicy", text, reason)

    given = _json_map(text)
    if given is None:
        raise refused("Redrive allow policy is not a valid JSON map.")
    permission, sources = given.get("redrivePermission"), given.get("sourceQueueArns")
    if permission not in _PERMISSIONS:
        raise refused(f"Invalid value for redrivePermission: {permission}.")
    if (permission == "byQueue") != (sources is not None):
        raise refused("sourceQueueArns must be given when redrivePermission is byQueue, and only then.")
    if sources is None:
        return RedriveAllowPolicy(permission)
    if not isinstance(sources, list) or not 1 <= len(sources) <= MAX_REDRIVE_SOURCES:
        raise refused(f"Between 1 and {MAX_REDRIVE_SOURCES} sourceQueueArns can be given.")
    if any(parse_queue_arn(str(source)) is None for source in sources):
        raise refused("sourceQueueArns must be ARNs of queues.")
    return RedriveAllowPolicy(permission, tuple(sources))


def allow_policy_text(policy: RedriveAllowPolicy) -> str:
    """The attribute's text."""
    sources = {"sourceQueueArns": list(policy.sources)} if policy.sources else {}
    return _text({"redrivePermission": policy.permission, **sources})


def sources_of(sqs: Sqs, target: QueueKey) -> list[QueueKey]:
    """The queues whose dead letters come to `target`, by name."""
    queues = sqs.definitions.page(target.account_id, target.region)
    return [queue.key for queue in queues if queue.redrive is not None and queue.redrive.target == target]


async def list_dead_letter_source_queues(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """ListDeadLetterSourceQueues."""
    target = queue_of(sqs, call).key
    reason = f"Value for MaxResults must be between 1 and {MAX_LISTED}."
    limit = in_range(call.input, "MaxResults", 1, MAX_LISTED, reason)
    keys, token = page(sources_of(sqs, target), limit, call.input.get("NextToken"))
    urls = [queue_url(call, key) for key in keys]
    return OperationResult(output={"queueUrls": urls, "NextToken": token})


def _json_map(text: str) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(document: dict[str, object]) -> str:
    return msgspec.json.encode(document).decode()
