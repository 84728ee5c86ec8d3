"""Filter patterns with fields, cut into tokens and read one by one. Pure."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from squib.model.errors import InvalidParameter

MAX_REGEXES: Final = 2
"""In one pattern: CloudWatch Logs user guide, "Supported regular expressions"."""
REGEX: Final = r"%(?P<regex>[^%]*)%"
"""The token of a regular expression, for the patterns that tell tokens apart."""


class Token(NamedTuple):
    """A part of a pattern: `kind` is `bare`, `quoted`, `regex`, or what the pattern's own syntax has."""

    kind: str
    text: str


END: Final = Token("end", "")
"""Behind the last one."""


def invalid_pattern() -> InvalidParameter:
    """The refusal of a pattern that can't be read."""
    return InvalidParameter("Invalid filter pattern")


def read_tokens(syntax: re.Pattern[str], pattern: str) -> Sequence[Token]:
    """The tokens of `pattern`; `syntax` matches one, each kind as a group of that name.

    Raises InvalidParameter, also for more regular expressions than a pattern may have."""
    found: list[Token] = []
    at = 0
    text = pattern.rstrip()
    while at < len(text):
        match = syntax.match(text, at)
        if match is None or match.lastgroup is None:
            raise invalid_pattern()
        found.append(Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    if sum(token.kind == "regex" for token in found) > MAX_REGEXES:
        raise InvalidParameter(f"A filter pattern can have no more than {MAX_REGEXES} regular expressions.")
    return found


class TokenReader:
    """A place among tokens. All that raise, raise InvalidParameter."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self) -> Token:
        """The token that comes next, or END."""
        return self._tokens[self._at] if self._at < len(self._tokens) else END

    def next(self) -> Token:
        """Takes a token, which there must be."""
        token = self.peek()
        if token is END:
            raise invalid_pattern()
        self._at += 1
        return token

    def accept(self, symbol: str) -> bool:
        """Takes this operator if it comes next."""
        if self.peek() != ("operator", symbol):
            return False
        self._at += 1
        return True

    def expect(self, symbol: str) -> None:
        """Takes this operator, which must come next."""
        if not self.accept(symbol):
            raise invalid_pattern()

    def end(self) -> None:
        """Nothing may be left."""
        if self.peek() is not END:
            raise invalid_pattern()
