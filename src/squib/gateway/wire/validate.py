"""The constraints of a service model, and the texts AWS refuses with.

Types are settled before, when the request is parsed. Every violation of an input is found, in the order of
the model's members; a string says pattern, then lengths, then enum (recorded answers).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from squib.gateway.wire.service_model import Ref, ServiceModel, Shape

_NOT_NULL = "Member must not be null"


def violations(model: ServiceModel, shape_name: str, value: Mapping[str, Any]) -> list[str]:
    """One text for each constraint of the structure `shape_name` that `value` violates; empty when valid."""
    return list(_structure(model, model.shapes[shape_name], value, ""))


def message(found: list[str]) -> str:
    """The error message for what `violations` found."""
    plural = "" if len(found) == 1 else "s"
    return f"{len(found)} validation error{plural} detected: {'; '.join(found)}"


def _structure(model: ServiceModel, shape: Shape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, ref in shape.members.items():
        member_path = f"{path}{name[:1].lower()}{name[1:]}"
        member = value.get(name)
        if member is not None:
            yield from _value(model, ref, member, member_path)
        elif name in shape.required:
            yield f"Value null at '{member_path}' failed to satisfy constraint: {_NOT_NULL}"


def _value(model: ServiceModel, ref: Ref, value: Any, path: str) -> Iterator[str]:
    shape = model.shapes[ref.shape]
    if shape.type == "structure":
        yield from _structure(model, shape, value, path + ".")
        return
    for constraint in _broken(model, shape, value):
        yield _text(shape, value, path, constraint)
    if shape.type == "list" and shape.member is not None:
        yield from _list(model, shape, shape.member, value, path)
    elif shape.type == "map" and shape.key is not None and shape.value is not None:
        yield from _map(model, shape, shape.key, shape.value, value, path)


def _list(model: ServiceModel, shape: Shape, ref: Ref, value: list[Any], path: str) -> Iterator[str]:
    member = model.shapes[ref.shape]
    if member.type in ("structure", "list", "map"):
        for position, item in enumerate(value, 1):
            item_path = f"{path}.{position}.member"
            if item is None:
                yield f"Value null at '{item_path}' failed to satisfy constraint: {_NOT_NULL}"
            else:
                yield from _value(model, ref, item, item_path)
    elif any(item is None or any(_broken(model, member, item)) for item in value):
        constraints = [*_all(member), *([] if shape.null_members else [_NOT_NULL])]
        yield _text(shape, value, path, f"Member must satisfy constraint: [{', '.join(constraints)}]")


def _map(
    model: ServiceModel, shape: Shape, key: Ref, item: Ref, value: Mapping[str, Any], path: str
) -> Iterator[str]:
    key_shape, item_shape = model.shapes[key.shape], model.shapes[item.shape]
    if any(any(_broken(model, key_shape, name)) for name in value):
        constraints = ", ".join(_all(key_shape))
        yield _text(shape, value, path, f"Map keys must satisfy constraint: [{constraints}]")
    if item_shape.type in ("structure", "list", "map"):
        for name, member in value.items():
            yield from _value(model, item, member, f"{path}.{name}.member")
    elif any(member is None or any(_broken(model, item_shape, member)) for member in value.values()):
        constraints = ", ".join([*_all(item_shape), _NOT_NULL])
        yield _text(shape, value, path, f"Map value must satisfy constraint: [{constraints}]")


def _broken(model: ServiceModel, shape: Shape, value: Any) -> Iterator[str]:
    """The constraints of this very shape that `value` violates."""
    if shape.type == "string":
        if shape.pattern is not None and not model.matches(shape.pattern, value):
            yield _pattern(shape)
        if shape.max is not None and len(value) > shape.max:
            yield _at_most(shape, shape.max)
        if shape.min is not None and len(value) < shape.min:
            yield _at_least(shape, shape.min)
        if shape.enum and value not in shape.enum:
            yield _enum(shape)
    elif shape.type in _COUNTED:
        if shape.max is not None and len(value) > shape.max:
            yield _at_most(shape, shape.max)
        if shape.min is not None and len(value) < shape.min:
            yield _at_least(shape, shape.min)
    elif shape.type in _NUMBERS:
        if shape.max is not None and value > shape.max:
            yield _at_most(shape, shape.max)
        if shape.min is not None and value < shape.min:
            yield _at_least(shape, shape.min)


def _all(shape: Shape) -> Iterator[str]:
    """Every constraint of a list's member, a map's key or value, broken or not."""
    if shape.max is not None:
        yield _at_most(shape, shape.max)
    if shape.min is not None:
        yield _at_least(shape, shape.min)
    if shape.pattern is not None:
        yield _pattern(shape)
    if shape.enum:
        yield _enum(shape)


_COUNTED = ("list", "map", "blob")
_NUMBERS = ("integer", "long", "float", "double")


def _at_most(shape: Shape, limit: float) -> str:
    return f"Member must have {_measure(shape)} less than or equal to {_number(shape, limit)}"


def _at_least(shape: Shape, limit: float) -> str:
    return f"Member must have {_measure(shape)} greater than or equal to {_number(shape, limit)}"


def _measure(shape: Shape) -> str:
    return "value" if shape.type in _NUMBERS else "length"


def _number(shape: Shape, limit: float) -> str:
    return str(float(limit)) if shape.type in ("float", "double") else str(int(limit))


def _pattern(shape: Shape) -> str:
    return f"Member must satisfy regular expression pattern: {shape.pattern}"


def _enum(shape: Shape) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _text(shape: Shape, value: Any, path: str, constraint: str) -> str:
    shown = "Value" if shape.sensitive else f"Value '{_shown(value)}'"
    return f"{shown} at '{path}' failed to satisfy constraint: {constraint}"


def _shown(value: Any) -> str:
    """A value as the services print it, which is how Java does."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case bytes():
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
        case datetime():
            return value.astimezone(UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
        case list():
            return f"[{', '.join(map(_shown, value))}]"
        case Mapping():
            return "{" + ", ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}"
        case _:
            return str(value)
