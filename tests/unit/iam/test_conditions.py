"""Condition operators, row by row of `tests/cases/policies/operators.json`."""

import json
from pathlib import Path
from typing import Any

import pytest

from squib.iam.conditions import OPERATORS, compile_condition
from squib.iam.context import Context, keys
from squib.iam.operators import BASES, parse_operator
from squib.model.policy import Condition, Effect

CASES = json.loads((Path(__file__).parents[2] / "cases/policies/operators.json").read_text())
CALLER = keys({"aws:username": "alice", "aws:userid": "*", "aws:CalledVia": ["a", "b"]})


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case[0])
def test_operator_holds_as_documented(case: list[Any]) -> None:
    _, operator, given, values, in_allow, *other, source = case
    in_deny = other[0] if other else in_allow
    assert source in CASES["sources"]
    context = Context({} if values is None else {"test:key": tuple(values)}, CALLER)
    condition = Condition(operator, "Test:Key", tuple(given))
    for effect, expected in ((Effect.ALLOW, in_allow), (Effect.DENY, in_deny)):
        assert compile_condition(condition, effect, has_variables=True)(context) is expected, effect


def test_every_operator_has_a_row_and_a_case() -> None:
    assert {*OPERATORS, "Null"} == set(BASES.values())
    shown = {parsed.base for case in CASES["cases"] if (parsed := parse_operator(case[1]))}
    assert shown == set(BASES.values())


def test_variables_are_text_in_the_legacy_language() -> None:
    condition = Condition("StringEquals", "test:key", ("${aws:username}",))
    check = compile_condition(condition, Effect.ALLOW, has_variables=False)
    assert check(Context(keys({"test:key": "${aws:username}"}), CALLER))
    assert not check(Context(keys({"test:key": "alice"}), CALLER))


def test_operator_that_does_not_exist_helps_nobody() -> None:
    condition = Condition("StringMatches", "test:key", ("a",))
    context = Context(keys({"test:key": "a"}))
    assert not compile_condition(condition, Effect.ALLOW, has_variables=True)(context)
    assert compile_condition(condition, Effect.DENY, has_variables=True)(context)
