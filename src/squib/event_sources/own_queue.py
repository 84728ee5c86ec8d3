"""Queues of this squib: reached inside the process, without polling."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

from squib.event_sources.queue_access import Message, QueueFailed, QueueGone
from squib.model.errors import ApiError, PlatformError
from squib.model.message_attributes import system_attributes
from squib.model.message_digest import attributes_md5, body_md5
from squib.model.queue import QUEUES, MessageAttribute, Queue, QueueKey, ReceivedMessage
from squib.model.queue_errors import QueueDoesNotExist
from squib.store.base import Store

_IN_ORDER: Final = (
    *("ApproximateReceiveCount", "SentTimestamp", "SequenceNumber", "AWSTraceHeader", "MessageGroupId"),
    *("SenderId", "MessageDeduplicationId", "ApproximateFirstReceiveTimestamp", "DeadLetterQueueSourceArn"),
)
GONE: Final = "Queue does not exist"
_MAX_AT_ONCE: Final = 100  # squib's choice: bounds what is in memory before the batch's size is looked at


class OwnQueue:
    """Implements `QueueAccess` on the store's queues."""

    max_receive_count = _MAX_AT_ONCE
    is_elsewhere = False

    def __init__(self, store: Store, key: QueueKey) -> None:
        self._queues, self._definitions = store.queues, store.collection(QUEUES)
        self._key, self._arn = key, key.arn

    def problem(self) -> str | None:
        return GONE if self._definitions.peek(self._key) is None else None

    async def visibility_s(self) -> int:
        return self._definition().visibility_timeout_s

    async def receive(self, max_count: int, *, visibility_s: int | None, wait_ms: float) -> Sequence[Message]:
        try:
            found = await self._queues.receive(
                self._key, max_count=max_count, visibility_timeout_s=visibility_s, wait_ms=int(wait_ms)
            )
        except QueueDoesNotExist as error:
            raise QueueGone(GONE) from error
        except (ApiError, PlatformError) as error:
            raise QueueFailed(str(error)) from error
        return [
            Message(
                message_id=one.message_id,
                handle=one.receipt_handle,
                record=message_record(one, self._key),
                trace_header=one.trace_header,
            )
            for one in found
        ]

    async def delete(self, handles: Sequence[str]) -> None:
        try:
            await self._queues.delete(self._key, handles)
        except QueueDoesNotExist as error:
            raise QueueGone(GONE) from error
        except (ApiError, PlatformError) as error:
            raise QueueFailed(str(error)) from error

    def _definition(self) -> Queue:
        queue = self._definitions.peek(self._key)
        if queue is None:
            raise QueueGone(GONE)
        return queue


def message_record(message: ReceivedMessage, key: QueueKey) -> dict[str, Any]:
    """A message as functions get it, members in the order of the developer guide's examples."""
    attributes = system_attributes(key, message)
    record: dict[str, Any] = {
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": {name: attributes[name] for name in _IN_ORDER if name in attributes},
        "messageAttributes": {name: _attribute(value) for name, value in message.attributes.items()},
    }
    if message.attributes:
        record["md5OfMessageAttributes"] = attributes_md5(message.attributes)
    record["md5OfBody"] = body_md5(message.body)
    record["eventSource"] = "aws:sqs"
    record["eventSourceARN"] = key.arn
    record["awsRegion"] = key.region
    return record


def _attribute(attribute: MessageAttribute) -> dict[str, Any]:
    value = attribute.value
    named: dict[str, Any] = (
        {"stringValue": value} if isinstance(value, str) else {"binaryValue": b64encode(value).decode()}
    )
    return {
        **named,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": attribute.data_type,
    }
