"""What a value in a filter pattern says of a value found in a message. Pure.

A value is a number, a quoted or a bare text in which `*` stands for anything, or a regular expression between
percent signs.
"""

import operator
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from squib.control_plane.logs.regex import Regex
from squib.control_plane.logs.tokens import Token

Test: TypeAlias = Callable[[object], bool]

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ORDER: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def comparison(symbol: str, value: Token) -> Test | None:
    """What `symbol value` says of a value found: a number, a text, a boolean; None for no such comparison."""
    if value.kind not in ("bare", "quoted", "regex"):
        return None
    if symbol in _ORDER:
        if value.kind != "bare" or not _NUMBER.fullmatch(value.text):
            return None
        order, bound = _ORDER[symbol], float(value.text)
        return lambda found: (number := _number(found)) is not None and order(number, bound)
    equals = _matching(value) if value.kind == "regex" else _equality(value)
    if symbol == "=":
        return equals
    return (lambda found: not equals(found)) if symbol == "!=" else None


def as_number(text: str) -> float | None:
    """The number that a text is, if it is one."""
    return float(text) if _NUMBER.fullmatch(text) else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _matching(value: Token) -> Test:
    regex = Regex(value.text)

    def matches(found: object) -> bool:
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            return False
        return regex.finds(str(found))

    return matches


def _equality(value: Token) -> Test:
    number = as_number(value.text) if value.kind == "bare" else None
    text = re.sub(r"\\(.)", r"\1", value.text) if value.kind == "quoted" else value.text
    pieces = text.split("*")

    def equals(found: object) -> bool:
        if isinstance(found, bool):
            return pieces == ["true" if found else "false"]
        if isinstance(found, int | float):
            return found == number
        return isinstance(found, str) and _matches_pieces(found, pieces)

    return equals


def _matches_pieces(text: str, pieces: Sequence[str]) -> bool:
    """Whether `text` is the pieces in order with anything between them."""
    if len(pieces) == 1:
        return text == pieces[0]
    first, *middle, last = pieces
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
