"""SQS's rows (service authorization reference, "Amazon SQS")."""

from collections.abc import Iterator, Mapping
from typing import Final

from squib.gateway.actions.rule import (
    ANYTHING,
    Also,
    Input,
    Place,
    Rule,
    anything,
    own,
    removed_tags,
    request_tags,
)
from squib.model.queue import QueueKey, parse_queue_arn, parse_queue_url, parse_task_handle
from squib.model.units import AccountId


def _queue(given: Input, place: Place) -> str:
    named = parse_queue_url(given.get("QueueUrl", ""))
    return ANYTHING if named is None else QueueKey(named[0], place.region, named[1]).arn


def _named_queue(given: Input, place: Place) -> str:
    account_id = given.get("QueueOwnerAWSAccountId") or place.account_id
    name = given.get("QueueName")  # may be missing: the handlers say so, in SQS's words
    if not name or parse_queue_arn(QueueKey(account_id, place.region, name).arn) is None:
        return ANYTHING  # no queue is called so, and the handlers say so too
    return QueueKey(AccountId(account_id), place.region, name).arn


def _source(given: Input, place: Place) -> str:
    return own(given.get("SourceArn") or ANYTHING)


def _task(given: Input, place: Place) -> str:
    """The queue that a move task takes messages from."""
    return own(parse_task_handle(given.get("TaskHandle", "")) or ANYTHING)


def _sources(given: Input, place: Place) -> Iterator[str]:
    yield _source(given, place)


def _destinations(given: Input, place: Place) -> Iterator[str]:
    """Where messages are moved: to the queue that is named, or back to where they came from."""
    if given.get("DestinationArn"):
        yield own(given["DestinationArn"])
    elif given.get("SourceArn"):
        yield from place.known.dead_letter_sources(own(given["SourceArn"]))


_MOVES: Final = (
    *(Also(f"sqs:{action}", _sources) for action in ("ReceiveMessage", "DeleteMessage")),
    Also("sqs:GetQueueAttributes", _sources),
    Also("sqs:SendMessage", _destinations),
)
"""Whoever moves messages takes them from one queue and sends them to others (developer guide, "Configuring
queue permissions for dead-letter queue redrive")."""

_OF_A_QUEUE: Final[Mapping[str, str]] = {
    **{
        operation: operation
        for operation in (
            *("AddPermission", "ChangeMessageVisibility", "DeleteMessage", "DeleteQueue"),
            *("GetQueueAttributes", "ListDeadLetterSourceQueues", "ListQueueTags", "PurgeQueue"),
            *("ReceiveMessage", "RemovePermission", "SendMessage", "SetQueueAttributes"),
        )
    },
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteMessageBatch": "DeleteMessage",
    "SendMessageBatch": "SendMessage",
}

ROWS: Final[Mapping[str, Rule]] = {
    **{operation: Rule(f"sqs:{action}", _queue) for operation, action in _OF_A_QUEUE.items()},
    "CreateQueue": Rule("sqs:CreateQueue", _named_queue, request_tags),
    "GetQueueUrl": Rule("sqs:GetQueueUrl", _named_queue),
    "ListQueues": Rule("sqs:ListQueues", anything),
    "TagQueue": Rule("sqs:TagQueue", _queue, request_tags),
    "UntagQueue": Rule("sqs:UntagQueue", _queue, removed_tags),
    "StartMessageMoveTask": Rule("sqs:StartMessageMoveTask", _source, also=_MOVES),
    "ListMessageMoveTasks": Rule("sqs:ListMessageMoveTasks", _source),
    "CancelMessageMoveTask": Rule("sqs:CancelMessageMoveTask", _task),
}
"""Operation -> what it asks for."""
