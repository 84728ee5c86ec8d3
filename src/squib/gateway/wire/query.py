"""The query protocol, of STS and IAM: a form (or query string) in, XML out."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_plus

from squib.gateway.wire import scalars
from squib.gateway.wire.rest_json import split_query
from squib.gateway.wire.service_model import Ref, ServiceModel
from squib.model.errors import PlatformError, SerializationException

CONTENT_TYPE: Final = "text/xml"
FORM: Final = "application/x-www-form-urlencoded"

_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#xD;"}
    | {chr(code): "\ufffd" for code in range(32) if chr(code) not in "\t\n\r"}
    | {"\ufffe": "\ufffd", "\uffff": "\ufffd"}
)

MAX_PARAMETERS: Final = 4_096  # our own choice: they are decoded before the caller is known
_MAX_DEPTH: Final = 32  # our own choice: no member of the models lies deeper, and a tree must end somewhere

_Tree: TypeAlias = dict[str, Any]
"""Parameters split at their dots; the value of a name is kept under the empty name."""


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether the body is a form."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def parameters(headers: Mapping[str, str], query: str, body: bytes) -> dict[str, str]:
    """Name to value, from the form if there is one, else from the query string. The last of a name counts.

    Raises SerializationException."""
    if max(query.count("&"), body.count(b"&")) >= MAX_PARAMETERS:
        raise SerializationException(f"The request has more than {MAX_PARAMETERS} parameters.")
    if not is_form(headers):
        return dict(split_query(query))
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise SerializationException("The request body is not UTF-8.") from None
    pairs = [pair.partition("=") for pair in text.split("&") if pair]
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}


def parse(model: ServiceModel, operation: str, given: Mapping[str, str]) -> dict[str, Any]:
    """The input of a request by member names. Raises SerializationException."""
    shape_name = model.input_shape(operation)
    if shape_name is None:
        return {}
    tree: _Tree = {}
    for name, value in given.items():
        parts = name.split(".", _MAX_DEPTH)
        if "" in parts:
            continue
        node = tree
        for part in parts:
            node = node.setdefault(part, {})
        node[""] = value
    return _members(model, model.shapes[shape_name].members, tree)


def _members(model: ServiceModel, members: Mapping[str, Ref], tree: _Tree) -> dict[str, Any]:
    found = {}
    for name, ref in members.items():
        node = tree.get(_wire_name(model, ref, name))
        if node is not None:
            found[name] = _read(model, ref, node)
    return found


def _wire_name(model: ServiceModel, ref: Ref, name: str) -> str:
    """A flattened list goes by the name of its member."""
    shape = model.shapes[ref.shape]
    if shape.flattened and shape.member is not None and shape.member.location_name:
        return shape.member.location_name
    return ref.location_name or name


def _read(model: ServiceModel, ref: Ref, node: _Tree) -> Any:
    shape = model.shapes[ref.shape]
    match shape.type:
        case "structure":
            return _members(model, shape.members, node)
        case "list" if shape.member is not None:
            member = shape.member
            items = node if shape.flattened else node.get(member.location_name or "member", {})
            return [_read(model, member, item) for item in _numbered(items)]
        case "map" if shape.key is not None and shape.value is not None:
            entries = node if shape.flattened else node.get("entry", {})
            key_name, value_name = shape.key.location_name or "key", shape.value.location_name or "value"
            if key_name in entries:  # one entry, not numbered: examples of the SQS reference
                entries = {"1": entries}
            return {
                _read(model, shape.key, entry.get(key_name, {})): _read(
                    model, shape.value, entry.get(value_name, {})
                )
                for entry in _numbered(entries)
            }
        case _:
            text = node.get("")
            if not isinstance(text, str):
                raise SerializationException("Start of structure or map found where not expected.")
            return scalars.read(shape, text)


def _numbered(items: _Tree) -> list[_Tree]:
    numbers = [name for name in items if name]
    if not all(name.isascii() and name.isdigit() for name in numbers):
        raise SerializationException("Key is not a number where the index of a list was expected.")
    return [items[name] for name in sorted(numbers, key=lambda name: (len(name), name))]


def serialize(
    model: ServiceModel, operation: str, output: Mapping[str, Any], request_id: str
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of an answer. Raises PlatformError for an unknown output member."""
    described = model.operations[operation].output
    parts: list[str] = []
    if described is not None:
        inner = "".join(_write_members(model, model.shapes[described.shape].members, output))
        wrapper = described.result_wrapper
        parts.append(f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner)
    elif output:
        raise PlatformError(f"{operation} has no output members")
    parts.append(f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>")
    text = (
        f'<{operation}Response xmlns="{model.metadata.xml_namespace}">{"".join(parts)}</{operation}Response>'
    )
    return 200, [("Content-Type", CONTENT_TYPE)], text.encode()


def escape(text: str) -> str:
    """Text as XML content; characters that XML cannot hold become U+FFFD."""
    return text.translate(_ESCAPES).encode("utf-8", "replace").decode()


def _write_members(
    model: ServiceModel, members: Mapping[str, Ref], value: Mapping[str, Any]
) -> Iterator[str]:
    for name, item in value.items():
        if item is not None:
            ref = members.get(name)
            if ref is None:
                raise PlatformError(f"{model.service} has no output member {name} here")
            yield from _write(model, ref, _wire_name(model, ref, name), item)


def _write(model: ServiceModel, ref: Ref, name: str, value: Any) -> Iterator[str]:
    shape = model.shapes[ref.shape]
    match shape.type:
        case "structure":
            inner = "".join(_write_members(model, shape.members, value))
        case "list" if shape.member is not None:
            item_name = name if shape.flattened else shape.member.location_name or "member"
            inner = "".join(part for item in value for part in _write(model, shape.member, item_name, item))
            if shape.flattened:
                yield inner
                return
        case "map" if shape.key is not None and shape.value is not None:
            inner = "".join(
                _entries(model, name if shape.flattened else "entry", shape.key, shape.value, value)
            )
            if shape.flattened:
                yield inner
                return
        case _:
            chosen = ref.timestamp_format or shape.timestamp_format or scalars.ISO_8601
            inner = escape(scalars.write(shape, value, chosen))
    yield f"<{name}>{inner}</{name}>"


def _entries(model: ServiceModel, name: str, key: Ref, item: Ref, value: Mapping[str, Any]) -> Iterator[str]:
    for entry_key, entry_value in value.items():
        inner = "".join(
            [
                *_write(model, key, key.location_name or "key", entry_key),
                *_write(model, item, item.location_name or "value", entry_value),
            ]
        )
        yield f"<{name}>{inner}</{name}>"
