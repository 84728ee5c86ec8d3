"""Simulations: decisions, matched statements with their places, missing keys, what limits say alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.policies import document
from squib.iam.caller import Caller, CallerKind
from squib.iam.context import NO_CONTEXT, Context, keys
from squib.iam.evaluate import Outcome
from squib.iam.simulate import ActionResult, Position, SimulatedPolicy, Simulation, statement_spans
from squib.model.errors import MalformedPolicyDocument
from squib.model.policy import PolicyType
from squib.model.units import AccountId

ACCOUNT = AccountId("111111111111")
ALICE = Caller(kind=CallerKind.USER, account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/alice")
ALLOW = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::good*"}
DENY = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}


def policy(*statements: Any, name: str = "PolicyInputList.1") -> SimulatedPolicy:
    return SimulatedPolicy(name, document(statements))


def run(
    simulation: Simulation, *resources: str, context: Context = NO_CONTEXT, caller: Caller = ALICE
) -> ActionResult:
    (result,) = simulation.run(
        caller=caller,
        actions=["s3:GetObject"],
        resources=resources,
        resource_account_id=ACCOUNT,
        context=context,
    )
    return result


DATED = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",'
    '"Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}'
)  # AWS CLI reference, simulate-custom-policy, examples 1 and 2


@pytest.mark.parametrize(
    ("at", "outcome"),
    [("2019-04-25T11:00:00Z", Outcome.ALLOW), ("2014-04-25T11:00:00Z", Outcome.IMPLICIT_DENY)],
)
def test_examples_of_the_cli_reference(at: str, outcome: Outcome) -> None:
    simulation = Simulation(identity=[SimulatedPolicy("PolicyInputList.1", DATED)])
    (result,) = simulation.run(
        caller=ALICE,
        actions=["dynamodb:CreateBackup"],
        resources=[],
        resource_account_id=ACCOUNT,
        context=Context(keys({"aws:CurrentTime": at})),
    )
    (one,) = result.by_resource
    assert (one.resource, one.decision.outcome, one.missing_keys) == ("*", outcome, ())
    places = [(found.policy_id, found.start, found.end) for found in one.matched]
    expected = [("PolicyInputList.1", Position(1, 38), Position(1, 167))]
    assert places == (expected if outcome is Outcome.ALLOW else [])


def test_statements_are_found_in_a_document_of_several_lines() -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": [{**ALLOW, "Sid": "a"}, DENY]}, indent=4)
    (first, second) = statement_spans(text)
    # AWS CLI reference, simulate-principal-policy, example 1.
    assert first == (Position(3, 19), Position(9, 10))
    assert second == (Position(9, 10), Position(14, 10))


def test_names_and_braces_in_strings_mislead_nobody() -> None:
    statement = {"Sid": "a", "Effect": "Allow", "Action": "s3:*", "Resource": 'arn:aws:s3:::}]{"'}
    text = json.dumps({"Id": "Statement", "Version": "2012-10-17", "Statement": [statement]})
    ((start, end),) = statement_spans(text)
    assert text[start.column - 1 : end.column - 1].startswith('{"Sid"')
    assert text[end.column - 1 :] == "]}"


@given(
    st.lists(st.text('{}[]":,\\ \n', max_size=8), min_size=1, max_size=4),
    st.sampled_from([None, 1, 4]),
    st.booleans(),
)
def test_every_statement_is_found_whatever_it_says(
    words: list[str], indent: int | None, is_single: bool
) -> None:
    listed = [{**ALLOW, "Resource": f"arn:aws:s3:::{word}"} for word in words]
    text = json.dumps({"Statement": listed[0] if is_single else listed, "Id": "{"}, indent=indent)
    lines = text.splitlines(keepends=True)

    def offset(position: Position) -> int:
        return sum(map(len, lines[: position.line - 1])) + position.column - 1

    spans = statement_spans(text)
    found = [text[offset(start) : offset(end)].strip(" \n,") for start, end in spans]
    if is_single:
        found = ["{" + only for only in found]
    assert [json.loads(one) for one in found] == (listed[:1] if is_single else listed)


def test_only_denying_statements_are_matched_where_one_denies() -> None:
    simulation = Simulation(identity=[policy(ALLOW, DENY)])
    (one,) = run(simulation, "arn:aws:s3:::good/1").by_resource
    assert one.decision.outcome is Outcome.EXPLICIT_DENY
    assert [found.index for found in one.matched] == [1]


def test_all_allowing_statements_are_matched() -> None:
    simulation = Simulation(identity=[policy(ALLOW), policy(ALLOW, ALLOW, name="PolicyInputList.2")])
    (one,) = run(simulation, "arn:aws:s3:::good/1").by_resource
    assert [(found.policy_id, found.index) for found in one.matched] == [
        ("PolicyInputList.1", 0),
        ("PolicyInputList.2", 0),
        ("PolicyInputList.2", 1),
    ]


def test_each_resource_has_its_own_result() -> None:
    result = run(Simulation(identity=[policy(ALLOW)]), "arn:aws:s3:::good/1", "arn:aws:s3:::bad/1")
    assert [one.decision.outcome for one in result.by_resource] == [Outcome.ALLOW, Outcome.IMPLICIT_DENY]
    assert result.outcome is Outcome.IMPLICIT_DENY


def test_keys_that_were_not_given_are_listed_as_policies_spell_them() -> None:
    asking = {
        "Effect": "Allow",
        "Action": "s3:Get*",
        "Resource": "arn:aws:s3:::good/${aws:UserName}",
        "Condition": {
            "StringEquals": {"AWS:RequestedRegion": "${aws:PrincipalTag/region}"},
            "Bool": {"aws:SecureTransport": "true"},
        },
    }
    elsewhere = {**asking, "Action": "s3:Put*", "Condition": {"Null": {"s3:prefix": "true"}}}
    simulation = Simulation(identity=[policy(asking, elsewhere)])
    (one,) = run(
        simulation, "arn:aws:s3:::good/1", context=Context(keys({"aws:SecureTransport": True}))
    ).by_resource
    assert one.missing_keys == ("AWS:RequestedRegion", "aws:UserName", "aws:PrincipalTag/region")


def test_boundary_and_organization_are_asked_alone_too() -> None:
    simulation = Simulation(
        identity=[policy(ALLOW)],
        boundary=[policy({"Effect": "Allow", "Action": "sqs:*", "Resource": "*"})],
        service_control=[[policy({"Effect": "Allow", "Action": "*", "Resource": "*"})], [policy(DENY)]],
    )
    (one,) = run(simulation, "arn:aws:s3:::good/1").by_resource
    assert one.decision.outcome is Outcome.EXPLICIT_DENY
    assert (one.is_within_boundary, one.is_within_organization) == (False, False)
    (one,) = run(Simulation(identity=[policy(ALLOW)]), "arn:aws:s3:::good/1").by_resource
    assert (one.is_within_boundary, one.is_within_organization) == (None, None)


def test_across_accounts_each_side_is_told() -> None:
    stranger = Caller(
        kind=CallerKind.USER, account_id=AccountId("222222222222"), arn="arn:aws:iam::222222222222:user/bob"
    )
    letting = SimulatedPolicy("ResourcePolicy", document([{**ALLOW, "Principal": {"AWS": "222222222222"}}]))
    simulation = Simulation(identity=[policy(DENY)], resource=letting)
    (one,) = run(simulation, "arn:aws:s3:::good/1", caller=stranger).by_resource
    assert one.by_type == {PolicyType.IDENTITY: Outcome.EXPLICIT_DENY, PolicyType.RESOURCE: Outcome.ALLOW}
    (one,) = run(simulation, "arn:aws:s3:::good/1").by_resource
    assert one.by_type == {}


def test_malformed_policy_is_refused() -> None:
    with pytest.raises(MalformedPolicyDocument):
        Simulation(identity=[SimulatedPolicy("PolicyInputList.1", "{}")])
