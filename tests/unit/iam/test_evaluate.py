"""Decisions, case by case of `tests/cases/policies/evaluation.json`."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.policies import caller_named, policies_of, shown
from squib.iam.context import Context, keys
from squib.iam.evaluate import Request, evaluate

CASES = json.loads((Path(__file__).parents[2] / "cases/policies/evaluation.json").read_text())


def request_of(case: dict[str, Any]) -> Request:
    asked = {**CASES["request"], **{key: case[key] for key in ("action", "resource") if key in case}}
    return Request(
        caller=caller_named(CASES["callers"][case["caller"]]),
        context=Context(keys(case.get("context", {}))),
        **asked,
    )


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["rule"])
def test_decision_is_the_documented_one_and_names_its_reason(case: dict[str, Any]) -> None:
    assert case["source"] in CASES["sources"]
    decision = evaluate(request_of(case), *policies_of(case, CASES["statements"]))
    assert (decision.outcome.value, shown(decision)) == (case["expect"], case["because"])
    assert decision.is_allowed is (case["expect"] == "allow")


def test_rules_of_cases_are_told_apart() -> None:
    rules = [case["rule"] for case in CASES["cases"]]
    assert len(rules) == len(set(rules))
