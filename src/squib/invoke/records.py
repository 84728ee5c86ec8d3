"""What destinations and dead-letter queues are sent. Pure; shapes from the developer guide and recordings."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from squib.model.async_event import AcceptedEvent, Condition, Ending, Progress
from squib.model.queue import MessageAttribute
from squib.model.units import EpochMs

_MAX_MESSAGE_BYTES: Final = 1024  # developer guide, "Dead-letter queues": the first 1 KB of the error message
DETAIL_TYPE: Final = "Lambda Function Invocation Result - {}"
"""The `detail-type` of a record on an event bus: Success or Failure."""


def invocation_record(event: AcceptedEvent, payload: bytes, progress: Progress, ending: Ending) -> bytes:
    """The JSON text that a destination gets. What did not run has no response."""
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": timestamp(ending.ended_at_ms),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": event.qualified_arn,
            "condition": str(ending.condition),
            "approximateInvokeCount": progress.attempts,
        },
        "requestPayload": msgspec.Raw(payload),
    }
    if ending.executed_version is not None:
        context: dict[str, Any] = {
            "statusCode": ending.status,
            "executedVersion": ending.executed_version,
        }
        if ending.function_error is not None:
            context["functionError"] = ending.function_error
        record["responseContext"] = context
        record["responsePayload"] = _json_or_text(ending.response)
    return msgspec.json.encode(record)


def letter_attributes(event: AcceptedEvent, ending: Ending) -> dict[str, MessageAttribute]:
    """What goes beside the event into a dead-letter queue."""
    message = ending.error_message.encode()[:_MAX_MESSAGE_BYTES].decode(errors="ignore")
    attributes = {
        "RequestID": MessageAttribute("String", event.request_id),
        "ErrorCode": MessageAttribute("Number", str(ending.status)),
    }
    if message:
        attributes["ErrorMessage"] = MessageAttribute("String", message)
    return attributes


def error_message(response: bytes) -> str:
    """What a function's error says."""
    try:
        said = msgspec.json.decode(response)
    except (msgspec.DecodeError, RecursionError):
        return response.decode(errors="replace")
    message = said.get("errorMessage") if isinstance(said, dict) else None
    return message if isinstance(message, str) else json.dumps(said)


def bucket_key(event: AcceptedEvent, ending: Ending, unique: str) -> str:
    """The name of a record in a bucket (developer guide, "Retaining records of asynchronous invocations")."""
    at = datetime.fromtimestamp(ending.ended_at_ms // 1000, UTC)
    folder = ending.bucket_folder or f"aws/lambda/async/{event.function.name}"
    return f"{folder}/{at:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{unique}"


def timestamp(at_ms: EpochMs) -> str:
    """Such as `2026-01-31T09:05:00.123Z`."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def is_success(ending: Ending) -> bool:
    """Whether the function has answered."""
    return ending.condition is Condition.SUCCESS


def _json_or_text(response: bytes) -> Any:
    """As it is when it is JSON; runtimes of one's own may answer anything."""
    if not response:
        return None
    try:
        msgspec.json.decode(response)
        response.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return response.decode(errors="replace")
    return msgspec.Raw(response)
