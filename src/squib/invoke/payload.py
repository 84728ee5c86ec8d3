"""What a caller sends with an invocation, checked: the event, the client context, the trace. Pure."""

import base64
import binascii
import json

import msgspec

from squib.model.errors import InvalidRequestContent
from squib.model.limits import MAX_CLIENT_CONTEXT_BYTES
from squib.model.units import EpochMs

EMPTY_EVENT = b"{}"


def checked_event(payload: bytes) -> bytes:
    """The event to hand out: `payload` itself when it is JSON, `{}` when it is empty.

    Raises InvalidRequestContent."""
    if not payload:
        return EMPTY_EVENT
    try:
        if not payload.isascii():
            payload.decode()
        msgspec.json.decode(payload, type=msgspec.Raw)
    except UnicodeDecodeError as error:
        raise _unreadable(f"Invalid UTF-8 at byte {error.start}") from error
    except msgspec.DecodeError as error:
        raise _unreadable(str(error)) from error
    except RecursionError:
        raise _unreadable("Nested too deeply") from None
    return payload


def _unreadable(why: str) -> InvalidRequestContent:
    return InvalidRequestContent(
        f"Could not parse request body into json: Could not parse payload into json: {why}"
    )


def client_context(encoded: str) -> str:
    """The client context as one line of ASCII JSON, fit for a header; empty when there is none.

    Raises InvalidRequestContent."""
    if not encoded:
        return ""
    if len(encoded) > MAX_CLIENT_CONTEXT_BYTES:
        raise InvalidRequestContent(f"Client context must be no more than {MAX_CLIENT_CONTEXT_BYTES} bytes.")
    try:
        value = msgspec.json.decode(base64.b64decode(encoded, validate=True))
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidRequestContent("Client context must be a valid Base64-encoded JSON object.") from error
    if not isinstance(value, dict):
        raise InvalidRequestContent("Client context must be a valid Base64-encoded JSON object.")
    return json.dumps(value, separators=(",", ":"))


def trace_id(given: str, *, now_ms: EpochMs, token: bytes) -> str:
    """The trace header of an invocation: the caller's, or a new one out of 20 random bytes."""
    if given.startswith("Root="):
        return given
    digits = token.hex()
    return f"Root=1-{now_ms // 1000:08x}-{digits[:24]};Parent={digits[24:40]};Sampled=0"
