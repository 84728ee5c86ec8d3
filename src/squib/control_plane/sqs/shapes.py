"""Messages in the shapes of SQS's model."""

from collections.abc import Collection, Mapping
from typing import Any

from squib.model.errors import ApiError
from squib.model.message_attributes import sequence_number, system_attributes
from squib.model.message_digest import attributes_md5, body_md5
from squib.model.queue import (
    Attributes,
    HandleFault,
    MessageAttribute,
    NewMessage,
    Queue,
    ReceivedMessage,
    SentMessage,
)
from squib.model.queue_errors import MessageNotInflight, QueueParameterInvalid, ReceiptHandleIsInvalid
from squib.model.queue_limits import MAX_VISIBILITY_S


def sent_shape(
    queue: Queue, given: Mapping[str, Any], message: NewMessage, sent: SentMessage
) -> dict[str, Any]:
    """`SendMessageResult`, and what an entry of a batch has of it. Digests are of what was `given`: SDKs
    compare them with their own."""
    shape: dict[str, Any] = {"MessageId": sent.message_id, "MD5OfMessageBody": body_md5(message.body)}
    if message.attributes:
        shape["MD5OfMessageAttributes"] = attributes_md5(message.attributes)
    if given.get("MessageSystemAttributes") and message.trace_header is not None:
        header = {"AWSTraceHeader": MessageAttribute("String", message.trace_header)}
        shape["MD5OfMessageSystemAttributes"] = attributes_md5(header)
    if queue.key.is_fifo:
        shape["SequenceNumber"] = sequence_number(sent.sequence_number)
    return shape


def message_shape(
    queue: Queue, message: ReceivedMessage, system_names: Collection[str], names: Collection[str]
) -> dict[str, Any]:
    """`Message`, with the attributes that were asked for."""
    shape: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": body_md5(message.body),
        "Body": message.body,
    }
    if system_names:
        known = system_attributes(queue.key, message)
        shape["Attributes"] = {name: text for name, text in known.items() if name in system_names} or None
    chosen = {name: value for name, value in message.attributes.items() if _is_asked_for(name, names)}
    if chosen:
        shape["MD5OfMessageAttributes"] = attributes_md5(chosen)
        shape["MessageAttributes"] = _attribute_shapes(chosen)
    return shape


def fault(kind: HandleFault, handle: str, timeout_s: int | None = None) -> ApiError:
    """The error of a receipt handle that cannot be used."""
    match kind:
        case HandleFault.MALFORMED:
            return ReceiptHandleIsInvalid(handle)
        case HandleFault.NOT_IN_FLIGHT:
            return MessageNotInflight()
        case HandleFault.TOO_LONG:
            return QueueParameterInvalid(
                f"Value {timeout_s} for parameter VisibilityTimeout is invalid. Reason: Total "
                f"VisibilityTimeout for the message is beyond the limit [{MAX_VISIBILITY_S} seconds]"
            )
        case HandleFault.EXPIRED:
            reason = "The receipt handle has expired."
        case HandleFault.GONE:
            reason = "Message does not exist or is not available for visibility timeout change."
    return QueueParameterInvalid(f"Value {handle} for parameter ReceiptHandle is invalid. Reason: {reason}")


def _is_asked_for(name: str, names: Collection[str]) -> bool:
    """By its name, or by a prefix that ends in `.*` (ReceiveMessage reference, MessageAttributeNames)."""
    if name in names:
        return True
    return any(
        asked in ("All", ".*") or (asked.endswith(".*") and name.startswith(asked[:-1])) for asked in names
    )


def _attribute_shapes(attributes: Attributes) -> dict[str, Any]:
    return {
        name: {
            "StringValue" if isinstance(attribute.value, str) else "BinaryValue": attribute.value,
            "DataType": attribute.data_type,
        }
        for name, attribute in attributes.items()
    }
