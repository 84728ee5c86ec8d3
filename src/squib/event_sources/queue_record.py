"""A message of SQS as functions get it: members in the order of the developer guide's examples. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from squib.model.message_digest import attributes_md5, body_md5
from squib.model.queue import Attributes, MessageAttribute, QueueKey

_IN_ORDER: Final = (
    *("ApproximateReceiveCount", "SentTimestamp", "SequenceNumber", "AWSTraceHeader", "MessageGroupId"),
    *("SenderId", "MessageDeduplicationId", "ApproximateFirstReceiveTimestamp", "DeadLetterQueueSourceArn"),
)


def message_record(
    key: QueueKey,
    *,
    message_id: str,
    handle: str,
    body: str,
    system: Mapping[str, str],
    attributes: Attributes,
) -> dict[str, Any]:
    """One of `Records`. `system` has what SQS tells of the message, by SQS's names."""
    record: dict[str, Any] = {
        "messageId": message_id,
        "receiptHandle": handle,
        "body": body,
        "attributes": {name: system[name] for name in _IN_ORDER if name in system},
        "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
    }
    if attributes:
        record["md5OfMessageAttributes"] = attributes_md5(attributes)
    record["md5OfBody"] = body_md5(body)
    record["eventSource"] = "aws:sqs"
    record["eventSourceARN"] = key.arn
    record["awsRegion"] = key.region
    return record


def _attribute(attribute: MessageAttribute) -> dict[str, Any]:
    value = attribute.value
    if isinstance(value, str):
        named: dict[str, Any] = {"stringValue": value}
    else:
        named = {"binaryValue": b64encode(value).decode()}
    return {
        **named,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": attribute.data_type,
    }
