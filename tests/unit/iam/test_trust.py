"""Who may assume a role, and what a denied caller is told: `tests/cases/policies/trust.json`."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.policies import caller_named, policies_of, set_of, shown
from squib.iam.compiled import StatementRef
from squib.iam.context import NO_CONTEXT, Context, keys
from squib.iam.denial import denial_message
from squib.iam.evaluate import Decision, Missing, Outcome, Request, RootAccess
from squib.iam.trust import ASSUME_ROLE, may_assume, trusts_service
from squib.model.policy import PolicyType
from squib.model.units import AccountId

CASES = json.loads((Path(__file__).parents[2] / "cases/policies/trust.json").read_text())


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["rule"])
def test_role_is_assumed_as_documented(case: dict[str, Any]) -> None:
    assert case["source"] in CASES["sources"]
    own, _ = policies_of(case, CASES["statements"])
    request, decision = may_assume(
        caller_named(CASES["callers"][case["caller"]]),
        role_arn=CASES["role"],
        trust=set_of(PolicyType.TRUST, case["trust"]),
        caller_policies=own,
        context=Context(keys(case.get("context", {}))),
        action=case.get("ask", ASSUME_ROLE),
        has_session_tags=case.get("tags", False),
        has_source_identity=case.get("source_identity", False),
    )
    assert (decision.outcome.value, shown(decision)) == (case["expect"], case["because"])
    assert request.action == case.get("action", ASSUME_ROLE)


def test_service_is_trusted_by_its_name() -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    trust = set_of(PolicyType.TRUST, [statement])
    assert trusts_service(trust, "lambda.amazonaws.com", role_arn=CASES["role"])
    assert not trusts_service(trust, "ec2.amazonaws.com", role_arn=CASES["role"])


def denied(case: dict[str, Any]) -> tuple[Request, Decision]:
    request = Request(
        caller=caller_named(CASES["callers"][case["caller"]]),
        action="codecommit:ListRepositories",
        resource="*",
        account_id=AccountId("111111111111"),
        context=NO_CONTEXT,
    )
    kind = PolicyType(case["because"].removeprefix("no "))
    if case["because"].startswith("no "):
        return request, Decision(Outcome.IMPLICIT_DENY, Missing(kind))
    return request, Decision(Outcome.EXPLICIT_DENY, StatementRef(kind, "p", 0, None))


@pytest.mark.parametrize("case", CASES["messages"], ids=lambda case: f"{case['caller']}: {case['because']}")
def test_denied_caller_is_told_what_aws_tells(case: dict[str, Any]) -> None:
    assert denial_message(*denied(case)) == case["text"]


def test_there_is_no_denial_of_what_is_allowed() -> None:
    request, _ = denied(CASES["messages"][0])
    with pytest.raises(AssertionError):
        denial_message(request, Decision(Outcome.ALLOW, RootAccess()))
