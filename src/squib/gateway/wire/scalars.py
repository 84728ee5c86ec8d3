"""Scalars as text: numbers, booleans, timestamps and blobs in headers, query strings, forms and XML."""

import binascii
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final

from squib.gateway.wire.service_model import Shape
from squib.model.errors import PlatformError, SerializationException

ISO_8601: Final = "iso8601"
RFC_822: Final = "rfc822"
UNIX: Final = "unixTimestamp"

_BITS: Final = {"integer": 31, "long": 63}
_JAVA: Final = {
    "string": "String",
    "integer": "Integer",
    "long": "Long",
    "float": "Float",
    "double": "Double",
    "boolean": "Boolean",
    "timestamp": "Date",
    "blob": "Blob",
}


def mismatch(token: str, shape: Shape) -> SerializationException:
    """The refusal of a value of the wrong type; `token` is what was found, as the JSON reader says."""
    return SerializationException(f"{token} can not be converted to {_article(_JAVA[shape.type])}")


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "AEIOU" else f"a {noun}"


def integer(value: int, shape: Shape) -> int:
    """`value` if it fits the width of the shape. Raises SerializationException."""
    limit = 1 << _BITS[shape.type]
    if not -limit <= value < limit:
        kind = "int" if shape.type == "integer" else "long"
        raise SerializationException(
            f"Numeric value ({value}) out of range of {kind} ({-limit} - {limit - 1})"
        )
    return value


def read(shape: Shape, text: str) -> Any:
    """A scalar from text. Timestamps come out as aware datetimes. Raises SerializationException."""
    match shape.type:
        case "string":
            return text
        case "integer" | "long":
            digits = text[1:] if text[:1] in ("-", "+") else text
            if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
                raise mismatch("STRING_VALUE", shape)
            return integer(int(text), shape)
        case "float" | "double":
            try:
                return float(text)
            except ValueError:
                raise mismatch("STRING_VALUE", shape) from None
        case "boolean":
            if text.lower() not in ("true", "false"):
                raise mismatch("STRING_VALUE", shape)
            return text.lower() == "true"
        case "timestamp":
            return timestamp(text, shape)
        case "blob":
            return blob(text, shape)
        case _:
            raise PlatformError(f"a {shape.type} is no scalar")


def blob(text: str, shape: Shape) -> bytes:
    """Bytes from base64. Raises SerializationException."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise mismatch("STRING_VALUE", shape) from None


def timestamp(text: str, shape: Shape) -> datetime:
    """A timestamp in any of the three formats. Raises SerializationException."""
    try:
        if text.replace(".", "", 1).lstrip("-").isdigit():
            return instant(float(text), shape)
        if text[:1].isdigit():
            read = datetime.fromisoformat(text)
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read
        return parsedate_to_datetime(text)
    except (ValueError, TypeError):
        raise mismatch("STRING_VALUE", shape) from None


def instant(seconds: float, shape: Shape) -> datetime:
    """A timestamp from seconds since 1970. Raises SerializationException."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise mismatch("NUMBER_VALUE", shape) from None


def write(shape: Shape, value: Any, timestamp_format: str) -> str:
    """A scalar as text. Timestamps may be datetimes or seconds since 1970."""
    match shape.type:
        case "boolean":
            return "true" if value else "false"
        case "blob":
            return b64encode(value).decode()
        case "timestamp":
            return str(write_timestamp(value, timestamp_format))
        case _:
            return str(value)


def write_timestamp(value: datetime | float, timestamp_format: str) -> str | float:
    """A timestamp in a format: text, or a number of seconds for `unixTimestamp`."""
    moment = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    if timestamp_format == UNIX:
        seconds = moment.timestamp()
        return int(seconds) if seconds.is_integer() else round(seconds, 3)
    moment = moment.astimezone(UTC)
    if timestamp_format == ISO_8601:
        fraction = f".{moment.microsecond // 1000:03}" if moment.microsecond else ""
        return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
    return format_datetime(moment.replace(microsecond=0), usegmt=True)
