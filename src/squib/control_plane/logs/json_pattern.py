"""JSON filter patterns of CloudWatch Logs: `{ ($.level = "ERROR") && ($.ms > 10) }`. Pure.

Selectors are `$.a.b[0]`; comparisons are =, !=, <, <=, >, >= with a number, a quoted or a bare string in
which `*` stands for anything; further IS TRUE, IS FALSE, IS NULL, NOT EXISTS. `&&` binds tighter than `||`.
A message that is no JSON object or array does not match, nor a comparison with a field that is missing.
"""

import operator
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from squib.model.errors import InvalidParameter

_Test: TypeAlias = Callable[[object], bool]

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<selector>\$[^\s=!<>()&|{}]*)
      | (?P<operator>!=|<=|>=|=|<|>|&&|\|\||[(){}])
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<bare>[^\s"=!<>()&|{}]+)
    )""",
    re.VERBOSE,
)
_STEP: Final = re.compile(r"\.([\w@#:-]+)|\[(\d+)\]")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ORDER: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MAX_DEPTH: Final = 50  # squib's choice: parentheses within parentheses
_MISSING: Final = object()


class _Token(NamedTuple):
    kind: str
    text: str


def parse_json_pattern(pattern: str) -> Callable[[str], bool]:
    """Whether a message matches `pattern`, which starts with a brace. Raises InvalidParameter."""
    test = _Parser(_tokens(pattern)).pattern()

    def matches(message: str) -> bool:
        if message.lstrip()[:1] not in ("{", "["):
            return False
        try:
            document = msgspec.json.decode(message)
        except (msgspec.DecodeError, RecursionError):
            return False
        return test(document)

    return matches


def _tokens(pattern: str) -> Sequence[_Token]:
    found: list[_Token] = []
    at = 0
    text = pattern.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _invalid()
        found.append(_Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


class _Parser:
    """Recursive descent over the tokens: any, all, one, comparison."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def pattern(self) -> _Test:
        self._expect("{")
        test = self._any(0)
        self._expect("}")
        if self._at != len(self._tokens):
            raise _invalid()
        return test

    def _any(self, depth: int) -> _Test:
        tests = [self._all(depth)]
        while self._accept("||"):
            tests.append(self._all(depth))
        return tests[0] if len(tests) == 1 else lambda document: any(test(document) for test in tests)

    def _all(self, depth: int) -> _Test:
        tests = [self._one(depth)]
        while self._accept("&&"):
            tests.append(self._one(depth))
        return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)

    def _one(self, depth: int) -> _Test:
        if not self._accept("("):
            return self._comparison()
        if depth == _MAX_DEPTH:
            raise _invalid()
        test = self._any(depth + 1)
        self._expect(")")
        return test

    def _comparison(self) -> _Test:
        selector = self._next()
        if selector.kind != "selector":
            raise _invalid()
        steps = _steps(selector.text)
        verb = self._next()
        match verb.kind, verb.text.upper():
            case "bare", "IS":
                wanted = {"TRUE": True, "FALSE": False, "NULL": None}
                word = self._word()
                if word not in wanted:
                    raise _invalid()
                return lambda document: _select(document, steps) is wanted[word]
            case "bare", "NOT":
                if self._word() != "EXISTS":
                    raise _invalid()
                return lambda document: _select(document, steps) is _MISSING
            case "operator", symbol if symbol in _ORDER:
                order, number = _ORDER[symbol], self._value()
                if number.kind != "bare" or not _NUMBER.fullmatch(number.text):
                    raise _invalid()
                bound = float(number.text)
                return lambda document: (
                    (found := _number(_select(document, steps))) is not None and order(found, bound)
                )
            case "operator", "=" | "!=" as symbol:
                equals = _equality(self._value())
                if symbol == "=":
                    return lambda document: equals(_select(document, steps))
                return lambda document: (
                    (found := _select(document, steps)) is not _MISSING and not equals(found)
                )
        raise _invalid()

    def _next(self) -> _Token:
        if self._at == len(self._tokens):
            raise _invalid()
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, symbol: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("operator", symbol):
            self._at += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise _invalid()

    def _word(self) -> str:
        token = self._next()
        return token.text.upper() if token.kind == "bare" else ""

    def _value(self) -> _Token:
        token = self._next()
        if token.kind not in ("bare", "quoted"):
            raise _invalid()
        if token.kind == "bare" and token.text.startswith("%"):
            raise InvalidParameter("squib does not implement regular expressions in filter patterns yet.")
        return token


def _invalid() -> InvalidParameter:
    return InvalidParameter("Invalid filter pattern")


def _steps(selector: str) -> Sequence[str | int]:
    """`$.a.b[0]` -> ("a", "b", 0)."""
    found: list[str | int] = []
    at = 1
    while at < len(selector):
        match = _STEP.match(selector, at)
        if match is None:
            raise _invalid()
        found.append(match[1] if match[2] is None else int(match[2]))
        at = match.end()
    if not found:
        raise _invalid()
    return found


def _select(document: object, steps: Sequence[str | int]) -> object:
    for step in steps:
        if isinstance(step, str) and isinstance(document, dict):
            document = document.get(step, _MISSING)
        elif isinstance(step, int) and isinstance(document, list) and step < len(document):
            document = document[step]
        else:
            return _MISSING
    return document


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _equality(value: _Token) -> _Test:
    number = float(value.text) if value.kind == "bare" and _NUMBER.fullmatch(value.text) else None
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
