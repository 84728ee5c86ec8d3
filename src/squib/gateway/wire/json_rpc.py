"""The json protocols, of CloudWatch Logs and SQS: the operation in X-Amz-Target, all members in the body."""

from collections.abc import Mapping
from typing import Any

import msgspec

from squib.gateway.wire import json_values
from squib.gateway.wire.service_model import ServiceModel
from squib.model.errors import PlatformError


def content_type(model: ServiceModel) -> str:
    """The media type of requests and answers."""
    return f"application/x-amz-json-{model.metadata.json_version}"


def operation_of(model: ServiceModel, target: str) -> str | None:
    """The operation that an X-Amz-Target header names; None when it is none of this service."""
    prefix, _, operation = target.partition(".")
    return operation if prefix == model.metadata.target_prefix and operation in model.operations else None


def parse(model: ServiceModel, operation: str, body: bytes) -> dict[str, Any]:
    """The input of a request by member names. Raises SerializationException."""
    shape_name = model.input_shape(operation)
    if shape_name is None or not body:
        return {}
    return json_values.read_members(model, model.shapes[shape_name].members, json_values.decode(body))


def serialize(
    model: ServiceModel, operation: str, output: Mapping[str, Any]
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of an answer; the body is empty when the operation has no output shape."""
    headers = [("Content-Type", content_type(model))]
    described = model.operations[operation].output
    if described is None:
        if output:
            raise PlatformError(f"{operation} has no output members")
        return 200, headers, b""
    members = model.shapes[described.shape].members
    return 200, headers, msgspec.json.encode(json_values.write_members(model, members, output))
