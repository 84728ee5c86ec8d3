r"""X-Ray's filter expressions: read, and held against a trace. Pure.

    service(id(name: "thumbnail", type: "AWS::Lambda::Function")) { fault } AND responsetime > 0.5

What of the language is built: `ok`, `error`, `fault`, `throttle`, `partial`; `responsetime`, `duration`,
`http.status`; `http.url`, `http.method`, `http.useragent`, `http.clientip`, `user`, `resource.arn`;
`service()` with a name or an id, and a filter of its own; `annotation.NAME` and `annotation[NAME]`; AND, OR,
NOT, parentheses. The rest is refused by name (X-Ray developer guide, "Using filter expressions").
"""

import operator
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, NoReturn, TypeAlias

from squib.control_plane.xray.subject import ServiceName, Subject, Value
from squib.model.errors import UnsupportedParameter
from squib.model.trace_errors import InvalidTraceRequest

Test: TypeAlias = Callable[[Subject], bool]

MAX_CHARS: Final = 2_000  # squib's choice
_MAX_DEPTH: Final = 32  # squib's choice

_FLAGS: Final = frozenset({"ok", "error", "fault", "throttle", "partial"})
_NUMBERS: Final = frozenset({"responsetime", "duration", "http.status"})
_TEXTS: Final = frozenset(
    {"http.url", "http.method", "http.useragent", "http.clientip", "user", "resource.arn"}
)
_NOT_BUILT: Final = (
    *("edge", "group", "json", "rootcause", "inferred", "first", "last", "remote", "root", "index"),
    *("coverage", "name", "type", "message", "availabilityzone", "instance"),
)
_ORDER: Final[dict[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS: Final[dict[str, Callable[[str, str], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "CONTAINS": lambda text, part: part in text,
    "BEGINSWITH": str.startswith,
    "ENDSWITH": str.endswith,
}
_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*")
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_.-]*)
      | (?P<sign><=|>=|!=|[=<>!(){}\[\]:,])
    )""",
    re.VERBOSE,
)


class _Token(NamedTuple):
    kind: str
    text: str


_END: Final = _Token("end", "")


def read_filter(expression: str) -> Test:
    """The test that an expression means. Raises InvalidTraceRequest, UnsupportedParameter."""
    if len(expression) > MAX_CHARS:
        raise InvalidTraceRequest(f"The filter expression is longer than {MAX_CHARS} characters.")
    reading = _Reading(list(_tokens(expression)))
    test = reading.any_of()
    reading.end()
    return test


def _tokens(expression: str) -> Iterator[_Token]:
    at, text = 0, expression.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise InvalidTraceRequest(f"Invalid filter expression at character {at}.")
        at = found.end()
        yield _Token(found.lastgroup or "", found[found.lastgroup or 0])


class _Reading:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0

    def end(self) -> None:
        """Nothing is left."""
        if self._peek() is not _END:
            self._refuse()

    def any_of(self) -> Test:
        """Terms with OR between them."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise InvalidTraceRequest("The filter expression is nested too deeply.")
        tests = [self._all_of()]
        while self._take_word("OR"):
            tests.append(self._all_of())
        self._depth -= 1
        return tests[0] if len(tests) == 1 else lambda subject: any(test(subject) for test in tests)

    def _all_of(self) -> Test:
        tests = [self._one()]
        while self._take_word("AND"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda subject: all(test(subject) for test in tests)

    def _one(self) -> Test:
        is_negated = False
        while self._take_word("NOT") or self._take("!"):
            is_negated = not is_negated
        if self._take("("):
            test = self.any_of()
            self._expect(")")
        else:
            test = self._keyword()
        return (lambda subject: not test(subject)) if is_negated else test

    def _keyword(self) -> Test:
        token = self._next()
        if token.kind != "word":
            self._refuse()
        name = token.text
        word = name.lower()
        if word == "service":
            return self._service()
        if word == "annotation" or word.startswith("annotation."):
            return self._annotation(name)
        if word in _FLAGS:
            return self._flag(word)
        if word in _NUMBERS:
            return self._number(word)
        if word in _TEXTS:
            return self._text(word)
        if word.partition(".")[0] in _NOT_BUILT:
            raise UnsupportedParameter("GetTraceSummaries", f"FilterExpression ({word})")
        raise InvalidTraceRequest(f"Invalid filter expression: unknown keyword {name}.")

    def _flag(self, name: str) -> Test:
        wanted = True
        sign = self._peek().text
        if sign in ("=", "!="):
            self._next()
            given = self._next()
            if given.text.lower() not in ("true", "false"):
                self._refuse()
            wanted = (given.text.lower() == "true") == (sign == "=")
        return lambda subject: subject.flags.get(name, False) == wanted

    def _number(self, name: str) -> Test:
        compare = _ORDER.get(self._next().text)
        value = self._value()
        if compare is None or isinstance(value, bool | str):
            self._refuse()
        limit = value
        return lambda subject: name in subject.numbers and compare(subject.numbers[name], limit)

    def _text(self, name: str) -> Test:
        compare = _WORDS.get(self._next().text.upper())
        value = self._value()
        if compare is None or not isinstance(value, str):
            self._refuse()
        wanted = value
        return lambda subject: any(compare(text, wanted) for text in subject.texts.get(name, ()))

    def _annotation(self, keyword: str) -> Test:
        if self._take("["):
            token = self._next()
            name = _unquoted(token) if token.kind == "text" else token.text
            self._expect("]")
        else:
            name = keyword.partition(".")[2]
        sign = self._next().text.upper()
        wanted = self._value()
        if not name or (sign not in _ORDER and sign not in _WORDS):
            self._refuse()

        def matches(value: Value) -> bool:
            if isinstance(value, bool) or isinstance(wanted, bool):
                return sign in ("=", "!=") and (value is wanted) == (sign == "=")
            if isinstance(value, str) or isinstance(wanted, str):
                if not isinstance(value, str) or not isinstance(wanted, str) or sign not in _WORDS:
                    return False
                return _WORDS[sign](value, wanted)
            return sign in _ORDER and _ORDER[sign](value, wanted)

        return lambda subject: any(matches(value) for value in subject.annotations.get(name, ()))

    def _service(self) -> Test:
        self._expect("(")
        is_meant: Callable[[ServiceName], bool] = lambda service: True  # noqa: E731
        token = self._peek()
        if token.kind == "text":
            name = _unquoted(self._next())
            is_meant = lambda service: service.name == name  # noqa: E731
        elif token.text.lower() == "id":
            self._next()
            is_meant = self._id()
        self._expect(")")
        inner: Test = lambda subject: True  # noqa: E731
        if self._take("{"):
            inner = self.any_of()
            self._expect("}")
        return lambda subject: any(is_meant(service) and inner(part) for service, part in subject.services)

    def _id(self) -> Callable[[ServiceName], bool]:
        """`id(name: "N", type: "T", account.id: "A")`, any of them."""
        wanted: dict[str, str] = {}
        self._expect("(")
        while True:
            member = self._next().text.lower()
            self._expect(":")
            token = self._next()
            if member not in ("name", "type", "account.id") or token.kind != "text":
                self._refuse()
            wanted[member] = _unquoted(token)
            if not self._take(","):
                break
        self._expect(")")

        def is_meant(service: ServiceName) -> bool:
            found = {"name": service.name, "type": service.kind, "account.id": service.account_id}
            return all(found[member] == text for member, text in wanted.items())

        return is_meant

    def _value(self) -> Value:
        token = self._next()
        if token.kind == "text":
            return _unquoted(token)
        if token.kind == "number":
            return float(token.text)
        if token.kind == "word" and token.text.lower() in ("true", "false"):
            return token.text.lower() == "true"
        self._refuse()

    # --- tokens

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, sign: str) -> bool:
        if self._peek() == _Token("sign", sign):
            self._at += 1
            return True
        return False

    def _take_word(self, word: str) -> bool:
        token = self._peek()
        if token.kind == "word" and token.text.upper() == word:
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            self._refuse()

    def _refuse(self) -> NoReturn:
        at = self._tokens[min(self._at, len(self._tokens)) - 1].text if self._tokens else ""
        raise InvalidTraceRequest(f"Invalid filter expression near '{at}'.")


def _unquoted(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1])
