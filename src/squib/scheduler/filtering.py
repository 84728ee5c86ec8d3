"""Filter patterns of event source mappings: their grammar and what they match. Pure.

A pattern is a JSON object of the shape of a record. Its leaves are lists of alternatives, plain values or
objects of one operator (Lambda developer guide, "Event filtering"). Where a record has a list, one element
that matches is enough, and `exists` looks at leaves only.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

Test: TypeAlias = Callable[[Any], bool]
"""Of one value of a record; ABSENT where there is none."""

ABSENT: Final = object()
_OR: Final = "$or"
_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


class InvalidFilter(ValueError):
    """A text that is no filter pattern."""


class Filter:
    """One pattern, compiled."""

    __slots__ = ("_test", "keys")

    def __init__(self, text: str) -> None:
        """Raises InvalidFilter."""
        try:
            pattern = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidFilter(text) from error
        if not isinstance(pattern, dict) or not pattern:
            raise InvalidFilter(text)
        self._test = _object(pattern)
        self.keys: Mapping[str, Any] = pattern
        """The pattern itself."""

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether the record is wanted."""
        return self._test(record)


class Filters:
    """All patterns of one mapping: any of them may match. Without one everything is wanted."""

    __slots__ = ("_data_key", "_filters")

    def __init__(self, patterns: Iterable[str], *, data_key: str) -> None:
        """`data_key` names what holds the sender's own data in a record (`body`, `data`)."""
        self._filters = [Filter(pattern) for pattern in patterns]
        self._data_key = data_key

    def __bool__(self) -> bool:
        return bool(self._filters)

    def wants(self, record: Mapping[str, Any], data: str | None) -> bool:
        """`data` is the sender's own, as text (None: it is no text): JSON matches only patterns for JSON, and
        plain text only those for plain text."""
        if not self._filters:
            return True
        found = _parsed(data)
        return any(one.matches({**record, self._data_key: found}) for one in self._filters)

    def wants_whole(self, record: Mapping[str, Any]) -> bool:
        """Likewise for a record that has no such part."""
        return not self._filters or any(one.matches(record) for one in self._filters)


def _parsed(data: str | None) -> Any:
    if data is None:
        return ABSENT
    if data.lstrip()[:1] in ("{", "["):
        try:
            return msgspec.json.decode(data)
        except (msgspec.MsgspecError, RecursionError):
            pass
    return data


def _object(pattern: Mapping[str, Any]) -> Test:
    tests: list[tuple[str, Test]] = []
    either: list[Test] = []
    for name, value in pattern.items():
        if name == _OR and isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            if len(value) < 2 or not all(value):
                raise InvalidFilter(name)
            either = [_object(one) for one in value]
        elif isinstance(value, dict):
            if not value:
                raise InvalidFilter(name)
            tests.append((name, _nested(_object(value))))
        elif isinstance(value, list) and value:
            tests.append((name, _leaf([_alternative(one) for one in value])))
        else:
            raise InvalidFilter(name)

    def test(record: Any) -> bool:
        """What is no object has no members."""
        members = record if isinstance(record, Mapping) else {}
        if not all(one(members.get(name, ABSENT)) for name, one in tests):
            return False
        return not either or any(one(record) for one in either)

    return test


def _nested(test: Test) -> Test:
    def of(value: Any) -> bool:
        if isinstance(value, list):
            return any(test(one) for one in value)
        return test(value)

    return of


def _leaf(alternatives: list[Test]) -> Test:
    def of(value: Any) -> bool:
        if isinstance(value, dict):  # no leaf: as if it were not there
            value = ABSENT
        if isinstance(value, list) and value:
            return any(one(element) for element in value for one in alternatives)
        return any(one(value) for one in alternatives)

    return of


def _alternative(rule: Any) -> Test:
    if isinstance(rule, list):
        raise InvalidFilter("list")
    if not isinstance(rule, dict):
        return _equals(rule)
    if len(rule) != 1:
        raise InvalidFilter("operators")
    [(operator, operand)] = rule.items()
    match operator:
        case "exists" if isinstance(operand, bool):
            return lambda value: (value is not ABSENT) is operand
        case "anything-but":
            return _anything_but(operand)
        case "numeric":
            return _numeric(operand)
        case "cidr" if isinstance(operand, str):
            return _cidr(operand)
        case _:
            return _text(operator, operand)


