"""Policies of use: statements in Lambda's spelling, whole documents, revisions; refusals as recorded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lambda_harness import ACCOUNT, REGION, ControlPlane
from lambda_qualified import ARN, F, refused, with_function

from squib.iam.document import parse_document
from squib.model.alias import ALIASES, qualified_key
from squib.model.function import VERSIONS, version_key
from squib.model.policy import PolicyType
from squib.model.resource_policy import RESOURCE_POLICIES

S3: Mapping[str, Any] = {
    "FunctionName": "f",
    "StatementId": "s3",
    "Action": "lambda:InvokeFunction",
    "Principal": "s3.amazonaws.com",
}
BUCKET = "arn:aws:s3:::bucket"
STATEMENTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"Principal": "*", "SourceAccount": ACCOUNT},
     {"Principal": "*", "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}}}),
    ({"Principal": "lambda.amazonaws.com"}, {"Principal": {"Service": "lambda.amazonaws.com"}}),
    ({"Principal": ACCOUNT}, {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}),
    ({"Principal": f"arn:aws:iam::{ACCOUNT}:user/u"},
     {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/u"}}),
    ({"Principal": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"},
     {"Principal": {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"}}),
    ({"SourceArn": BUCKET}, {"Condition": {"ArnLike": {"AWS:SourceArn": BUCKET}}}),
    ({"Principal": "*", "Action": "lambda:InvokeFunctionUrl", "SourceAccount": ACCOUNT, "SourceArn": BUCKET,
      "FunctionUrlAuthType": "NONE", "PrincipalOrgID": "o-1234567890"},
     {"Principal": "*", "Action": "lambda:InvokeFunctionUrl", "Condition": {
         "StringEquals": {"AWS:SourceAccount": ACCOUNT, "lambda:FunctionUrlAuthType": "NONE",
                          "aws:PrincipalOrgID": "o-1234567890"},
         "ArnLike": {"AWS:SourceArn": BUCKET}}}),
    ({"Principal": "*", "InvokedViaFunctionUrl": True},
     {"Principal": "*", "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}}),
    ({"Principal": "alexa-appkit.amazon.com", "EventSourceToken": "amzn1.ask.skill.x"},
     {"Principal": {"Service": "alexa-appkit.amazon.com"},
      "Condition": {"StringEquals": {"lambda:EventSourceToken": "amzn1.ask.skill.x"}}}),
]  # fmt: skip


async def policy_of(plane: ControlPlane, **given: Any) -> tuple[dict[str, Any], str]:
    output = (await plane.call("GetPolicy", FunctionName="f", **given)).output
    document: dict[str, Any] = json.loads(output["Policy"])
    return document, output["RevisionId"]


@pytest.mark.parametrize(("given", "expected"), STATEMENTS, ids=lambda value: ",".join(value))
def test_statement_is_spelled_as_aws_spells_it_and_can_be_evaluated(
    given: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    whole = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
        **expected,
    }

    async def use(plane: ControlPlane) -> None:
        added = await plane.call("AddPermission", **{**S3, **given})
        assert added.status == 201
        assert json.loads(added.output["Statement"]) == whole
        document, _ = await policy_of(plane)
        assert document == {"Version": "2012-10-17", "Id": "default", "Statement": [whole]}
        parse_document(json.dumps(document), PolicyType.RESOURCE)

    with_function(tmp_path, use)


REFUSED: list[tuple[str, dict[str, Any], tuple[int, str, str]]] = [
    ("AddPermission", {"FunctionName": "f:live", "Qualifier": "other"},
     (400, "InvalidParameterValueException",
      "The derived qualifier from the function name does not match the specified qualifier.")),
    ("AddPermission", {"Qualifier": "$LATEST"},
     (400, "InvalidParameterValueException", "We currently do not support adding policies for $LATEST.")),
    ("AddPermission", {"Principal": "invalid.nonaws.com"},
     (400, "InvalidParameterValueException",
      "The provided principal was invalid. Please check the principal and try again.")),
    ("AddPermission", {"FunctionUrlAuthType": "NONE"},
     (400, "InvalidParameterValueException",
      "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action")),
    ("AddPermission", {"FunctionName": "doesnotexist"},
     (404, "ResourceNotFoundException", f"Function not found: {ARN[:-1]}doesnotexist")),
    ("AddPermission", {"Qualifier": "gone"},
     (404, "ResourceNotFoundException", f"Cannot find alias arn: {ARN}:gone")),
    ("AddPermission", {"Qualifier": "42"},
     (404, "ResourceNotFoundException", f"Function not found: {ARN}:42")),
    ("AddPermission", {"Qualifier": "valid-with-$-but-doesnotexist"},
     (404, "ResourceNotFoundException", f"Function not found: {ARN}:valid-with-$-but-doesnotexist")),
    ("GetPolicy", {"FunctionName": "doesnotexist"},
     (404, "ResourceNotFoundException", "The resource you requested does not exist.")),
    ("GetPolicy", {"Qualifier": "42"},
     (404, "ResourceNotFoundException", "The resource you requested does not exist.")),
    ("RemovePermission", {"FunctionName": "doesnotexist"},
     (404, "ResourceNotFoundException", f"No policy found for: {ARN[:-1]}doesnotexist")),
    ("RemovePermission", {"Qualifier": "gone"},
     (404, "ResourceNotFoundException", f"Cannot find alias arn: {ARN}:gone")),
    ("RemovePermission", {},
     (404, "ResourceNotFoundException", "No policy is associated with the given resource.")),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "given", "expected"), REFUSED)
def test_refusals_are_those_recorded(
    operation: str, given: dict[str, Any], expected: tuple[int, str, str], tmp_path: Path
) -> None:
    async def use(plane: ControlPlane) -> None:
        assert await refused(plane.call(operation, **{**S3, **given})) == expected
        assert plane.store.collection(RESOURCE_POLICIES).all() == ()

    with_function(tmp_path, use)


def test_statements_are_added_and_removed_by_id(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.call("AddPermission", **S3)
        assert await refused(plane.call("AddPermission", **S3)) == (
            409,
            "ResourceConflictException",
            "The statement id (s3) provided already exists. Please provide a new statement id, or remove "
            "the existing statement.",
        )
        await plane.call("AddPermission", **{**S3, "StatementId": "sqs", "Principal": "sqs.amazonaws.com"})
        document, _ = await policy_of(plane)
        assert [one["Sid"] for one in document["Statement"]] == ["s3", "sqs"]
        assert await refused(plane.call("RemovePermission", FunctionName="f", StatementId="no")) == (
            404,
            "ResourceNotFoundException",
            "Statement no is not found in resource policy.",
        )
        assert (await plane.call("RemovePermission", FunctionName="f", StatementId="sqs")).status == 204
        document, _ = await policy_of(plane)
        assert [one["Sid"] for one in document["Statement"]] == ["s3"]
        await plane.call("RemovePermission", FunctionName="f", StatementId="s3")
        assert (await refused(policy_of(plane)))[2] == "The resource you requested does not exist."

    with_function(tmp_path, use)


def test_function_version_and_alias_have_policies_of_their_own(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for number, qualifier in enumerate(("1", "live")):
            await plane.call("AddPermission", **{**S3, "StatementId": f"s{number}", "Qualifier": qualifier})
            document, revision = await policy_of(plane, Qualifier=qualifier)
            [one] = document["Statement"]
            assert (one["Sid"], one["Resource"]) == (f"s{number}", f"{ARN}:{qualifier}")
        assert (await refused(policy_of(plane)))[0] == 404
        alias = plane.store.memory.get(ALIASES, qualified_key(F, "live"))
        assert alias is not None and alias.revision_id == revision
        version = plane.store.memory.get(VERSIONS, version_key(F, "1"))
        assert version is not None and version.revision_id not in (revision, "revision of 1")

    with_function(tmp_path, use)


def test_change_of_another_revision_than_the_latest_is_refused(tmp_path: Path) -> None:
    stale = (
        412,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. "
        "Call the GetPolicy API to retrieve the latest Revision Id",
    )

    async def use(plane: ControlPlane) -> None:
        first = plane.record().declared.revision_id
        assert await refused(plane.call("AddPermission", **S3, RevisionId="wrong")) == stale
        await plane.call("AddPermission", **S3, RevisionId=first)
        _, second = await policy_of(plane)
        assert plane.record().declared.revision_id == second != first
        more = {**S3, "StatementId": "more"}
        assert await refused(plane.call("AddPermission", **more, RevisionId=first)) == stale
        await plane.call("AddPermission", **more, RevisionId=second)
        given = {"FunctionName": "f", "StatementId": "more"}
        assert await refused(plane.call("RemovePermission", **given, RevisionId=second)) == stale
        _, third = await policy_of(plane)
        await plane.call("RemovePermission", **given, RevisionId=third)

    with_function(tmp_path, use)


def test_policy_over_20_kb_is_refused_and_the_last_one_kept(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        source = "arn:aws:s3:::" + "b" * 9_000
        for number in range(2):
            await plane.call("AddPermission", **{**S3, "StatementId": f"s{number}"}, SourceArn=source)
        status, code, message = await refused(
            plane.call("AddPermission", **{**S3, "StatementId": "s2"}, SourceArn=source)
        )
        assert (status, code) == (400, "PolicyLengthExceededException")
        assert message.startswith("The final policy size (27") and message.endswith("the limit (20480).")
        assert len((await policy_of(plane))[0]["Statement"]) == 2

    with_function(tmp_path, use)


def test_policies_end_with_their_function(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.call("AddPermission", **S3)
        await plane.call("AddPermission", **S3, Qualifier="live")
        await plane.call("DeleteFunction", FunctionName="f")
        assert plane.store.collection(RESOURCE_POLICIES).all() == ()

    with_function(tmp_path, use)


def test_whole_document_replaces_what_was_added(tmp_path: Path) -> None:
    given = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Deny",
            "Principal": {"AWS": ACCOUNT},
            "Action": ["lambda:InvokeFunction"],
            "Resource": ARN,
        },
    }

    async def use(plane: ControlPlane) -> None:
        await plane.call("AddPermission", **S3)
        put = await plane.call("PutResourcePolicy", ResourceArn=ARN, Policy=json.dumps(given))
        expected = {**given, "Statement": [given["Statement"]]}
        assert json.loads(put.output["Policy"]) == expected
        got = (await plane.call("GetResourcePolicy", ResourceArn=ARN)).output
        assert got == put.output
        assert await policy_of(plane) == (expected, put.output["RevisionId"])
        await plane.call("AddPermission", **S3)
        _, revision = await policy_of(plane)
        stale = plane.call("DeleteResourcePolicy", ResourceArn=ARN, RevisionId=put.output["RevisionId"])
        assert (await refused(stale))[0] == 412
        deleted = await plane.call("DeleteResourcePolicy", ResourceArn=ARN, RevisionId=revision)
        assert deleted.status == 204
        assert (await refused(plane.call("DeleteResourcePolicy", ResourceArn=ARN)))[0] == 404

    with_function(tmp_path, use)


BAD_DOCUMENTS: list[Any] = [
    "not JSON",
    {"Version": "2012-10-17"},
    {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "lambda:*", "Resource": f"{ARN}x"}]},
    {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": ARN}]},
    {"Statement": [{"Effect": "Allow", "Action": "lambda:*", "Resource": ARN}]},
    {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "lambda:*", "NotResource": ARN}]},
]


@pytest.mark.parametrize("given", BAD_DOCUMENTS)
def test_document_that_nobody_could_evaluate_is_refused(given: Any, tmp_path: Path) -> None:
    text = given if isinstance(given, str) else json.dumps(given)

    async def use(plane: ControlPlane) -> None:
        status, code, _ = await refused(plane.call("PutResourcePolicy", ResourceArn=ARN, Policy=text))
        assert (status, code) == (400, "InvalidParameterValueException")

    with_function(tmp_path, use)


def test_resource_policies_of_other_things_than_functions_are_not_built(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:runtime/python"
        status, _, message = await refused(plane.call("GetResourcePolicy", ResourceArn=arn))
        assert status == 501 and arn in message

    with_function(tmp_path, use)
