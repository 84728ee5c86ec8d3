"""JSON values to members of a shape and back, for rest-json bodies and the json protocols.

Input members that the model does not have are ignored, as AWS does, and a null is the same as no member.
Output members that it does not have are a bug of ours and raise PlatformError; None is left out.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from squib.gateway.wire import scalars
from squib.gateway.wire.service_model import Ref, ServiceModel, Shape
from squib.model.errors import PlatformError, SerializationException

_STRUCTURE_EXPECTED: Final = "Unexpected value type in payload"


def decode(body: bytes) -> Any:
    """The JSON value of a body. Raises SerializationException when it is no JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SerializationException("Could not parse request body into json.") from None


def read_members(
    model: ServiceModel, members: Mapping[str, Ref], value: Any, into: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The members that a JSON object holds, by member name. Raises SerializationException for wrong types."""
    if not isinstance(value, dict):
        raise _unexpected(value)
    found: dict[str, Any] = {} if into is None else into
    for name, ref in members.items():
        item = value.get(ref.location_name or name)
        if item is not None:
            found[name] = read(model, ref.shape, item)
    return found


def read(model: ServiceModel, shape_name: str, value: Any) -> Any:
    """A JSON value as the shape wants it: blobs as bytes, timestamps as aware datetimes."""
    shape = model.shapes[shape_name]
    match shape.type:
        case "structure":
            return read_members(model, shape.members, value)
        case "list":
            if not isinstance(value, list) or shape.member is None:
                raise _unexpected(value)
            member = shape.member.shape
            return [None if item is None else read(model, member, item) for item in value]
        case "map":
            if not isinstance(value, dict) or shape.value is None:
                raise _unexpected(value)
            member = shape.value.shape
            return {name: None if item is None else read(model, member, item) for name, item in value.items()}
        case _:
            return _scalar(shape, value)


def _scalar(shape: Shape, value: Any) -> Any:
    match shape.type, value:
        case _, dict() | list():
            raise _unexpected(value)
        case "boolean", bool():
            return value
        case "string" | "blob" | "timestamp", str():
            return scalars.read(shape, value)
        case _, str():
            raise scalars.mismatch("STRING_VALUE", shape)
        case _, bool():
            raise scalars.mismatch("TRUE_VALUE" if value else "FALSE_VALUE", shape)
        case "integer" | "long", int() | float() if value == value // 1:
            return scalars.integer(int(value), shape)
        case "float" | "double", int() | float():
            return float(value)
        case "timestamp", int() | float():
            return scalars.instant(value, shape)
        case _:
            raise scalars.mismatch("DECIMAL_VALUE" if isinstance(value, float) else "NUMBER_VALUE", shape)


def _unexpected(value: Any) -> SerializationException:
    if isinstance(value, list):
        return SerializationException("Start of list found where not expected")
    if isinstance(value, dict):
        return SerializationException("Start of structure or map found where not expected.")
    return SerializationException(_STRUCTURE_EXPECTED)


def write_members(
    model: ServiceModel, members: Mapping[str, Ref], value: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON object of a structure's members, in the order given."""
    written = {}
    for name, item in value.items():
        if item is not None:
            ref = members.get(name)
            if ref is None:
                raise PlatformError(f"{model.service} has no output member {name} here")
            written[ref.location_name or name] = write(model, ref, item)
    return written


def write(model: ServiceModel, ref: Ref, value: Any) -> Any:
    """A value of a shape as JSON: bytes as base64, timestamps as numbers unless the model says otherwise."""
    shape = model.shapes[ref.shape]
    match shape.type:
        case "structure":
            return write_members(model, shape.members, value)
        case "list" if shape.member is not None:
            member = shape.member
            return [write(model, member, item) for item in value if item is not None]
        case "map" if shape.value is not None:
            member = shape.value
            return {name: write(model, member, item) for name, item in value.items() if item is not None}
        case "blob":
            return b64encode(value).decode()
        case "timestamp":
            chosen = ref.timestamp_format or shape.timestamp_format or scalars.UNIX
            return scalars.write_timestamp(value, chosen)
        case _:
            return value
