"""Regular expressions of filter patterns: the subset that CloudWatch Logs documents, in linear time. Pure.

Letters, digits, `: _ # = @ / ; , -`, classes, `. \\d \\D \\s \\S \\w \\W \\xhh`, escaped symbols;
`* + ? {m,n}` behind one character or class; `|` between whole alternatives, `^` and `$` at their ends. There
are no groups: an expression is a row of characters, each of which may be optional or repeated. Its places are
the bits of a number, a step of all of them at once is a few operations on numbers, and steps seen before are
looked up: no expression makes a message take longer than its length says.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from squib.model.errors import InvalidParameter

MAX_PLACES: Final = 1024  # squib's choice: characters of an expression, repetitions written out
_MAX_STEPS_KEPT: Final = 20_000  # squib's choice: then what was looked up is forgotten

_SYMBOL: Final = r"[!-/:-@\[-`{-~]"
_IN_CLASS: Final = rf"\\x[0-9A-Fa-f]{{2}}|\\(?:[dDsSwW]|{_SYMBOL})|[A-Za-z0-9:_#=@/;,.$?*+|{{}}-]"
_PIECE: Final = re.compile(
    rf"""(?:
        (?P<plain>[A-Za-z0-9:_\#=@/;,-])
      | (?P<any>\.)
      | \\(?P<named>[dDsSwW])
      | \\x(?P<hex>[0-9A-Fa-f]{{2}})
      | \\(?P<escaped>{_SYMBOL})
      | \[(?P<negated>\^?)(?P<members>(?:{_IN_CLASS})+)\]
    )
    (?P<repeat>[*+?]|\{{\s*(?P<least>\d{{1,4}})\s*(?P<comma>,?)\s*(?P<most>\d{{1,4}})?\s*\}})?""",
    re.VERBOSE,
)
_MEMBER: Final = re.compile(r"\\x(?P<hex>..)|\\(?P<escaped>.)|(?P<plain>.)")
_DIGITS: Final = "0123456789"
_WORD: Final = _DIGITS + "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NAMED: Final = {"d": frozenset(_DIGITS), "s": frozenset(" \t\n\r\f\v"), "w": frozenset(_WORD)}


class _Characters(NamedTuple):
    """Which characters fit one place: those listed, or all others."""

    listed: frozenset[str]
    is_negated: bool

    def fits(self, character: str) -> bool:
        return (character in self.listed) != self.is_negated


class _Place(NamedTuple):
    characters: _Characters
    is_optional: bool
    is_repeated: bool


_ANY: Final = _Characters(frozenset("\n"), True)


class _State(dict[str, "_State"]):
    """The places that may come next, and the states behind each character seen here so far."""

    def __init__(self, regex: "Regex", places: int) -> None:
        self._regex = regex
        self.places = places
        self.is_found = bool(places & regex.found)
        self.is_found_at_end = bool(places & (regex.found | regex.found_at_end))

    def __missing__(self, character: str) -> "_State":
        following = self._regex.follow(self.places, character)
        self[character] = following
        return following


class Regex:
    """One expression. `finds` says whether it occurs anywhere in a message."""

    def __init__(self, expression: str) -> None:
        """Raises InvalidParameter for what is not in the subset."""
        self._characters: list[_Characters] = []  # by place; the one behind an alternative has none
        self._optional = self._repeated = 0
        self._starts = self._starts_anywhere = 0
        self.found = self.found_at_end = 0
        for alternative in _alternatives(expression):
            self._add(alternative)
        self._fitting: dict[str, int] = {}
        self._states: dict[int, _State] = {}
        self._steps = 0

    def _add(self, alternative: str) -> None:
        is_anchored = alternative.startswith("^")
        at_end = alternative.endswith("$") and not _is_escaped(alternative)
        first = 1 << len(self._characters)
        for place in _row(alternative[is_anchored : len(alternative) - at_end]):
            bit = 1 << len(self._characters)
            self._optional |= bit if place.is_optional else 0
            self._repeated |= bit if place.is_repeated else 0
            self._characters.append(place.characters)
        last = 1 << len(self._characters)
        self._characters.append(_Characters(frozenset(), False))
        self._starts |= first
        self._starts_anywhere |= 0 if is_anchored else first
        self.found |= 0 if at_end else last
        self.found_at_end |= last if at_end else 0
        if len(self._characters) > MAX_PLACES:
            raise _too_long()

    def finds(self, message: str) -> bool:
        """Whether the expression occurs in a message, whose last line's end does not count."""
        state = self._state(self._starts)
        if state.is_found:
            return True
        for character in message.removesuffix("\n"):
            state = state[character]
            if state.is_found:
                return True
        return state.is_found_at_end

    def follow(self, places: int, character: str) -> _State:
        """The state behind `character` where `places` could come next."""
        fitting = self._fitting.get(character)
        if fitting is None:
            fitting = sum(1 << n for n, place in enumerate(self._characters) if place.fits(character))
            self._fitting[character] = fitting
        self._steps += 1
        if self._steps > _MAX_STEPS_KEPT:
            for state in self._states.values():
                state.clear()
            self._states.clear()
            self._fitting.clear()
            self._steps = 0
        passed = places & fitting
        return self._state((passed << 1) | (passed & self._repeated) | self._starts_anywhere)

    def _state(self, places: int) -> _State:
        """With the places behind optional ones: a carry runs through each row of them."""
        places |= (self._optional + (places & self._optional)) ^ self._optional
        state = self._states.get(places)
        if state is None:
            state = self._states[places] = _State(self, places)
        return state


def _alternatives(expression: str) -> Sequence[str]:
    """The parts between `|` outside classes."""
    if not expression or not expression.isascii():
        raise _invalid()
    parts, at, is_inside = [""], 0, False
    while at < len(expression):
        piece = expression[at : at + 2] if expression[at] == "\\" else expression[at]
        is_inside = piece == "[" or (is_inside and piece != "]")
        if piece == "|" and not is_inside:
            parts.append("")
        else:
            parts[-1] += piece
        at += len(piece)
    return parts


def _is_escaped(alternative: str) -> bool:
    """Whether a backslash stands for the last character itself."""
    before = alternative[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _row(alternative: str) -> Sequence[_Place]:
    found: list[_Place] = []
    at = 0
    while at < len(alternative):
        match = _PIECE.match(alternative, at)
        if match is None:
            raise _invalid()
        found += _repeated(_characters(match), match)
        if len(found) > MAX_PLACES:
            raise _too_long()
        at = match.end()
    return found


def _repeated(characters: _Characters, match: re.Match[str]) -> Sequence[_Place]:
    once = _Place(characters, False, False)
    match match["repeat"]:
        case None:
            return [once]
        case "?":
            return [_Place(characters, True, False)]
        case "*":
            return [_Place(characters, True, True)]
        case "+":
            return [once, _Place(characters, True, True)]
    least = int(match["least"])
    if not match["comma"]:
        return [once] * least
    if match["most"] is None:
        return [*[once] * least, _Place(characters, True, True)]
    most = int(match["most"])
    if most < least:
        raise _invalid()
    return [*[once] * least, *[_Place(characters, True, False)] * (most - least)]


def _characters(match: re.Match[str]) -> _Characters:
    if match["any"]:
        return _ANY
    if match["named"]:
        return _named(match["named"])
    if match["hex"]:
        return _Characters(frozenset(chr(int(match["hex"], 16))), False)
    if match["members"]:
        return _class(match["members"], is_negated=bool(match["negated"]))
    return _Characters(frozenset(match["plain"] or match["escaped"]), False)


def _named(letter: str) -> _Characters:
    return _Characters(_NAMED[letter.lower()], letter.isupper())


def _class(members: str, *, is_negated: bool) -> _Characters:
    """`a-z_\\d` -> the characters. A hyphen at either end stands for itself."""
    pieces = [(match["plain"] == "-", _members(match)) for match in _MEMBER.finditer(members)]
    listed: set[str] = set()
    at = 0
    while at < len(pieces):
        first = pieces[at][1]
        if at + 2 < len(pieces) and pieces[at + 1][0]:
            last = pieces[at + 2][1]
            if len(first) != 1 or len(last) != 1 or min(first) > min(last):
                raise _invalid()
            listed.update(map(chr, range(ord(min(first)), ord(min(last)) + 1)))
            at += 3
        else:
            listed |= first
            at += 1
    return _Characters(frozenset(listed), is_negated)


def _members(match: re.Match[str]) -> frozenset[str]:
    if match["hex"]:
        return frozenset(chr(int(match["hex"], 16)))
    if match["escaped"] and match["escaped"].isalpha():
        named = _named(match["escaped"])
        return frozenset(character for character in map(chr, range(128)) if named.fits(character))
    return frozenset(match["escaped"] or match["plain"])


def _invalid() -> InvalidParameter:
    return InvalidParameter("Invalid filter pattern")


def _too_long() -> InvalidParameter:
    return InvalidParameter("The regular expression in the filter pattern is too long.")
