"""IAM and STS by AWS's own clients."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from harness.squib import Squib, clean_environment, unique_name

BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com", "AWS": "000000000000"},
            "Action": "sts:AssumeRole",
        }
    ],
}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}


def refusal(call: Any, **parameters: Any) -> str:
    """The code that a call is refused with."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    code: str = caught.value.response["Error"]["Code"]
    return code


def new_role(iam: Any, **more: Any) -> Any:
    """A role that anybody of the account may assume."""
    name = unique_name("role")
    return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), **more)["Role"]


def test_a_role_is_made_used_and_taken_down_again(squib: Squib) -> None:
    iam = squib.client("iam")
    role = new_role(
        iam,
        Path="/service/",
        Tags=[{"Key": "team", "Value": "a / b"}],
        MaxSessionDuration=7200,
        Description="a & <b>",
    )
    name = role["RoleName"]
    assert role["AssumeRolePolicyDocument"] == TRUST
    iam.attach_role_policy(RoleName=name, PolicyArn=BASIC)
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(ALLOW))
    assert iam.get_role_policy(RoleName=name, PolicyName="own")["PolicyDocument"] == ALLOW
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [BASIC]
    version = iam.get_policy_version(PolicyArn=BASIC, VersionId="v1")["PolicyVersion"]
    assert version["Document"]["Statement"][0]["Action"] == [
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    ]
    iam.get_waiter("role_exists").wait(RoleName=name)
    got = iam.get_role(RoleName=name)["Role"]
    assert got["Description"] == "a & <b>"
    assert (got["Tags"], got["MaxSessionDuration"]) == ([{"Key": "team", "Value": "a / b"}], 7200)
    assert refusal(iam.delete_role, RoleName=name) == "DeleteConflict"
    iam.delete_role_policy(RoleName=name, PolicyName="own")
    iam.detach_role_policy(RoleName=name, PolicyArn=BASIC)
    iam.delete_role(RoleName=name)
    assert refusal(iam.get_role, RoleName=name) == "NoSuchEntity"


def test_a_users_key_signs_until_it_is_deactivated(squib: Squib) -> None:
    iam = squib.client("iam")
    user = iam.create_user(UserName=unique_name("user"))["User"]
    name = user["UserName"]
    key = iam.create_access_key(UserName=name)["AccessKey"]
    pair = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    sts = squib.client("sts", **pair)
    identity = sts.get_caller_identity()
    assert (identity["UserId"], identity["Arn"]) == (user["UserId"], user["Arn"])
    used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert used["AccessKeyLastUsed"]["ServiceName"] == "sts"
    iam.update_access_key(UserName=name, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert refusal(sts.get_caller_identity) == "InvalidClientTokenId"
    iam.update_access_key(UserName=name, AccessKeyId=key["AccessKeyId"], Status="Active")
    assert sts.get_caller_identity()["Arn"] == user["Arn"]
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    assert refusal(sts.get_caller_identity) == "InvalidClientTokenId"
    assert key["SecretAccessKey"] not in squib.output


def test_lists_are_paged_by_the_sdk(squib: Squib) -> None:
    iam = squib.client("iam")
    path = f"/{unique_name('page')}/"
    names = sorted(
        iam.create_user(UserName=unique_name("u"), Path=path)["User"]["UserName"] for _ in range(5)
    )
    pages = list(iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 2}))
    assert len(pages) == 3
    assert sorted(user["UserName"] for page in pages for user in page["Users"]) == names
    details = iam.get_paginator("get_account_authorization_details")
    found = details.paginate(Filter=["User"], PaginationConfig={"PageSize": 2}).build_full_result()
    assert set(names) <= {user["UserName"] for user in found["UserDetailList"]}


def test_policies_and_their_versions_go_through_the_sdk(squib: Squib) -> None:
    iam = squib.client("iam")
    made = iam.create_policy(
        PolicyName=unique_name("policy"), PolicyDocument=json.dumps(ALLOW), Tags=[{"Key": "k", "Value": "v"}]
    )["Policy"]
    arn = made["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(ALLOW), SetAsDefault=True)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v2"
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "k2", "Value": ""}])
    assert len(iam.list_policy_tags(PolicyArn=arn)["Tags"]) == 2
    assert refusal(iam.delete_policy, PolicyArn=arn) == "DeleteConflict"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)
    bad = {"PolicyName": "bad", "PolicyDocument": '{"Version": "2012-10-17"}'}
    assert refusal(iam.create_policy, **bad) == "MalformedPolicyDocument"
    assert refusal(iam.create_user, UserName="a b") == "ValidationError"
    assert refusal(iam.create_login_profile, UserName="x", Password="y") == "NotImplemented"


