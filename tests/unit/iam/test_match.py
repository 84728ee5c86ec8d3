"""Actions and resources against `tests/cases/policies/matching.json`; patterns that are made to be slow."""

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.iam.compiled import CompiledStatement, StatementRef
from squib.iam.context import NO_CONTEXT, Context, keys
from squib.iam.match import arn_pattern, parse_template, static, text_pattern
from squib.model.policy import Effect, PolicyType, Statement

CASES = json.loads((Path(__file__).parents[2] / "cases/policies/matching.json").read_text())
ALICE = Context(
    keys(
        {
            "aws:username": "alice",
            "aws:PrincipalAccount": "123456789012",
            "aws:PrincipalTag/department": "sales",
            "aws:PrincipalTag/star": "*",
        }
    )
)


def compiled(**elements: Any) -> CompiledStatement:
    whole = {"effect": Effect.ALLOW, "actions": ("*",), "resources": ("*",)}
    statement = Statement(**{**whole, **elements})
    return CompiledStatement(statement, StatementRef(PolicyType.IDENTITY, "p", 0, None), True)


@pytest.mark.parametrize("name", ["actions", "not_actions"])
def test_actions_are_covered_as_documented(name: str) -> None:
    for rule, actions, asked, expected, source in CASES[name]["cases"]:
        assert source in CASES["sources"]
        statement = compiled(actions=tuple(actions), is_not_action=name == "not_actions")
        assert statement.covers(asked.lower()) is expected, rule


@pytest.mark.parametrize("name", ["resources", "not_resources"])
def test_resources_match_as_documented(name: str) -> None:
    for rule, resources, asked, in_allow, *other, source in CASES[name]["cases"]:
        assert source in CASES["sources"]
        in_deny = other[0] if other else in_allow
        for effect, expected in ((Effect.ALLOW, in_allow), (Effect.DENY, in_deny)):
            statement = compiled(
                effect=effect, resources=tuple(resources), is_not_resource=name == "not_resources"
            )
            assert statement.holds(asked, ALICE) is expected, (rule, effect)


def test_resource_left_out_is_the_one_the_policy_is_attached_to() -> None:
    assert compiled(resources=()).holds("arn:aws:sqs:us-east-1:123456789012:q", NO_CONTEXT)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_text_patterns_match_as_shell_patterns_do(pattern: str, text: str) -> None:
    tokens = static(parse_template(pattern, has_variables=False, has_wildcards=True))
    assert tokens is not None
    expected = re.fullmatch(fnmatch.translate(pattern), text) is not None
    assert (text_pattern(tokens).fullmatch(text) is not None) is expected


@given(
    st.lists(st.text("ab*?", max_size=4), min_size=6, max_size=7),
    st.lists(st.text("ab", max_size=4), min_size=6, max_size=7),
)
def test_arn_patterns_match_segment_by_segment(pattern: list[str], text: list[str]) -> None:
    """A wildcard that may not cross is one that each of the first five segments has for itself."""
    tokens = static(parse_template(":".join(pattern), has_variables=False, has_wildcards=True))
    assert tokens is not None
    parts = [*pattern[:5], ":".join(pattern[5:])], [*text[:5], ":".join(text[5:])]
    expected = all(re.fullmatch(fnmatch.translate(one), other) for one, other in zip(*parts, strict=True))
    assert (arn_pattern(tokens, False).fullmatch(":".join(text)) is not None) is expected


@given(
    st.lists(st.text("ab*", max_size=4), min_size=6, max_size=7),
    st.lists(st.text("ab", max_size=4), min_size=6, max_size=7),
)
def test_arn_patterns_that_may_cross_match_no_less(pattern: list[str], text: list[str]) -> None:
    tokens = static(parse_template(":".join(pattern), has_variables=False, has_wildcards=True))
    assert tokens is not None
    if arn_pattern(tokens, False).fullmatch(":".join(text)):
        assert arn_pattern(tokens, True).fullmatch(":".join(text))
    if arn_pattern(tokens, True).fullmatch(":".join(text)):
        assert text_pattern(tokens).fullmatch(":".join(text))


@given(
    st.lists(st.text("a*", max_size=5), min_size=1, max_size=8),
    st.lists(st.text("ab", max_size=3), min_size=1, max_size=8),
)
def test_crossing_wildcards_match_as_a_plain_search_says(pattern: list[str], text: list[str]) -> None:
    """Against an expression that may backtrack as it likes, which is slow at times but not wrong."""
    tokens = static(parse_template(":".join(pattern), has_variables=False, has_wildcards=True))
    assert tokens is not None
    segments = [*pattern[:5], ":".join(pattern[5:])] if len(pattern) > 5 else pattern
    sources = []
    for place, segment in enumerate(segments):
        one = "." if place == 5 else "[^:]"
        source = segment.replace("*", f"{one}*")
        if place < 5 and segment.endswith("*"):
            source = source.removesuffix("[^:]*") + ".*"
        sources.append(source)
    expected = re.fullmatch(":".join(sources), ":".join(text)) is not None
    assert (arn_pattern(tokens, True).fullmatch(":".join(text)) is not None) is expected


@pytest.mark.timeout(20)
def test_no_pattern_is_slow() -> None:
    """What backtracks here does not end in a year."""
    long = "a" * 2000
    texts = (long, f"arn:aws:s3:::{long}", f"arn:{long}:s3:::x", ":".join(long))
    for pattern in (
        "*a" * 60 + "b",
        f"arn:aws:s3:::{'*a' * 60}b",
        f"arn:{'*a' * 60}b:s3:::x",
        "*:" * 60 + "b",
    ):
        statement = compiled(resources=(pattern,), actions=(pattern,))
        for text in texts:
            assert not statement.covers(text)
            assert not statement.holds(text, NO_CONTEXT)


@pytest.mark.timeout(20)
def test_variables_that_do_not_end_are_text_and_cost_nothing() -> None:
    opened = "${" * 60_000
    assert static(parse_template(opened, has_variables=True, has_wildcards=True)) == (opened,)
