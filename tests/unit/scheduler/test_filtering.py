"""What filter patterns match. The grammar is tested with what refuses it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.scheduler.filtering import Filter, Filters

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "cases" / "event_filters.json").read_text()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_pattern_matches_as_documented(case: dict[str, Any]) -> None:
    filters = Filters([json.dumps(case["pattern"])], data_key="body")
    record = {"body": case["body"], "awsRegion": "eu-west-1"}
    assert filters.wants(record, case["body"]) is case["matches"]


def test_without_a_filter_everything_is_wanted() -> None:
    none = Filters([], data_key="body")
    assert not none
    assert none.wants({"body": "x"}, "x")
    assert none.wants_whole({})


def test_one_of_several_filters_is_enough() -> None:
    either = Filters(['{"body": ["a"]}', '{"body": ["b"]}'], data_key="body")
    assert [either.wants({}, body) for body in "abc"] == [True, True, False]


@given(VALUES, st.text(max_size=3))
def test_a_value_is_matched_by_exactly_one_of_equals_and_anything_but(value: Any, wanted: str) -> None:
    record = {"a": value}
    has = Filter(json.dumps({"a": [wanted]})).matches(record)
    lacks = Filter(json.dumps({"a": [{"anything-but": wanted}]})).matches(record)
    if isinstance(value, dict):
        assert not has and not lacks
    elif isinstance(value, list) and value:
        assert has or lacks
    else:
        assert has is not lacks


@given(
    st.lists(st.text("ab", max_size=3), min_size=1, max_size=4),
    st.lists(st.text("ab", max_size=3), max_size=3),
)
def test_a_wildcard_matches_whatever_is_put_between_its_parts(parts: list[str], between: list[str]) -> None:
    fill = [*(between + [""] * len(parts))[: len(parts) - 1], ""]
    text = "".join(part + more for part, more in zip(parts, fill, strict=True))
    assert Filter(json.dumps({"a": [{"wildcard": "*".join(parts)}]})).matches({"a": text})
