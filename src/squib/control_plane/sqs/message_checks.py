"""What a message must be to be sent: its characters, its size, its attributes, and what its queue asks for.

Pure. Texts are those of the API reference and of the service's answers.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from squib.control_plane.sqs.calls import in_range, invalid, required
from squib.model.message_digest import message_bytes
from squib.model.queue import Attributes, MessageAttribute, NewMessage, Queue
from squib.model.queue_errors import InvalidMessageContents, MissingQueueParameter, QueueParameterInvalid
from squib.model.queue_limits import MAX_DELAY_S, MAX_MESSAGE_ATTRIBUTES

NOT_FOR_THIS_TYPE: Final = "The request include parameter that is not valid for this queue type."

_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ID: Final = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}", re.ASCII)
_ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_TYPES: Final = ("String", "Number", "Binary")


def new_message(
    queue: Queue,
    given: Mapping[str, Any],
    *,
    message_id: str,
    sender_id: str,
    request_trace: str | None = None,
) -> NewMessage:
    """The message of a SendMessage, or of an entry of a batch. Raises what AWS does.

    `request_trace` is the trace header of the request, which holds for messages that bring none (developer
    guide, "SQS and X-Ray").
    """
    body: str = required(given, "MessageBody")
    if _FORBIDDEN.search(body):
        raise InvalidMessageContents(
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
            "#xE000 to #xFFFD | #x10000 to #x10FFFF."
        )
    attributes = message_attributes(given.get("MessageAttributes") or {})
    if message_bytes(body, attributes) > queue.max_message_bytes:
        raise QueueParameterInvalid(
            "One or more parameters are invalid. Reason: Message must be shorter than "
            f"{queue.max_message_bytes} bytes."
        )
    delay_s = in_range(given, "DelaySeconds", 0, MAX_DELAY_S, "DelaySeconds must be >= 0 and <= 900.")
    if queue.key.is_fifo and delay_s:
        raise invalid("DelaySeconds", delay_s, NOT_FOR_THIS_TYPE)
    group_id = given.get("MessageGroupId")
    if group_id is None and queue.key.is_fifo:
        raise MissingQueueParameter("MessageGroupId")
    if group_id is not None:
        _check_id("MessageGroupId", group_id)
    return NewMessage(
        message_id=message_id,
        body=body,
        sender_id=sender_id,
        attributes=attributes,
        trace_header=_trace_header(given.get("MessageSystemAttributes") or {}) or request_trace,
        delay_s=None if queue.key.is_fifo else delay_s,
        group_id=group_id,
        deduplication_id=_deduplication_id(queue, given, body),
    )


def message_attributes(given: Mapping[str, Mapping[str, Any]]) -> Attributes:
    """Attributes by name. Raises QueueParameterInvalid."""
    if len(given) > MAX_MESSAGE_ATTRIBUTES:
        raise QueueParameterInvalid(
            f"Number of message attributes [{len(given)}] exceeds the allowed maximum "
            f"[{MAX_MESSAGE_ATTRIBUTES}]."
        )
    return {name: _attribute(name, value) for name, value in given.items()}


def _attribute(name: str, given: Mapping[str, Any]) -> MessageAttribute:
    if len(name) > 256 or _ATTRIBUTE_NAME.fullmatch(name) is None:
        raise QueueParameterInvalid(
            f"Invalid message attribute name '{name[:256]}': it can contain A-Z, a-z, 0-9, underscores, "
            "hyphens and periods, not at its start or end nor in a row, and up to 256 of them."
        )
    if name.lower().startswith(("aws.", "amazon.")):
        raise QueueParameterInvalid(
            f"Message attribute name '{name}' starts with a prefix that is reserved for AWS."
        )
    data_type = given.get("DataType")
    if not data_type:
        raise QueueParameterInvalid(
            f"The message attribute '{name}' must contain non-empty message attribute type."
        )
    kind = data_type.partition(".")[0]
    if kind not in _TYPES:
        raise QueueParameterInvalid(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported "
            "type prefixes is Binary, Number, and String."
        )
    if len(data_type) > 256:
        raise QueueParameterInvalid(f"The type of the message attribute '{name}' is longer than 256.")
    if given.get("StringListValues") or given.get("BinaryListValues"):
        raise QueueParameterInvalid(
            "Message attribute list values in SendMessage operation are not supported."
        )
    value = given.get("BinaryValue" if kind == "Binary" else "StringValue")
    if not value:
        raise QueueParameterInvalid(
            f"The message attribute '{name}' must contain non-empty message attribute value for message "
            f"attribute type '{kind}'."
        )
    if kind == "Number" and _NUMBER.fullmatch(value) is None:
        raise QueueParameterInvalid(f"Could not cast message attribute '{name}' value to number.")
    if isinstance(value, str) and _FORBIDDEN.search(value):
        raise QueueParameterInvalid(
            "Invalid binary character in string message, the set of allowed characters is #x9 | #xA | #xD | "
            "#x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
        )
    if isinstance(value, bytes):
        return MessageAttribute(data_type, data=value)
    return MessageAttribute(data_type, value)


def _trace_header(given: Mapping[str, Mapping[str, Any]]) -> str | None:
    for name in given:
        if name != "AWSTraceHeader":
            raise QueueParameterInvalid(f"Message system attribute name '{name}' is invalid.")
    if not given:
        return None
    attribute = given["AWSTraceHeader"]
    if attribute.get("DataType") != "String" or not attribute.get("StringValue"):
        raise QueueParameterInvalid(
            "The message system attribute 'AWSTraceHeader' must be a non-empty String."
        )
    return str(attribute["StringValue"])


def _deduplication_id(queue: Queue, given: Mapping[str, Any], body: str) -> str | None:
    deduplication_id: str | None = given.get("MessageDeduplicationId")
    if not queue.key.is_fifo:
        if deduplication_id is not None:
            raise invalid("MessageDeduplicationId", deduplication_id, NOT_FOR_THIS_TYPE)
        return None
    if deduplication_id is not None:
        _check_id("MessageDeduplicationId", deduplication_id)
        return deduplication_id
    if not queue.content_based_deduplication:
        raise QueueParameterInvalid(
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
            "provided explicitly"
        )
    return hashlib.sha256(body.encode()).hexdigest()


def _check_id(name: str, value: str) -> None:
    if _ID.fullmatch(value) is None:
        reason = f"{name} can only include alphanumeric and punctuation characters. 1 to 128 in length"
        raise invalid(name, value, reason)
