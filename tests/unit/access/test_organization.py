"""Organizations from a file: what bounds whole accounts."""

import json
from pathlib import Path
from typing import Any

import pytest

from squib.access.organization import Organization, OrganizationUnreadable
from squib.iam.caller import Caller, CallerKind
from squib.iam.compiled import PolicySet
from squib.iam.context import NO_CONTEXT
from squib.iam.evaluate import CallerPolicies, Outcome, Request, ResourcePolicies, evaluate
from squib.model.policy import PolicyType
from squib.model.units import AccountId

OWN, OTHER = AccountId("000000000000"), AccountId("111111111111")
ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def read(tmp_path: Path, *levels: dict[str, Any]) -> Organization:
    file = tmp_path / "organization.json"
    file.write_text(json.dumps({"id": "o-1", "levels": levels}))
    return Organization.read(file)


def root_may(organization: Organization, action: str, account_id: AccountId = OWN) -> Outcome:
    """What an account's root may do to a thing of its own."""
    root = Caller(kind=CallerKind.ROOT, account_id=account_id, arn=f"arn:aws:iam::{account_id}:root")
    request = Request(
        caller=root,
        action=action,
        resource=f"arn:aws:sqs:us-east-1:{account_id}:q",
        account_id=account_id,
        context=NO_CONTEXT,
    )
    own = CallerPolicies(
        identity=PolicySet(PolicyType.IDENTITY, ()), service_control=organization.service_control(account_id)
    )
    return evaluate(
        request, own, ResourcePolicies(resource_control=organization.resource_control(account_id))
    ).outcome


def test_without_a_file_nothing_is_bounded() -> None:
    assert Organization().is_empty
    assert root_may(Organization(), "sqs:SendMessage") is Outcome.ALLOW


def test_even_root_is_bounded_by_service_control_policies(tmp_path: Path) -> None:
    deny = {"Effect": "Deny", "Action": "sqs:DeleteQueue", "Resource": "*"}
    organization = read(tmp_path, {"accounts": ["*"], "service_control_policies": [document(ALLOW, deny)]})
    assert root_may(organization, "sqs:DeleteQueue") is Outcome.EXPLICIT_DENY
    assert root_may(organization, "sqs:SendMessage") is Outcome.ALLOW


def test_every_level_of_an_account_must_allow(tmp_path: Path) -> None:
    only_sqs = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    organization = read(
        tmp_path,
        {"accounts": ["*"], "service_control_policies": [document(ALLOW)]},
        {"accounts": [OTHER], "service_control_policies": [document(only_sqs)]},
    )
    assert root_may(organization, "iam:ListUsers", OTHER) is Outcome.IMPLICIT_DENY
    assert root_may(organization, "sqs:SendMessage", OTHER) is Outcome.ALLOW
    assert root_may(organization, "iam:ListUsers", OWN) is Outcome.ALLOW


def test_resource_control_policies_bound_what_is_done_to_an_account(tmp_path: Path) -> None:
    allow = {**ALLOW, "Principal": "*"}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:PurgeQueue", "Resource": "*"}
    organization = read(tmp_path, {"accounts": [OWN], "resource_control_policies": [document(allow, deny)]})
    assert root_may(organization, "sqs:PurgeQueue") is Outcome.EXPLICIT_DENY
    assert root_may(organization, "sqs:SendMessage") is Outcome.ALLOW
    assert root_may(organization, "sqs:PurgeQueue", OTHER) is Outcome.ALLOW


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is no organization"),
        ('{"levels": [{"account": ["*"]}]}', "unknown field `account`"),
        (
            '{"levels": [{"accounts": ["*"], "service_control_policies": [{"Statement": "x"}]}]}',
            "service-control policy 1 of level 1",
        ),
        ('{"levels": [{"accounts": ["1111-1111-1111"]}]}', "neither an account's number"),
        ('{"levels": [{"accounts": ["11111111111*"]}]}', "neither an account's number"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "organization.json"
    file.write_text(text)
    with pytest.raises(OrganizationUnreadable, match=why):
        Organization.read(file)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OrganizationUnreadable, match=r"nowhere\.json"):
        Organization.read(tmp_path / "nowhere.json")
