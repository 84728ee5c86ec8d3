"""JSON filter patterns of CloudWatch Logs: `{ ($.level = "ERROR") && ($.ms > 10) }`. Pure.

Selectors are `$.a.b[0]`; comparisons are =, !=, <, <=, >, >= with a value (comparison); further IS TRUE,
IS FALSE, IS NULL, NOT EXISTS. `&&` binds tighter than `||`.
A message that is no JSON object or array does not match, nor a comparison with a field that is missing.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from squib.control_plane.logs.comparison import (
    REGEX,
    Test,
    Token,
    check_regexes,
    comparison,
    invalid_pattern,
)

_TOKEN: Final = re.compile(
    rf"""\s*(?:
        {REGEX}
      | (?P<selector>\$[^\s=!<>()&|{{}}]*)
      | (?P<operator>!=|<=|>=|=|<|>|&&|\|\||[(){{}}])
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<bare>[^\s"%=!<>()&|{{}}][^\s"=!<>()&|{{}}]*)
    )""",
    re.VERBOSE,
)
_STEP: Final = re.compile(r"\.([\w@#:-]+)|\[(\d+)\]")
_MAX_DEPTH: Final = 50  # squib's choice: parentheses within parentheses
_MISSING: Final = object()


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


def _tokens(pattern: str) -> Sequence[Token]:
    found: list[Token] = []
    at = 0
    text = pattern.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise invalid_pattern()
        found.append(Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    check_regexes(found)
    return found


class _Parser:
    """Recursive descent over the tokens: any, all, one, comparison."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def pattern(self) -> Test:
        self._expect("{")
        test = self._any(0)
        self._expect("}")
        if self._at != len(self._tokens):
            raise invalid_pattern()
        return test

    def _any(self, depth: int) -> Test:
        tests = [self._all(depth)]
        while self._accept("||"):
            tests.append(self._all(depth))
        return tests[0] if len(tests) == 1 else lambda document: any(test(document) for test in tests)

    def _all(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self._accept("&&"):
            tests.append(self._one(depth))
        return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)

    def _one(self, depth: int) -> Test:
        if not self._accept("("):
            return self._comparison()
        if depth == _MAX_DEPTH:
            raise invalid_pattern()
        test = self._any(depth + 1)
        self._expect(")")
        return test

    def _comparison(self) -> Test:
        selector = self._next()
        if selector.kind != "selector":
            raise invalid_pattern()
        steps = _steps(selector.text)
        verb = self._next()
        match verb.kind, verb.text.upper():
            case "bare", "IS":
                wanted = {"TRUE": True, "FALSE": False, "NULL": None}
                word = self._word()
                if word not in wanted:
                    raise invalid_pattern()
                return lambda document: _select(document, steps) is wanted[word]
            case "bare", "NOT":
                if self._word() != "EXISTS":
                    raise invalid_pattern()
                return lambda document: _select(document, steps) is _MISSING
            case "operator", symbol:
                test = comparison(symbol, self._next())
                if test is None:
                    raise invalid_pattern()
                return lambda document: (found := _select(document, steps)) is not _MISSING and test(found)
        raise invalid_pattern()

    def _next(self) -> Token:
        if self._at == len(self._tokens):
            raise invalid_pattern()
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, symbol: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("operator", symbol):
            self._at += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise invalid_pattern()

    def _word(self) -> str:
        token = self._next()
        return token.text.upper() if token.kind == "bare" else ""


def _steps(selector: str) -> Sequence[str | int]:
    """`$.a.b[0]` -> ("a", "b", 0)."""
    found: list[str | int] = []
    at = 1
    while at < len(selector):
        match = _STEP.match(selector, at)
        if match is None:
            raise invalid_pattern()
        found.append(match[1] if match[2] is None else int(match[2]))
        at = match.end()
    if not found:
        raise invalid_pattern()
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
