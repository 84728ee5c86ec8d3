"""Space-delimited filter patterns of CloudWatch Logs: `[ip, user, ..., status = 4*, bytes > 1000]`. Pure.

A message is cut at white space, but not between square brackets or double quotes, and has as many fields as
the pattern; `...` stands for any number of them. A field of the pattern has a name, or comparisons of that
name joined by `&&`, which binds tighter, and `||`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from squib.control_plane.logs.comparison import Test, as_number, comparison
from squib.control_plane.logs.tokens import REGEX, Token, TokenReader, invalid_pattern, read_tokens

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


def parse_fields_pattern(pattern: str) -> Callable[[str], bool]:
    """Whether a message matches `pattern`, which starts with a bracket. Raises InvalidParameter."""
    before, behind = _Parser(read_tokens(_TOKEN, pattern)).pattern()
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


class _Parser(TokenReader):
    """Reads fields, each any of all of comparisons."""

    def pattern(self) -> tuple[Sequence[Test], Sequence[Test] | None]:
        """The tests of the fields before the ellipsis, and of those behind it; None without one."""
        self.expect("[")
        parts: list[list[Test]] = [[]]
        while True:
            if self.peek().kind == "ellipsis":
                self.next()
                parts.append([])
            else:
                parts[-1].append(self._field())
            if not self.accept(","):
                break
        self.expect("]")
        self.end()
        if len(parts) > 2:
            raise invalid_pattern()
        return parts[0], parts[1] if len(parts) == 2 else None

    def _field(self) -> Test:
        name = self.peek()
        if name.kind != "bare":
            return _anything  # a field without a name
        tests = [self._every(name.text)]
        while self.accept("||"):
            tests.append(self._every(name.text))
        return tests[0] if len(tests) == 1 else lambda field: any(test(field) for test in tests)

    def _every(self, name: str) -> Test:
        tests = [self._one(name)]
        while self.accept("&&"):
            tests.append(self._one(name))
        return tests[0] if len(tests) == 1 else lambda field: all(test(field) for test in tests)

    def _one(self, name: str) -> Test:
        token = self.next()
        if token != Token("bare", name) or not _NAME.fullmatch(name):
            raise invalid_pattern()
        symbol = self.peek()
        if symbol.kind != "operator" or symbol.text in (",", "]", "[", "&&", "||"):
            return _anything
        self.next()
        test = comparison(symbol.text, self.next())
        if test is None:
            raise invalid_pattern()
        if symbol.text in ("=", "!="):
            return test
        return lambda field: test(as_number(str(field)))


def _anything(_: object) -> bool:
    return True
