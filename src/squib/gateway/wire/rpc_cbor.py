"""The rpc-v2-cbor protocol, which SDKs speak to CloudWatch: the operation in the path, members in CBOR."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from squib.gateway.wire import cbor, json_values
from squib.gateway.wire.service_model import Ref, ServiceModel
from squib.model.errors import PlatformError, SerializationException

CONTENT_TYPE: Final = "application/cbor"
PROTOCOL_HEADER: Final = ("smithy-protocol", "rpc-v2-cbor")
_PREFIX: Final = "/service/"


def place(path: str) -> tuple[str, str] | None:
    """The service's name and the operation's that a path means: `/service/NAME/operation/NAME`."""
    parts = path.split("/")
    if len(parts) == 5 and path.startswith(_PREFIX) and parts[3] == "operation":
        return parts[2], parts[4]
    return None


def parse(model: ServiceModel, operation: str, body: bytes) -> dict[str, Any]:
    """The input of a request by member names. Raises SerializationException."""
    shape_name = model.input_shape(operation)
    if shape_name is None or not body:
        return {}
    try:
        given = cbor.decode(body)
    except cbor.NotCbor as error:
        raise SerializationException(f"Could not parse request body into cbor: {error}.") from None
    return json_values.read_members(model, model.shapes[shape_name].members, given)


def serialize(
    model: ServiceModel, operation: str, output: Mapping[str, Any]
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of an answer."""
    described = model.operations[operation].output
    if described is None:
        if output:
            raise PlatformError(f"{operation} has no output members")
        return 200, [PROTOCOL_HEADER], b""
    value = _members(model, model.shapes[described.shape].members, output)
    return 200, [("Content-Type", CONTENT_TYPE), PROTOCOL_HEADER], cbor.encode(value)


def _members(model: ServiceModel, members: Mapping[str, Ref], value: Mapping[str, Any]) -> dict[str, Any]:
    unknown = value.keys() - members.keys()
    if unknown:
        raise PlatformError(f"{model.service} has no output member {sorted(unknown)[0]} here")
    return {name: _value(model, members[name], item) for name, item in value.items() if item is not None}


def _value(model: ServiceModel, ref: Ref, value: Any) -> Any:
    shape = model.shapes[ref.shape]
    match shape.type:
        case "structure":
            return _members(model, shape.members, value)
        case "list" if shape.member is not None:
            return [_value(model, shape.member, item) for item in value]
        case "map" if shape.value is not None:
            return {name: _value(model, shape.value, item) for name, item in value.items()}
        case "timestamp":
            return value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
        case "double" | "float":
            return float(value)
        case _:
            return value
