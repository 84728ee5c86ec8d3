"""Every operation of every model, against botocore: it serializes inputs that we parse, and parses outputs
that we serialize. Values are drawn from the shapes themselves."""

from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.awsrequest import prepare_request_dict
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from squib.gateway.models import ServiceModels
from squib.gateway.route import PROTOCOLS
from squib.gateway.wire import json_rpc, query, rest_json

OURS = ServiceModels()
THEIRS = {
    name: ServiceModel(Loader().load_service_model(name, "service-2"), name)
    for name in ("lambda", "logs", "sts", "iam", "sqs")
}

_TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=8)
_TOKEN = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
_TIME = st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)


def values(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that fit the type of a shape; constraints are another matter."""
    scalars: dict[str, st.SearchStrategy[Any]] = {
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**53), 2**53),
        "float": st.floats(-1e9, 1e9, width=32),
        "double": st.floats(-1e9, 1e9),
        "boolean": st.booleans(),
        "timestamp": _TIME,
        "blob": st.binary(max_size=12),
    }
    if shape.type_name in scalars:
        return scalars[shape.type_name]
    if isinstance(shape, StructureShape):
        return structures(shape, depth)
    size = 2 if depth < 3 else 0
    if isinstance(shape, ListShape):
        return st.lists(
            st.deferred(lambda: values(shape.member, depth + 1)), min_size=min(1, size), max_size=size
        )
    if isinstance(shape, MapShape):
        return st.dictionaries(
            _TEXT, st.deferred(lambda: values(shape.value, depth + 1)), min_size=min(1, size), max_size=size
        )
    return _TEXT


def structures(shape: StructureShape, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Structures with any of their members; what travels in headers and paths has their alphabet."""
    members = {}
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        if member.serialization.get("eventstream") or getattr(member, "is_eventstream", False):
            continue
        if getattr(member, "is_document_type", False) or (depth >= 3 and member.type_name == "structure"):
            continue
        plain = member.type_name == "string" and location in ("header", "uri")
        members[name] = _TOKEN if plain else values(member, depth + 1)
    required = {
        name: strategy
        for name, strategy in members.items()
        if shape.members[name].serialization.get("location") == "uri"
    }
    if getattr(shape, "is_tagged_union", False):
        return st.one_of([st.fixed_dictionaries({name: members[name]}) for name in members])
    optional = {name: strategy for name, strategy in members.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


def operations() -> list[tuple[str, str]]:
    """The operations that have neither event streams nor another host name of their own."""
    found = []
    for service, model in THEIRS.items():
        for name in model.operation_names:
            operation = model.operation_model(name)
            if not operation.has_event_stream_output and not operation.has_event_stream_input:
                found.append((service, name))
    return found


def parsed(service: str, operation: OperationModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """What we understand of what botocore sends."""
    serializer = create_serializer(THEIRS[service].metadata["protocol"], include_validation=False)
    request = serializer.serialize_to_request(dict(given), operation)
    prepare_request_dict(request, endpoint_url="http://127.0.0.1:4566")
    path, _, search = request["url"].removeprefix("http://127.0.0.1:4566").partition("?")
    body = request["body"]
    if isinstance(body, dict):
        body = urlencode(body, doseq=True)
    if isinstance(body, str):
        body = body.encode()
    headers = {name.lower(): str(value) for name, value in request["headers"].items()}
    model = OURS.get(service)
    match PROTOCOLS[service]:
        case "rest-json":
            found = model.routes.find(request["method"], path, search)
            assert found is not None and found[0] == operation.name
            return rest_json.parse(
                model, operation.name, labels=found[1], query=search, headers=headers, body=body
            )
        case "json":
            assert json_rpc.operation_of(model, headers["x-amz-target"]) == operation.name
            return json_rpc.parse(model, operation.name, body)
        case _:
            parameters = query.parameters(headers, search, body)
            assert parameters["Action"] == operation.name
            return query.parse(model, operation.name, parameters)


def answered(service: str, operation: OperationModel, output: Mapping[str, Any]) -> dict[str, Any]:
    """What botocore understands of what we answer."""
    model = OURS.get(service)
    match PROTOCOLS[service]:
        case "rest-json":
            status, headers, body = rest_json.serialize(model, operation.name, output, None)
        case "json":
            status, headers, body = json_rpc.serialize(model, operation.name, output)
        case _:
            status, headers, body = query.serialize(model, operation.name, output, "the-id")
    streams = operation.has_streaming_output
    response = {
        "status_code": status,
        "headers": HTTPHeaderDict(headers),
        "body": BytesIO(body) if streams else body,
    }
    parser = create_parser(THEIRS[service].metadata["protocol"])
    understood = parser.parse(response, operation.output_shape)  # type: ignore[arg-type]  # takes None too
    metadata = understood.pop("ResponseMetadata")
    if streams and operation.output_shape is not None:
        member = operation.output_shape.serialization["payload"]
        understood[member] = understood[member].read()
    if PROTOCOLS[service] == "query":
        assert metadata["RequestId"] == "the-id"
    return dict(understood)


def _without_empty(value: Any) -> Any:
    """Query strings and forms cannot tell an empty list, map or structure from none."""
    if isinstance(value, dict):
        kept = {name: _without_empty(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in ([], {}, None)}
    if isinstance(value, list):
        return [item for item in map(_without_empty, value) if item not in ([], {})]
    return value


def _some(shape: StructureShape | None) -> st.SearchStrategy[dict[str, Any]]:
    return st.just({}) if shape is None else structures(shape, 0)


@pytest.mark.parametrize(("service", "name"), operations())
def test_inputs_arrive_as_botocore_was_given_them(service: str, name: str) -> None:
    operation = THEIRS[service].operation_model(name)

    @seed(1)
    @settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_some(operation.input_shape))
    def check(given: dict[str, Any]) -> None:
        found = parsed(service, operation, given)
        payload = operation.input_shape.serialization.get("payload") if operation.input_shape else None
        if payload is not None and payload not in given and found.get(payload) == b"":
            del found[payload]
        assert _without_empty(found) == _without_empty(given)

    check()


@pytest.mark.parametrize(("service", "name"), operations())
def test_outputs_are_understood_by_botocore(service: str, name: str) -> None:
    operation = THEIRS[service].operation_model(name)

    @seed(1)
    @settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_some(operation.output_shape))
    def check(output: dict[str, Any]) -> None:
        shape = operation.output_shape
        for member in output:
            if shape and shape.members[member].serialization.get("location") == "statusCode":
                output[member] = 200
        found = answered(service, operation, output)
        for member, value in list(found.items()):
            location = shape.members[member].serialization.get("location") if shape else None
            if member not in output and (location == "statusCode" or value in (b"", "")):
                del found[member]
        assert _without_empty(found) == _without_empty(output)

    check()
