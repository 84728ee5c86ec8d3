"""Which filter patterns are well-formed."""

import json
from typing import Any

import pytest

from squib.control_plane.lambda_.filter_syntax import check_filters
from squib.model.errors import InvalidParameterValue

GOOD: list[Any] = [
    {"body": {"kind": ["a", 1, None, True]}},
    {"a": [{"exists": False}], "b": [{"prefix": "x"}, {"suffix": {"equals-ignore-case": "y"}}]},
    {"a": [{"numeric": ["=", 5]}], "b": [{"numeric": [">", 0, "<=", 5.5]}]},
    {"a": [{"anything-but": ["x", 1]}], "b": [{"anything-but": {"prefix": "x"}}]},
    {"$or": [{"a": [1]}, {"b": {"c": [2]}}]},
    {"a": [""], "b": [{"equals-ignore-case": "X"}, {"wildcard": "a*b"}, {"cidr": "10.0.0.0/8"}]},
]
BAD: list[Any] = [
    "no JSON",
    [],
    {},
    {"a": "x"},
    {"a": []},
    {"a": {}},
    {"a": [["x"]]},
    {"a": [{}]},
    {"a": [{"exists": "yes"}]},
    {"a": [{"prefix": 1}]},
    {"a": [{"numeric": ["=", "5"]}]},
    {"a": [{"numeric": [">", 5, "<", 1]}]},
    {"a": [{"numeric": ["<", 5, ">", 1]}]},
    {"a": [{"numeric": [">", True]}]},
    {"a": [{"like": "x"}]},
    {"a": [{"prefix": "x", "suffix": "y"}]},
    {"$or": [{"a": [1]}]},
    {"$or": [{"a": [1]}, {}]},
]


@pytest.mark.parametrize("pattern", GOOD, ids=json.dumps)
def test_pattern_is_taken(pattern: Any) -> None:
    check_filters([json.dumps(pattern)])


@pytest.mark.parametrize("pattern", BAD, ids=json.dumps)
def test_pattern_is_refused(pattern: Any) -> None:
    text = pattern if isinstance(pattern, str) else json.dumps(pattern)
    with pytest.raises(InvalidParameterValue, match=r"^Invalid filter pattern definition\.$"):
        check_filters([text])


def test_five_filters_are_the_most() -> None:
    check_filters(['{"a": [1]}'] * 5)
    with pytest.raises(InvalidParameterValue, match="6"):
        check_filters(['{"a": [1]}'] * 6)
