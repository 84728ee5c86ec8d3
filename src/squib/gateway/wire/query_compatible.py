"""SQS in the query protocol.

Its published model is of the JSON protocol, which took the query protocol's place in 2023 and left it spoken
(`awsQueryCompatible`). What the model no longer says is here: the names of parameters and XML elements, and
the codes of errors (API reference of that protocol).
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from squib.gateway.wire.service_model import Operation, Ref, ServiceModel, Shape

_NAMESPACE: Final = "http://queue.amazonaws.com/doc/2012-11-05/"

_MEMBERS: Final = {
    "Attributes": "Attribute",
    "tags": "Tag",
    "Tags": "Tag",
    "MessageAttributes": "MessageAttribute",
    "MessageSystemAttributes": "MessageSystemAttribute",
}
_LISTS: Final = {
    "AWSAccountIdList": "AWSAccountId",
    "ActionNameList": "ActionName",
    "AttributeNameList": "AttributeName",
    "BinaryList": "BinaryListValue",
    "MessageAttributeNameList": "MessageAttributeName",
    "MessageList": "Message",
    "MessageSystemAttributeList": "MessageSystemAttributeName",
    "QueueUrlList": "QueueUrl",
    "StringList": "StringListValue",
    "TagKeyList": "TagKey",
}
"""Lists of entries are not here: they go by the name of their shape, without `List`."""

_ERRORS: Final[Mapping[str, tuple[str, int]]] = {
    **{
        name: (f"AWS.SimpleQueueService.{code}", status)
        for name, code, status in (
            ("BatchEntryIdsNotDistinct", "BatchEntryIdsNotDistinct", 400),
            ("BatchRequestTooLong", "BatchRequestTooLong", 400),
            ("EmptyBatchRequest", "EmptyBatchRequest", 400),
            ("InvalidBatchEntryId", "InvalidBatchEntryId", 400),
            ("MessageNotInflight", "MessageNotInflight", 400),
            ("PurgeQueueInProgress", "PurgeQueueInProgress", 403),
            ("QueueDeletedRecently", "QueueDeletedRecently", 400),
            ("QueueDoesNotExist", "NonExistentQueue", 400),
            ("TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest", 400),
            ("UnsupportedOperation", "UnsupportedOperation", 400),
        )
    },
    "QueueNameExists": ("QueueAlreadyExists", 400),
    "UnknownOperationException": ("InvalidAction", 400),
    "AccessDeniedException": ("AccessDenied", 403),
    "ValidationException": ("InvalidParameterValue", 400),
    "SerializationException": ("MalformedInput", 400),
}
_CORAL: Final = {
    "InvalidParameterValue": "InvalidParameterValueException",
    "MissingParameter": "MissingRequiredParameterException",
    "ValidationException": "InvalidParameterValueException",
}
"""Errors that the model does not list, by their name in the JSON protocol."""


def query_error(code: str) -> tuple[str, int] | None:
    """What the query protocol calls an error, and its status there, where both are not the same."""
    return _ERRORS.get(code)


def json_type(model: ServiceModel, code: str) -> str:
    """The `__type` of an error in the JSON protocol."""
    if code in model.shapes:
        return f"com.amazonaws.{model.service}#{code}"
    return f"com.amazon.coral.service#{_CORAL.get(code, code)}"


def as_query(model: ServiceModel) -> ServiceModel:
    """The model in the names of the query protocol."""
    operations = {name: _wrapped(name, operation) for name, operation in model.operations.items()}
    shapes = {name: _named(name, shape) for name, shape in model.shapes.items()}
    metadata = replace(model.metadata, protocol="query", xml_namespace=_NAMESPACE)
    return model.changed(metadata=metadata, operations=operations, shapes=shapes)


def _wrapped(name: str, operation: Operation) -> Operation:
    output = operation.output
    if output is None:
        return operation
    return replace(operation, output=replace(output, result_wrapper=f"{name}Result"))


def _named(name: str, shape: Shape) -> Shape:
    if shape.type == "list" and shape.member is not None:
        member = replace(shape.member, location_name=_LISTS.get(name, name.removesuffix("List")))
        return replace(shape, member=member, flattened=True)
    if shape.type == "map" and shape.key is not None and shape.value is not None:
        key_name = "Key" if name == "TagMap" else "Name"
        return replace(
            shape,
            key=replace(shape.key, location_name=key_name),
            value=replace(shape.value, location_name="Value"),
        )
    members: dict[str, Ref] = {
        member: replace(ref, location_name=_MEMBERS.get(member, ref.location_name))
        for member, ref in shape.members.items()
    }
    return replace(shape, members=members)
