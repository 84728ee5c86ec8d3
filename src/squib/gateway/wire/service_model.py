"""A service's model: its operations, shapes and routes, decoded from the JSON file that botocore ships.

Only what the wire needs is kept; documentation is skipped while decoding, which makes a model about a tenth
of what botocore holds in memory. The file is read elsewhere and passed in.
"""

import copy
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import msgspec

from squib.gateway.wire.amendments import AMENDMENTS


class Ref(msgspec.Struct, frozen=True, rename="camel"):
    """The use of a shape by a member, a list or a map."""

    shape: str
    location: str | None = None
    """`uri`, `querystring`, `header`, `headers` or `statusCode`; None is the body."""
    location_name: str | None = None
    flattened: bool = False
    timestamp_format: str | None = None


class ErrorTrait(msgspec.Struct, frozen=True, rename="camel"):
    """How an exception shape answers."""

    code: str | None = None
    http_status_code: int | None = None


class Shape(msgspec.Struct, frozen=True, rename="camel"):
    """One shape. Which fields mean something depends on `type`, as in the model file."""

    type: str
    members: Mapping[str, Ref] = {}
    required: tuple[str, ...] = ()
    member: Ref | None = None
    key: Ref | None = None
    value: Ref | None = None
    min: float | None = None
    max: float | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    payload: str | None = None
    flattened: bool = False
    sensitive: bool = False
    eventstream: bool = False
    timestamp_format: str | None = None
    error: ErrorTrait = ErrorTrait()
    null_members: bool = False
    """Not in model files: error texts of the list's members do not end in `Member must not be null`."""


class Http(msgspec.Struct, frozen=True, rename="camel"):
    """The HTTP binding of an operation."""

    method: str = "POST"
    request_uri: str = "/"
    response_code: int = 200


class Output(msgspec.Struct, frozen=True, rename="camel"):
    """The output of an operation."""

    shape: str
    result_wrapper: str | None = None


class Operation(msgspec.Struct, frozen=True):
    """One operation."""

    name: str
    http: Http = Http()
    input: Ref | None = None
    output: Output | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What the model says of its service."""

    protocol: str
    """`rest-json`, `query`, `json` or `smithy-rpc-v2-cbor`: the one preferred, where there are several."""
    api_version: str
    target_prefix: str = ""
    json_version: str = "1.1"
    xml_namespace: str = ""
    aws_query_compatible: dict[str, object] | None = None
    """There when the query protocol is spoken beside this one."""


class _File(msgspec.Struct, frozen=True):
    metadata: Metadata
    operations: dict[str, Operation]
    shapes: dict[str, Shape]


def _amended(shape: Shape, changes: Mapping[str, Any]) -> Shape:
    """The shape with changed fields; a list's `member` is given as the name of a shape."""
    member = changes.get("member")
    named = {} if member is None else {"member": Ref(member)}
    return msgspec.structs.replace(shape, **{**changes, **named})


class ServiceModel:
    """A decoded model. Immutable but for what it computes once: routes and patterns."""

    def __init__(self, service: str, raw: bytes) -> None:
        """`raw` is the JSON of `service-2.json`. Raises msgspec.DecodeError."""
        file = msgspec.json.decode(raw, type=_File)
        self.service = service
        self.metadata = file.metadata
        self.operations: Mapping[str, Operation] = file.operations
        self.shapes: Mapping[str, Shape] = file.shapes | {
            name: _amended(file.shapes[name], changes)
            for name, changes in AMENDMENTS.get(service, {}).items()
            if name in file.shapes
        }
        self._patterns: dict[str, re.Pattern[str]] = {}

    def changed(
        self, *, metadata: Metadata, operations: Mapping[str, Operation], shapes: Mapping[str, Shape]
    ) -> "ServiceModel":
        """The same service in other words."""
        model = copy.copy(self)
        model.metadata, model.operations, model.shapes = metadata, operations, shapes
        return model

    @cached_property
    def routes(self) -> "Routes":
        """The routes of a rest-json service."""
        return Routes(self.operations)

    def input_shape(self, operation: str) -> str | None:
        """The name of an operation's input shape; None when it takes nothing."""
        ref = self.operations[operation].input
        return None if ref is None else ref.shape

    def matches(self, pattern: str, text: str) -> bool:
        """Whether `text` as a whole satisfies a pattern of the model."""
        compiled = self._patterns.get(pattern)
        if compiled is None:
            compiled = self._patterns[pattern] = compile_pattern(pattern)
        return compiled.fullmatch(text) is not None


_LETTERS = (
    r"\w"  # of Python: letters, numbers and the underscore, which each model pattern lists beside \p{L}
)
_SEPARATORS = "\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""A pattern of Java's dialect in Python's. `\p{L}`, `\p{N}`, `\p{Z}` are the only classes models use."""
    if r"\p{" in pattern:
        text = pattern.replace(r"\p{L}", _LETTERS).replace(r"\p{N}", "").replace(r"\p{Z}", _SEPARATORS)
        return re.compile(text)
    return re.compile(pattern.replace(r"\w-_", r"\w\-_"), re.ASCII)


class _Node:
    __slots__ = ("label", "leaves", "literals")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.label: _Node | None = None
        self.leaves: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = []
        """(query pairs that must be there, operation, label names), most demanding first."""


class Routes:
    """Method and path to operation, as one walk down a tree of path segments; literals go before labels."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        """Raises ValueError for a greedy label, which none of the models served has."""
        self._methods: dict[str, _Node] = {}
        for name, operation in operations.items():
            self._add(name, operation.http)

    def _add(self, name: str, http: Http) -> None:
        path, _, query = http.request_uri.partition("?")
        if "+}" in path:
            raise ValueError(f"greedy label in {path}")
        node = self._methods.setdefault(http.method, _Node())
        labels = []
        for segment in path.rstrip("/").split("/"):
            if segment.startswith("{"):
                labels.append(segment[1:-1])
                node.label = node.label or _Node()
                node = node.label
            else:
                node = node.literals.setdefault(segment, _Node())
        demands = tuple(query.split("&")) if query else ()
        node.leaves.append((demands, name, tuple(labels)))
        node.leaves.sort(key=lambda leaf: -len(leaf[0]))

    def find(self, method: str, path: str, query: str) -> tuple[str, dict[str, str]] | None:
        """The operation and its labels, percent-decoded; None when nothing matches. Takes both as sent."""
        node = self._methods.get(method)
        if node is None:
            return None
        if path.endswith("/"):
            path = path[:-1]  # models of older SDKs end list paths with a slash; Lambda takes both
        values = []
        for segment in path.split("/"):
            following = node.literals.get(segment)
            if following is None:
                following = node.label
                if following is None or segment in ("", ".", ".."):  # signed by the path without them
                    return None
                values.append(unquote(segment))
            node = following
        pairs = query.split("&")
        for demands, operation, names in node.leaves:
            if all(demand in pairs for demand in demands):
                return operation, dict(zip(names, values, strict=True))
        return None
