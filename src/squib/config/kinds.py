"""Kinds of value a setting can have: what it may be, in words, and how it is read."""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of value: what it may be in words, and how it is read."""

    words: str
    parse: Callable[[object], object]
    choices: tuple[str, ...] = ()
    """Every value, where they are few."""


def integer(low: int, high: int) -> Kind:
    """A whole number, both ends included."""
    words = f"an integer from {low} to {high}"

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{value!r} is not {words}")
        return value

    return Kind(words, parse)


def choice(*names: str) -> Kind:
    """One of a closed set of words."""
    words = "one of " + ", ".join(names)

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"{value!r} is not {words}{did_you_mean(str(value), names)}")
        return value

    return Kind(words, parse, names)


def text(pattern: str, words: str, *, is_secret: bool = False) -> Kind:
    """A string that `pattern` matches wholly; a secret one is never repeated in the error."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            shown = "the value" if is_secret else repr(value)
            raise ValueError(f"{shown} is not {words}")
        return value

    return Kind(words, parse)


def boolean() -> Kind:
    """true or false; also yes, no, on, off, 1, 0."""
    spellings = {"true": True, "yes": True, "on": True, "1": True}
    spellings |= {"false": False, "no": False, "off": False, "0": False}

    def parse(value: object) -> bool:
        if isinstance(value, str) and value.lower() in spellings:
            return spellings[value.lower()]
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not true or false")
        return value

    return Kind("true or false", parse)


def seconds(count: int, high: float) -> Kind:
    """So many numbers of seconds, none less than the one before; separated by commas in text."""
    words = f"{count} numbers of seconds from 0.001 to {high:g}, in ascending order"

    def parse(value: object) -> tuple[float, ...]:
        items = [value] if isinstance(value, str) else value
        try:
            parts = [part for item in items for part in str(item).split(",")]  # type: ignore[attr-defined]
            found = tuple(float(part) for part in parts)
        except (TypeError, ValueError):
            found = ()
        if len(found) != count or list(found) != sorted(found) or not 0.001 <= found[0] <= found[-1] <= high:
            raise ValueError(f"{value!r} is not {words}")
        return found

    return Kind(words, parse)


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{value!r} is not a path")
    return Path(os.path.abspath(os.path.expanduser(value)))


def _paths(value: object) -> tuple[Path, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(":") if part]
    if not isinstance(value, Sequence):
        raise ValueError(f"{value!r} is not a list of directories")
    return tuple(
        _path(part) for item in value for part in (item.split(":") if isinstance(item, str) else [item])
    )


DIRECTORY: Final = Kind("a directory", _path)
FILE: Final = Kind("a file", _path)
DIRECTORIES: Final = Kind("a list of directories; separated by `:` in a flag or variable", _paths)


def did_you_mean(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The end of an error message: the nearest known word, or nothing. A common `prefix` does not count."""
    tails = [name.removeprefix(prefix) for name in known]
    near = difflib.get_close_matches(word.removeprefix(prefix), tails, n=1, cutoff=0.7)
    return f"; did you mean {prefix + near[0]!r}?" if near else ""
