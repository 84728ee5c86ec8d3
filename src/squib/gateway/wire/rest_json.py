"""The rest-json protocol, of Lambda: members in path, query string, headers and body."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from squib.gateway.wire import json_values, scalars
from squib.gateway.wire.service_model import Ref, ServiceModel, Shape
from squib.model.errors import PlatformError

CONTENT_TYPE: Final = "application/json"


def parse(
    model: ServiceModel,
    operation: str,
    *,
    labels: Mapping[str, str],
    query: str,
    headers: Mapping[str, str],
    body: bytes,
) -> dict[str, Any]:
    """The input of a request by member names. Raises SerializationException."""
    shape_name = model.input_shape(operation)
    if shape_name is None:
        return {}
    shape = model.shapes[shape_name]
    pairs = split_query(query)
    found: dict[str, Any] = {}
    in_body: dict[str, Ref] = {}
    for name, ref in shape.members.items():
        wire_name = ref.location_name or name
        match ref.location:
            case "uri":
                found[name] = scalars.read(model.shapes[ref.shape], labels[wire_name])
            case "querystring":
                _read_query(model, ref, name, wire_name, pairs, found)
            case "header":
                text = headers.get(wire_name.lower())
                if text is not None:
                    found[name] = scalars.read(model.shapes[ref.shape], text)
            case "headers":
                prefix = wire_name.lower()
                found[name] = {
                    key[len(prefix) :]: text for key, text in headers.items() if key.startswith(prefix)
                }
            case None:
                in_body[name] = ref
    if shape.payload is not None:
        _read_payload(model, shape, shape.payload, body, found)
    elif in_body and body:
        json_values.read_members(model, in_body, json_values.decode(body), found)
    return found


def split_query(query: str) -> list[tuple[str, str]]:
    """The pairs of a query string, percent-decoded, in order. A plus sign is itself, as in signatures."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def _read_query(
    model: ServiceModel,
    ref: Ref,
    name: str,
    wire_name: str,
    pairs: list[tuple[str, str]],
    found: dict[str, Any],
) -> None:
    shape = model.shapes[ref.shape]
    values = [value for key, value in pairs if key == wire_name]
    if shape.type == "list" and shape.member is not None:
        member = model.shapes[shape.member.shape]
        if values:
            found[name] = [scalars.read(member, value) for value in values]
    elif shape.type == "map":
        raise PlatformError("no model served has a map in the query string")
    elif values:
        found[name] = scalars.read(shape, values[0])


def _read_payload(model: ServiceModel, shape: Shape, name: str, body: bytes, found: dict[str, Any]) -> None:
    payload = shape.members[name].shape
    if model.shapes[payload].type == "blob":
        found[name] = body
    elif body:
        found[name] = json_values.read(model, payload, json_values.decode(body))


def serialize(
    model: ServiceModel, operation: str, output: Mapping[str, Any], status: int | None
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of an answer. `status` None means what the model says.

    Raises PlatformError for a member that the output shape does not have.
    """
    described = model.operations[operation]
    chosen = described.http.response_code if status is None else status
    if described.output is None:
        if output:
            raise PlatformError(f"{operation} has no output members")
        return chosen, [], b""
    shape = model.shapes[described.output.shape]
    headers: list[tuple[str, str]] = []
    in_body: dict[str, Any] = {}
    for name, value in output.items():
        ref = shape.members.get(name)
        if ref is None:
            raise PlatformError(f"{operation} has no output member {name}")
        match ref.location:
            case "statusCode":
                chosen = value if status is None and value is not None else chosen
            case "header":
                if value is not None:
                    text = scalars.write(model.shapes[ref.shape], value, scalars.RFC_822)
                    headers.append((ref.location_name or name, text))
            case None:
                in_body[name] = value
            case _:
                raise PlatformError(f"output location {ref.location} of {operation}.{name}")
    headers.append(("Content-Type", CONTENT_TYPE))
    return chosen, headers, _body(model, shape, in_body) if chosen != 204 else b""


def _body(model: ServiceModel, shape: Shape, members: Mapping[str, Any]) -> bytes:
    if shape.payload is None:
        if not members and all(ref.location for ref in shape.members.values()):
            return b""
        return msgspec.json.encode(json_values.write_members(model, shape.members, members))
    payload = members.get(shape.payload)
    if payload is None:
        return b""
    if isinstance(payload, bytes):
        return payload
    return msgspec.json.encode(json_values.write(model, shape.members[shape.payload], payload))
