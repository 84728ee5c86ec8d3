"""Wildcards and policy variables: patterns for actions, resources, ARNs and strings.

Nobody's pattern may cost more than a few passes over what it is matched with: policies are written by
users, and matched on the event loop. So what stands between two `*` is looked for once, from the left, and
never again (atomic groups), which is right because the first place it is found leaves the most room for the
rest.
"""

import re
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from squib.iam.context import Context


class Wild(Enum):
    """A wildcard within a pattern."""

    MANY = "*"
    ONE = "?"


class Variable(NamedTuple):
    """`${key}` or `${key, 'default'}`; the key in lower case."""

    key: str
    default: str | None


Tokens: TypeAlias = tuple[str | Wild, ...]
"""A pattern: literal text and wildcards."""
Template: TypeAlias = tuple[str | Wild | Variable, ...]
"""A pattern whose variables have no values yet."""

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")  # no brace within, so that no text is searched twice
_DEFAULTED: Final = re.compile(r"\s*([^,\s]+)\s*,\s*'([^']*)'\s*")
_LITERALS: Final = frozenset("*?$")
_WILD: Final = re.compile(r"[*?]")
_WILDS: Final = {"*": Wild.MANY, "?": Wild.ONE}
_LAST_COLON: Final = 5  # of an ARN's own; later ones belong to the resource


def parse_template(text: str, *, has_variables: bool, has_wildcards: bool) -> Template:
    """The pattern that `text` is. `${*}`, `${?}` and `${$}` are the characters themselves."""
    parts: list[str | Wild | Variable] = []
    end = 0
    if has_variables:
        for found in _VARIABLE.finditer(text):
            _add_text(parts, text[end : found.start()], has_wildcards)
            parts.append(_variable(found[1]))
            end = found.end()
    _add_text(parts, text[end:], has_wildcards)
    return tuple(parts)


def _variable(name: str) -> str | Variable:
    if name in _LITERALS:
        return name
    defaulted = _DEFAULTED.fullmatch(name)
    if defaulted is not None:
        return Variable(defaulted[1].lower(), defaulted[2])
    return Variable(name.strip().lower(), None)


def _add_text(parts: list[str | Wild | Variable], text: str, has_wildcards: bool) -> None:
    if not has_wildcards:
        if text:
            parts.append(text)
        return
    end = 0
    for found in _WILD.finditer(text):
        if found.start() > end:
            parts.append(text[end : found.start()])
        parts.append(_WILDS[found[0]])
        end = found.end()
    if end < len(text):
        parts.append(text[end:])


def resolve(template: Template, context: Context) -> Tokens | None:
    """The pattern with its variables' values, whose characters are no wildcards; None when one has none.

    A variable has no value when its key is not there or has several values (IAM User Guide, "Policy
    variables").
    """
    tokens: list[str | Wild] = []
    for part in template:
        if isinstance(part, Variable):
            value = context.single(part.key)
            if value is None:
                value = part.default
                if value is None:
                    return None
            tokens.append(value)
        else:
            tokens.append(part)
    return tuple(tokens)


def variables_of(text: str) -> tuple[str, ...]:
    """The keys that a text names as variables, as they are spelled."""
    names = (found[1] for found in _VARIABLE.finditer(text))
    return tuple(name.partition(",")[0].strip() for name in names if name not in _LITERALS)


def static(template: Template) -> Tokens | None:
    """The pattern when it has no variables."""
    tokens = tuple(part for part in template if not isinstance(part, Variable))
    return tokens if len(tokens) == len(template) else None


def literal(tokens: Tokens) -> str | None:
    """The only text that the pattern matches, when it has no wildcards."""
    texts = [token for token in tokens if isinstance(token, str)]
    return "".join(texts) if len(texts) == len(tokens) else None


@lru_cache(maxsize=8192)
def text_pattern(tokens: Tokens) -> re.Pattern[str]:
    """The expression for a string or an action: wildcards match any character. To be used with fullmatch."""
    return re.compile(text_expression(tokens), re.DOTALL)


def text_expression(tokens: Tokens) -> str:
    """The source of `text_pattern`."""
    chunks = [""]
    _add_chunks(chunks, tokens)
    return _joined(chunks)


@lru_cache(maxsize=8192)
def arn_pattern(tokens: Tokens, may_cross: bool) -> re.Pattern[str]:
    """The expression for an ARN. To be used with fullmatch."""
    return re.compile(arn_expression(tokens, may_cross), re.DOTALL)


def arn_expression(tokens: Tokens, may_cross: bool) -> str:
    """The source of `arn_pattern`.

    In the first five segments wildcards stay between colons, except that a `*` which ends its segment may
    go on over them when `may_cross`: so in `Resource`, not in ARN conditions, which check each segment
    separately (IAM User Guide, "IAM JSON policy elements: Resource" and "Condition operators"). In the
    sixth, which has colons of its own, they match any character.
    """
    segments = _segments(tokens)
    chunks = [""]
    for place, segment in enumerate(segments):
        is_last = place == len(segments) - 1
        if place == _LAST_COLON:
            _add_chunks(chunks, segment)
        else:
            _add_segment(chunks, segment, may_cross, "" if is_last else ":")
    return _joined(chunks)


def _segments(tokens: Tokens) -> list[Tokens]:
    """The tokens cut at the first five colons."""
    segments: list[list[str | Wild]] = [[]]
    for token in tokens:
        if isinstance(token, Wild):
            segments[-1].append(token)
            continue
        first, *others = token.split(":", _LAST_COLON + 1 - len(segments))
        if first:
            segments[-1].append(first)
        segments.extend([[other] if other else [] for other in others])
    return [tuple(segment) for segment in segments]


def _add_segment(chunks: list[str], segment: Tokens, may_cross: bool, colon: str) -> None:
    """Adds one of the first five segments. What a wildcard in it leaves open, the next colon settles."""
    crosses = may_cross and segment[-1:] == (Wild.MANY,)
    runs = _runs(segment[:-1] if crosses else segment, "[^:]")
    source = runs[0]
    for place, run in enumerate(runs[1:], start=1):
        is_last = place == len(runs) - 1
        source += f"(?>[^:]*{run}(?=:|\\Z))" if is_last and not crosses else f"(?>[^:]*?{run})"
    chunks[-1] += source
    if crosses:
        chunks.append("")
    chunks[-1] += colon


def _add_chunks(chunks: list[str], tokens: Tokens) -> None:
    first, *others = _runs(tokens, ".")
    chunks[-1] += first
    chunks.extend(others)


def _runs(tokens: Tokens, one: str) -> list[str]:
    """The expressions of what stands between the `*` of a pattern."""
    runs = [""]
    for token in tokens:
        if token is Wild.MANY:
            runs.append("")
        else:
            runs[-1] += re.escape(token) if isinstance(token, str) else one
    return runs


def _joined(chunks: list[str]) -> str:
    """The expression of chunks with anything between them."""
    first, *others = chunks
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>.*?{chunk})" for chunk in middle if chunk) + f".*{last}"


def has_early_variable(template: Template) -> bool:
    """Whether a variable stands before the fifth colon, where `Resource` may have none."""
    colons = 0
    for part in template:
        if isinstance(part, Variable):
            if colons < _LAST_COLON:
                return True
        elif isinstance(part, str):
            colons += part.count(":")
    return False
