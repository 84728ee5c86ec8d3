"""Filter patterns of CloudWatch Logs: which messages match. Pure.

Terms: `ERROR` and `"an exact phrase"` must all occur, as whole words and in the same case; `-word` must not;
`?a ?b` asks for one of them, and counts for nothing beside terms of another kind. `%expression%` searches for
a regular expression (regex), `{ $.x = 1 }` looks into JSON messages (json_pattern), `[ip, ..., size > 0]`
into fields between spaces (fields_pattern). An empty pattern matches everything.
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from squib.control_plane.logs.fields_pattern import parse_fields_pattern
from squib.control_plane.logs.json_pattern import parse_json_pattern
from squib.control_plane.logs.regex import Regex
from squib.control_plane.logs.tokens import invalid_pattern
from squib.model.errors import InvalidParameter

Matcher: TypeAlias = Callable[[str], bool]

_TERM: Final = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)')
_BARE: Final = re.compile(r"\w+")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def parse_filter_pattern(pattern: str) -> Matcher | None:
    """The matcher of a pattern; None when it matches everything. Raises InvalidParameter."""
    text = pattern.strip()
    if not text:
        return None
    if text.startswith("{"):
        return parse_json_pattern(text)
    if text.startswith("["):
        return parse_fields_pattern(text)
    if text.startswith("%"):
        if len(text) < 3 or text.find("%", 1) != len(text) - 1:
            raise invalid_pattern()
        return Regex(text[1:-1]).finds
    return _terms(text)


def _terms(text: str) -> Matcher | None:
    required: list[re.Pattern[str]] = []
    excluded: list[re.Pattern[str]] = []
    optional: list[re.Pattern[str]] = []
    kinds = {"": required, "-": excluded, "?": optional}
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise invalid_pattern()
        sign, phrase, bare = match.groups()
        if phrase is None and not _BARE.fullmatch(bare):
            raise InvalidParameter(f"Invalid character(s) in term '{bare}'")
        words = bare if phrase is None else _ESCAPED.sub(r"\1", phrase)
        if words:
            kinds[sign].append(_whole_words(words))
        at = match.end()
    if required or excluded:

        def matches_all(message: str) -> bool:
            return all(term.search(message) for term in required) and not any(
                term.search(message) for term in excluded
            )

        return matches_all
    if optional:
        return lambda message: any(term.search(message) for term in optional)
    return None


def _whole_words(words: str) -> re.Pattern[str]:
    """Finds `words` where neither end lies within a longer word."""
    before = r"(?<!\w)" if words[0].isalnum() or words[0] == "_" else ""
    after = r"(?!\w)" if words[-1].isalnum() or words[-1] == "_" else ""
    return re.compile(before + re.escape(words) + after)