def _equals(wanted: Any) -> Test:
    if isinstance(wanted, bool) or wanted is None:
        return lambda value: value is wanted
    if isinstance(wanted, int | float):
        return lambda value: _is_number(value) and bool(value == wanted)
    return lambda value: isinstance(value, str) and value == wanted


def _text(operator: str, operand: Any) -> Test:
    """An operator on text."""
    ignores_case = False
    if operator in ("prefix", "suffix") and isinstance(operand, dict):
        if operand.keys() != {"equals-ignore-case"}:
            raise InvalidFilter(operator)
        operand, ignores_case = operand["equals-ignore-case"], True
    if not isinstance(operand, str):
        raise InvalidFilter(operator)
    wanted: str = operand.casefold() if ignores_case or operator == "equals-ignore-case" else operand
    match operator:
        case "prefix":
            return lambda value: isinstance(value, str) and _fold(value, ignores_case).startswith(wanted)
        case "suffix":
            return lambda value: isinstance(value, str) and _fold(value, ignores_case).endswith(wanted)
        case "equals-ignore-case":
            return lambda value: isinstance(value, str) and value.casefold() == wanted
        case "wildcard":
            parts = wanted.split("*")
            return lambda value: isinstance(value, str) and _has_in_order(value, parts)
        case _:
            raise InvalidFilter(operator)


def _has_in_order(value: str, parts: list[str]) -> bool:
    """Whether a text is these parts with anything between them; in time that grows with its length only."""
    first, *middle = parts
    if not middle:
        return value == first
    last = middle.pop()
    at, end = len(first), len(value) - len(last)
    if at > end or not value.startswith(first) or not value.endswith(last):
        return False
    for part in middle:
        at = value.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _fold(value: str, ignores_case: bool) -> str:
    return value.casefold() if ignores_case else value


def _anything_but(operand: Any) -> Test:
    """What is not there matches no exclusion either."""
    if isinstance(operand, dict):
        if len(operand) != 1:
            raise InvalidFilter("anything-but")
        [(operator, values)] = operand.items()
        if operator not in ("prefix", "suffix", "equals-ignore-case", "wildcard"):
            raise InvalidFilter(operator)
        tests = [_text(operator, one) for one in _texts(values)]
    else:
        values = operand if isinstance(operand, list) else [operand]
        if not values or not all(isinstance(one, str | int | float) for one in values):
            raise InvalidFilter("anything-but")
        tests = [_equals(one) for one in values]
    return lambda value: value is not ABSENT and not any(test(value) for test in tests)


def _texts(operand: Any) -> list[str]:
    values = operand if isinstance(operand, list) else [operand]
    if not values or not all(isinstance(one, str) for one in values):
        raise InvalidFilter("anything-but")
    return values


def _numeric(operand: Any) -> Test:
    """`["=", 1]`, or one or two bounds as in `[">", 0, "<=", 5]`."""
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        raise InvalidFilter("numeric")
    names, bounds = operand[::2], operand[1::2]
    if not all(isinstance(name, str) and name in _COMPARISONS for name in names):
        raise InvalidFilter("numeric")
    if not all(_is_number(bound) for bound in bounds):
        raise InvalidFilter("numeric")
    is_range = len(names) == 2
    if is_range and not (names[0] in (">", ">=") and names[1] in ("<", "<=") and bounds[0] < bounds[1]):
        raise InvalidFilter("numeric")
    tests = [(_COMPARISONS[name], bound) for name, bound in zip(names, bounds, strict=True)]
    return lambda value: _is_number(value) and all(test(value, bound) for test, bound in tests)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cidr(operand: str) -> Test:
    try:
        network = ipaddress.ip_network(operand, strict=False)
    except ValueError as error:
        raise InvalidFilter("cidr") from error

    def of(value: Any) -> bool:
        try:
            return isinstance(value, str) and ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return of