def test_a_user_assumes_a_role_and_signs_as_its_session(squib: Squib) -> None:
    iam = squib.client("iam")
    role = new_role(iam)
    name = unique_name("user")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    pair = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    sts = squib.client("sts", **pair)
    wanted = {"RoleArn": role["Arn"], "RoleSessionName": "work", "DurationSeconds": 900}
    assert refusal(sts.assume_role, **wanted) == "AccessDenied"
    allow = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role["Arn"]}],
    }
    iam.put_user_policy(UserName=name, PolicyName="assume", PolicyDocument=json.dumps(allow))
    given = sts.assume_role(**wanted)["Credentials"]
    session = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    as_role = squib.client("sts", **session)
    assert as_role.get_caller_identity()["Arn"].endswith(f":assumed-role/{role['RoleName']}/work")
    root = squib.client("sts")
    assert root.get_access_key_info(AccessKeyId=given["AccessKeyId"])["Account"] == "000000000000"
    assert iam.get_role(RoleName=role["RoleName"])["Role"]["RoleLastUsed"]["Region"] == "eu-west-1"
    iam.delete_role(RoleName=role["RoleName"])
    assert refusal(as_role.get_caller_identity) == "InvalidClientTokenId"
    own = sts.get_session_token()["Credentials"]
    mine = squib.client(
        "sts",
        aws_access_key_id=own["AccessKeyId"],
        aws_secret_access_key=own["SecretAccessKey"],
        aws_session_token=own["SessionToken"],
    )
    assert mine.get_caller_identity()["Arn"].endswith(f":user/{name}")
    for secret in (given["SecretAccessKey"], given["SessionToken"], own["SessionToken"]):
        assert secret not in squib.output


def test_the_simulator_answers_through_the_sdk(squib: Squib) -> None:
    iam = squib.client("iam")
    name = unique_name("user")
    user = iam.create_user(UserName=name)["User"]
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(ALLOW, indent=2))
    (result,) = iam.simulate_principal_policy(
        PolicySourceArn=user["Arn"],
        ActionNames=["sqs:SendMessage"],
        ResourceArns=["arn:aws:sqs:eu-west-1:000000000000:q"],
        ContextEntries=[
            {"ContextKeyName": "aws:a", "ContextKeyValues": ["b"], "ContextKeyType": "stringList"}
        ],
    )["EvaluationResults"]
    assert (result["EvalDecision"], result["EvalActionName"]) == ("allowed", "sqs:SendMessage")
    (matched,) = result["ResourceSpecificResults"][0]["MatchedStatements"]
    assert matched["SourcePolicyId"] == f"user_{name}_p"
    assert (matched["StartPosition"]["Line"], matched["EndPosition"]["Line"]) == (3, 8)


def cli(squib: Squib, *arguments: str, key: tuple[str, str] | None = None) -> Any:
    """What a command of the AWS command line prints."""
    key_id, secret = key or squib.root_key()
    done = subprocess.run(
        [str(Path(sys.executable).parent / "aws"), *arguments, "--output", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=clean_environment(
            AWS_ENDPOINT_URL=squib.url,
            AWS_ACCESS_KEY_ID=key_id,
            AWS_SECRET_ACCESS_KEY=secret,
            AWS_DEFAULT_REGION="eu-west-1",
            HOME=os.environ.get("HOME", "/"),
        ),
    )
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_command_line_makes_a_user_that_can_sign(squib: Squib) -> None:
    name = unique_name("cli")
    made = cli(squib, "iam", "create-user", "--user-name", name)["User"]
    key = cli(squib, "iam", "create-access-key", "--user-name", name)["AccessKey"]
    pair = (key["AccessKeyId"], key["SecretAccessKey"])
    assert cli(squib, "sts", "get-caller-identity", key=pair)["Arn"] == made["Arn"]
    cli(squib, "iam", "attach-user-policy", "--user-name", name, "--policy-arn", BASIC)
    attached = cli(squib, "iam", "list-attached-user-policies", "--user-name", name)["AttachedPolicies"]
    assert attached == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]


def test_the_command_line_assumes_a_role(squib: Squib) -> None:
    role = new_role(squib.client("iam"))
    name = unique_name("cli")
    cli(squib, "iam", "create-user", "--user-name", name)
    key = cli(squib, "iam", "create-access-key", "--user-name", name)["AccessKey"]
    document = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}
    )
    put = ("iam", "put-user-policy", "--user-name", name, "--policy-name", "p", "--policy-document", document)
    cli(squib, *put)
    command = ("sts", "assume-role", "--role-arn", role["Arn"], "--role-session-name", "cli")
    answer = cli(squib, *command, key=(key["AccessKeyId"], key["SecretAccessKey"]))
    assert answer["AssumedRoleUser"]["Arn"].endswith(f":assumed-role/{role['RoleName']}/cli")
