"""Regular expressions of filter patterns: what is understood, what is refused, and that they stay cheap."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.control_plane.logs.regex import MAX_PLACES, Regex
from squib.model.errors import InvalidParameter


@pytest.mark.parametrize(
    ("expression", "found", "not_found"),
    [
        # the examples of the CloudWatch Logs user guide, "Supported regular expressions"
        ("AUTHORIZED", ["[ERROR 401] UNAUTHORIZED REQUEST", "[SUCCESS 200] AUTHORIZED REQUEST"], ["AUTH"]),
        (r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", ["from 127.0.0.1 today"], ["1.2.3", "a.b.c.d"]),
        ("[Ee]rror|[Ff]ail", ["Error", "an error", "Failed", "fail"], ["ERROR", "ail"]),
        ("^[hc]at", ["hat", "cat", "catalogue"], ["a hat", "bat"]),
        ("[hc]at$", ["hat", "a cat", "cat\n"], ["cats", "cat\n\n"]),
        ("colou?r", ["color", "colour"], ["colouur", "colr"]),
        ("[abc]", ["xbx"], ["xyz"]),
        ("[a-z]", ["Hello"], ["HELLO 1"]),
        ("[abcx-z]", ["z", "A y"], ["d", "w"]),
        ("^a{3,5}$", ["aaa", "aaaa", "aaaaa"], ["aa", "aaaaaa"]),
        ("^gray|grey$", ["grayish", "dark grey"], ["dark gray."]),
        (r"10\.10", ["10.10"], ["10x10"]),
        ("^ab*c$", ["ac", "abc", "abbbc"], ["bc", "abb"]),
        ("^ab+c$", ["abc", "abbbc"], ["ac"]),
        ("a.c", ["abc", "a c"], ["ac", "a\nc"]),
        (r"^\w+\s\W\d\D\S$", ["a_1 !2x."], ["a_1 a2x.", "a_1 !2xx."]),
        (r"\x41\x2d", ["A-"], ["a-"]),
        # further forms
        ("[^a-c]", ["abcd"], ["abc", ""]),
        (r"[\d_-]", ["-", "_", "7"], ["a"]),
        (r"[\]\\\^]", ["]", "\\", "^"], ["["]),
        ("a{2}", ["aa", "aaa"], ["a"]),
        ("^a{2,}b", ["aab", "aaaaab"], ["ab"]),
        ("^a{0,2}b", ["b", "ab", "aab"], ["aaab"]),
        ("^a?b?c?$", ["", "a", "ac", "bc", "abc"], ["ca", "aa"]),
        (r"cost\$$", ["cost$"], ["cost"]),
        (r"\\$", ["end\\"], ["end"]),
        (r"\(\d+ ms\)".replace(" ", r"\s"), ["took (12 ms)"], ["took 12 ms"]),
        ("key=value@host/path;a,b:c#d-e", ["key=value@host/path;a,b:c#d-e"], ["key=value"]),
        ("aab", ["aaaab"], ["aba"]),
    ],
)
def test_an_expression_finds(expression: str, found: list[str], not_found: list[str]) -> None:
    regex = Regex(expression)
    assert [message for message in found if not regex.finds(message)] == []
    assert [message for message in not_found if regex.finds(message)] == []


@pytest.mark.parametrize(
    "expression",
    ["", "something!", "(a)", "a b", "é", "a**", "a+?", "*a", "+", "a{3,2}", "a{x}", "[", "[]", "[z-a]",
     "a]b", "a^b", "a$b", "\\", r"\b", r"\x4", r"[\w-z]", "a{1", "}"],
)  # fmt: skip
def test_what_is_not_documented_is_refused(expression: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        Regex(expression)
    assert refused.value.message == "Invalid filter pattern"


@pytest.mark.parametrize("expression", ["a{9999}", "a{0,2000}", "ab" * MAX_PLACES, "a{600}|b{600}"])
def test_too_long_an_expression_is_refused(expression: str) -> None:
    with pytest.raises(InvalidParameter, match="too long"):
        Regex(expression)


piece = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\w", r"\d"])
row = st.lists(
    st.tuples(piece, st.sampled_from(["", "", "?", "*", "+", "{2}", "{1,3}", "{0,2}", "{1,}"])), max_size=6
)
alternative = st.tuples(st.sampled_from(["", "", "^"]), row, st.sampled_from(["", "", "$"]))
"""Start, places, end."""


@given(st.lists(alternative, min_size=1, max_size=3), st.text("ab1 ", max_size=12))
def test_it_finds_what_a_backtracking_engine_finds(
    alternatives: list[tuple[str, list[tuple[str, str]], str]], message: str
) -> None:
    expression = "|".join(
        start + "".join(one + repeat for one, repeat in places) + end for start, places, end in alternatives
    )
    if not expression:
        return
    expected = re.search(f"(?a:{expression})", message)
    assert Regex(expression).finds(message) == (expected is not None)


@pytest.mark.parametrize(
    "expression", ["a*" * 400 + "c", "a?" * 500 + "a{400}c", "[ab]*a[ab]{300}c", "a+a+a+a+c", ".*.*.*.*c"]
)
def test_a_hostile_expression_is_cheap(expression: str) -> None:
    regex = Regex(expression)
    assert not regex.finds("a" * 100_000)
    assert not regex.finds("".join("ab"[(number * number) % 7 % 2] for number in range(50_000)))
