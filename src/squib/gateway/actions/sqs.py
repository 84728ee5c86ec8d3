"""SQS's rows (service authorization reference, "Amazon SQS")."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from squib.gateway.actions.rule import ANYTHING, Input, Place, Rule, anything, removed_tags, request_tags


def _queue(given: Input, place: Place) -> str:
    """The queue of a URL `http://HOST/ACCOUNT/NAME`."""
    parts = urlsplit(given.get("QueueUrl", "")).path.strip("/").split("/")
    if len(parts) < 2:
        return ANYTHING
    return f"arn:aws:sqs:{place.region}:{parts[-2]}:{parts[-1]}"


def _named_queue(given: Input, place: Place) -> str:
    account_id = given.get("QueueOwnerAWSAccountId") or place.account_id
    return f"arn:aws:sqs:{place.region}:{account_id}:{given['QueueName']}"


def _source(given: Input, place: Place) -> str:
    arn: str = given["SourceArn"]
    return arn


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
    "StartMessageMoveTask": Rule("sqs:StartMessageMoveTask", _source),
    "ListMessageMoveTasks": Rule("sqs:ListMessageMoveTasks", _source),
    "CancelMessageMoveTask": Rule("sqs:CancelMessageMoveTask", anything),
}
"""Operation -> what it asks for."""
