"""Space-delimited filter patterns of CloudWatch Logs: `[ip, user, ..., status = 4*, bytes > 1000]`. Pure.

A message is cut at white space, but not between square brackets or double quotes, and has as many fields as
the pattern; `...` stands for any number of them. A field of the pattern has a name, or comparisons of that
name joined by `&&`, which binds tighter, and `||`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from squib.control_plane.logs.comparison import (
    REGEX,
    Test,
    Token,
    as_number,
    check_regexes,
    comparison,
    invalid_pattern,
)

_TOKEN: Final = re.compile(
    rf"""\s*(?:
        {REGEX}
      | (?P<ellipsis>\.\.\.)
      | (?P<operator>!=|<=|>=|=|<|>|&&|\|\||[\[\],])
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<bare>[^\s"%=!<>&|,\[\]][^\s"=!<>&|,\[\]]*)
    )""",
    re.VERBOSE,
)
_NAME: Final = re.compile(r"[\w-]+")
_FIELD: Final = re.compile(r'\[([^\]]*)\]|"([^"]*)"|(\S+)')
_NOTHING: Final = Token("operator", "")


def parse_fields_pattern(pattern: str) -> Callable[[str], bool]:
    """Whether a message matches `pattern`, which starts with a bracket. Raises InvalidParameter."""
    before, behind = _Parser(pattern).pattern()
    least = len(before) + len(behind or ())

    def matches(message: str) -> bool:
        fields = [first or second or third for first, second, third in _FIELD.findall(message)]
        if behind is None:
            return len(fields) == least and _all(before, fields)
        return (
            len(fields) >= least
            and _all(before, fields[: len(before)])
            and _all(behind, fields[len(fields) - len(behind) :])
        )

    return matches


def _all(tests: Sequence[Test], fields: Sequence[str]) -> bool:
    return all(test(field) for test, field in zip(tests, fields, strict=True))


class _Parser:
    """Reads the tokens: fields, each any of all of comparisons."""

    def __init__(self, pattern: str) -> None:
        self._tokens: list[Token] = []
        at = 0
        text = pattern.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise invalid_pattern()
            self._tokens.append(Token(match.lastgroup, match[match.lastgroup]))
            at = match.end()
        check_regexes(self._tokens)
        self._at = 0

    def pattern(self) -> tuple[Sequence[Test], Sequence[Test] | None]:
        """The tests of the fields before the ellipsis, and of those behind it; None without one."""
        self._expect("[")
        parts: list[list[Test]] = [[]]
        while True:
            if self._peek().kind == "ellipsis":
                self._at += 1
                parts.append([])
            else:
                parts[-1].append(self._field())
            if not self._accept(","):
                break
        self._expect("]")
        if self._at != len(self._tokens) or len(parts) > 2:
            raise invalid_pattern()
        return parts[0], parts[1] if len(parts) == 2 else None

    def _field(self) -> Test:
        name = self._peek()
        if name.kind != "bare":
            return _anything  # a field without a name
        tests = [self._every(name.text)]
        while self._accept("||"):
            tests.append(self._every(name.text))
        return tests[0] if len(tests) == 1 else lambda field: any(test(field) for test in tests)

    def _every(self, name: str) -> Test:
        tests = [self._one(name)]
        while self._accept("&&"):
            tests.append(self._one(name))
        return tests[0] if len(tests) == 1 else lambda field: all(test(field) for test in tests)

    def _one(self, name: str) -> Test:
        token = self._next()
        if token != Token("bare", name) or not _NAME.fullmatch(name):
            raise invalid_pattern()
        symbol = self._peek()
        if symbol.kind != "operator" or symbol.text in ("", ",", "]", "[", "&&", "||"):
            return _anything
        self._at += 1
        test = comparison(symbol.text, self._next())
        if test is None:
            raise invalid_pattern()
        if symbol.text in ("=", "!="):
            return test
        return lambda field: test(as_number(str(field)))

    def _peek(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _NOTHING

    def _next(self) -> Token:
        self._at += 1
        if self._at > len(self._tokens):
            raise invalid_pattern()
        return self._tokens[self._at - 1]

    def _accept(self, symbol: str) -> bool:
        if self._peek() == ("operator", symbol):
            self._at += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise invalid_pattern()


def _anything(_: object) -> bool:
    return True
