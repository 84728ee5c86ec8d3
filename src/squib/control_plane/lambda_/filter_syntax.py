"""Whether a filter pattern of an event source mapping is well-formed. Pure; matching is elsewhere.

A pattern is a JSON object. Its leaves are lists of alternatives: plain values, or objects of one operator.
"""

from typing import Any, Final

import msgspec

from squib.model.errors import InvalidParameterValue

_MAX_FILTERS: Final = 5  # Lambda developer guide, "Event filtering": five filters for one mapping
_OR: Final = "$or"
_NUMERIC: Final = ("=", "<", "<=", ">", ">=")


def check_filters(patterns: list[str]) -> None:
    """Raises InvalidParameterValue."""
    if len(patterns) > _MAX_FILTERS:
        raise InvalidParameterValue(
            f"The number of filters, {len(patterns)}, is greater than the limit of {_MAX_FILTERS}."
        )
    for pattern in patterns:
        try:
            parsed = msgspec.json.decode(pattern)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise _invalid() from error
        if not isinstance(parsed, dict) or not parsed or not _is_object(parsed):
            raise _invalid()


def _is_object(pattern: dict[str, Any]) -> bool:
    for name, value in pattern.items():
        if name == _OR and isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            if len(value) < 2 or not all(one and _is_object(one) for one in value):
                return False
        elif isinstance(value, dict):
            if not value or not _is_object(value):
                return False
        elif not (isinstance(value, list) and value and all(map(_is_alternative, value))):
            return False
    return True


def _is_alternative(value: Any) -> bool:
    if not isinstance(value, dict):
        return not isinstance(value, list)
    if len(value) != 1:
        return False
    [(operator, operand)] = value.items()
    match operator:
        case "exists":
            return isinstance(operand, bool)
        case "prefix" | "suffix":
            return _is_text_or_ignoring_case(operand)
        case "equals-ignore-case" | "wildcard" | "cidr":
            return isinstance(operand, str)
        case "anything-but":
            return _is_exclusion(operand)
        case "numeric":
            return _is_numeric(operand)
        case _:
            return False


def _is_text_or_ignoring_case(operand: Any) -> bool:
    if isinstance(operand, dict):
        return operand.keys() == {"equals-ignore-case"} and isinstance(operand["equals-ignore-case"], str)
    return isinstance(operand, str)


def _is_exclusion(operand: Any) -> bool:
    if isinstance(operand, dict):
        names = {"prefix", "suffix", "equals-ignore-case", "wildcard"}
        return len(operand) == 1 and operand.keys() <= names and _is_texts(*operand.values())
    values = operand if isinstance(operand, list) else [operand]
    return bool(values) and all(isinstance(one, str | int | float) for one in values)


def _is_texts(operand: Any) -> bool:
    values = operand if isinstance(operand, list) else [operand]
    return bool(values) and all(isinstance(one, str) for one in values)


def _is_numeric(operand: Any) -> bool:
    """`["=", 1]`, or one or two bounds as in `[">", 0, "<=", 5]`."""
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        return False
    comparisons, numbers = operand[::2], operand[1::2]
    if not all(comparison in _NUMERIC for comparison in comparisons):
        return False
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        return False
    if len(comparisons) == 1:
        return True
    return comparisons[0] in (">", ">=") and comparisons[1] in ("<", "<=") and numbers[0] < numbers[1]


def _invalid() -> InvalidParameterValue:
    return InvalidParameterValue("Invalid filter pattern definition.")
