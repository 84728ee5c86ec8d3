"""JSON filter patterns of CloudWatch Logs: `{ ($.level = "ERROR") && ($.ms > 10) }`. Pure.

Selectors are `$.a.b[0]`; comparisons are =, !=, <, <=, >, >= with a value (comparison); further IS TRUE,
IS FALSE, IS NULL, NOT EXISTS. `&&` binds tighter than `||`.
A message that is no JSON object or array does not match, nor a comparison with a field that is missing.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from squib.control_plane.logs.comparison import Test, comparison
from squib.control_plane.logs.tokens import REGEX, TokenReader, invalid_pattern, read_tokens

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
    test = _Parser(read_tokens(_TOKEN, pattern)).pattern()

    def matches(message: str) -> bool:
        if message.lstrip()[:1] not in ("{", "["):
            return False
        try:
            document = msgspec.json.decode(message)
        except (msgspec.DecodeError, RecursionError):
            return False
        return test(document)

    return matches


class _Parser(TokenReader):
    """Recursive descent over the tokens: any, all, one, comparison."""

    def pattern(self) -> Test:
        self.expect("{")
        test = self._any(0)
        self.expect("}")
        self.end()
        return test

    def _any(self, depth: int) -> Test:
        tests = [self._all(depth)]
        while self.accept("||"):
            tests.append(self._all(depth))
        return tests[0] if len(tests) == 1 else lambda document: any(test(document) for test in tests)

    def _all(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self.accept("&&"):
            tests.append(self._one(depth))
        return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)

    def _one(self, depth: int) -> Test:
        if not self.accept("("):
            return self._comparison()
        if depth == _MAX_DEPTH:
            raise invalid_pattern()
        test = self._any(depth + 1)
        self.expect(")")
        return test

    def _comparison(self) -> Test:
        selector = self.next()
        if selector.kind != "selector":
            raise invalid_pattern()
        steps = _steps(selector.text)
        verb = self.next()
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
                test = comparison(symbol, self.next())
                if test is None:
                    raise invalid_pattern()
                return lambda document: (found := _select(document, steps)) is not _MISSING and test(found)
        raise invalid_pattern()

    def _word(self) -> str:
        token = self.next()
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
