"""Who may do what, with real clients: users, execution roles, other accounts, and the ways to gain rights."""

import json
import time
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from harness.functions import ROLE, Function, zip_of
from harness.squib import LAMBDA_TRUST, PYTHON, Squib, unique_name
from harness.users import User, everything, refused, stranger

ACCOUNT: Final = "000000000000"
REGION: Final = "eu-west-1"
ECHO: Final = "def handler(event, context):\n    print('said')\n    return event\n"
CALL: Final = """
import boto3
def handler(event, context):
    client = boto3.client(event["service"], region_name=event.get("region"))
    try:
        getattr(client, event["operation"])(**event.get("with", {}))
        return "allowed"
    except client.exceptions.ClientError as error:
        return error.response["Error"]["Code"] + ": " + error.response["Error"]["Message"]
"""


def test_a_user_may_invoke_only_what_a_policy_names(squib: Squib) -> None:
    function, other = squib.deploy(ECHO), squib.deploy(ECHO)
    user = User(squib, everything("lambda:InvokeFunction", function.arn))
    assert Function(user.client(), function.name, function.arn).invoke(1).value == 1
    said = refused(user.client().invoke, FunctionName=other.name)
    assert said == (
        f"User: {user.arn} is not authorized to perform: lambda:InvokeFunction on resource: {other.arn} "
        "because no identity-based policy allows the lambda:InvokeFunction action"
    )
    assert "lambda:GetFunction" in refused(user.client().get_function, FunctionName=function.name)


def test_what_is_revoked_is_refused_on_the_next_call(squib: Squib) -> None:
    function = squib.deploy(ECHO)
    user = User(squib, everything("lambda:*"))
    as_user = Function(user.client(), function.name, function.arn)
    assert as_user.invoke(1).value == 1
    user.allow({"Effect": "Deny", "Action": "lambda:InvokeFunction", "Resource": "*", "Sid": "No"})
    assert "with an explicit deny in an identity-based policy" in refused(
        user.client().invoke, FunctionName=function.name
    )
    squib.client("iam", "us-east-1").update_access_key(
        UserName=user.name, AccessKeyId=user.key["aws_access_key_id"], Status="Inactive"
    )
    with pytest.raises(ClientError, match="security token included in the request is invalid"):
        user.client().invoke(FunctionName=function.name)


def test_a_function_may_do_what_its_role_allows_and_no_more(squib: Squib) -> None:
    sqs = squib.client("sqs", REGION)
    mine = sqs.create_queue(QueueName=unique_name("mine"))["QueueUrl"]
    theirs = sqs.create_queue(QueueName=unique_name("theirs"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=mine, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    role = squib.role(unique_name("sender"), allow=[everything("sqs:SendMessage", arn)])
    function = squib.deploy(CALL, Role=role, Timeout=20)

    def attempt(service: str, operation: str, **given: Any) -> str:
        event = {"service": service, "operation": operation, "with": given, "region": REGION}
        return str(function.invoke(event).value)

    assert attempt("sqs", "send_message", QueueUrl=mine, MessageBody="m") == "allowed"
    assert "sqs:SendMessage" in attempt("sqs", "send_message", QueueUrl=theirs, MessageBody="m")
    for service, operation, given in (
        ("sqs", "receive_message", {"QueueUrl": mine}),
        ("lambda", "get_function", {"FunctionName": function.name}),
        ("lambda", "update_function_configuration", {"FunctionName": function.name, "Role": ROLE}),
        ("iam", "list_users", {}),
        ("iam", "create_user", {"UserName": "intruder"}),
        (
            "iam",
            "put_role_policy",
            {"RoleName": role.rpartition("/")[2], "PolicyName": "p", "PolicyDocument": "{}"},
        ),
        ("sts", "assume_role", {"RoleArn": ROLE, "RoleSessionName": "session"}),
        ("logs", "describe_log_groups", {}),
    ):
        assert attempt(service, operation, **given).startswith("AccessDenied"), (service, operation)


def test_a_function_without_rights_to_its_logs_writes_none(squib: Squib) -> None:
    silent = squib.deploy(ECHO, Role=squib.role(unique_name("silent")))
    result = silent.invoke(1)
    assert result.value == 1
    assert "said" in result.log, "the tail is the caller's, not the log's"
    spoken = squib.deploy(ECHO)
    spoken.invoke(1)
    logs = squib.client("logs", REGION)
    deadline_s = time.monotonic() + 20
    while not _messages(logs, spoken):
        assert time.monotonic() < deadline_s
    groups = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{silent.name}")["logGroups"]
    assert groups == []


def _messages(logs: Any, function: Function) -> list[str]:
    try:
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{function.name}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in found]


def test_an_environment_stops_writing_when_its_role_may_no_more(squib: Squib) -> None:
    rights = everything(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"])
    role = squib.role(unique_name("writer"), allow=[rights])
    source = "def handler(event, context):\n    print('said', event)\n    return context.log_stream_name\n"
    function = squib.deploy(source, Role=role)
    iam, name = squib.client("iam", "us-east-1"), role.rpartition("/")[2]
    [policy] = iam.list_role_policies(RoleName=name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    first = function.invoke("one").value
    iam.delete_role_policy(RoleName=name, PolicyName=policy)
    assert function.invoke("two").value == first, "the environment is the same"
    iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
    assert function.invoke("three").value == first
    logs = squib.client("logs", REGION)
    deadline_s = time.monotonic() + 20
    while not any("said three" in message for message in _messages(logs, function)):
        assert time.monotonic() < deadline_s
    text = "".join(_messages(logs, function))
    assert "said one" in text and "said two" not in text


def test_a_group_that_the_role_may_not_make_is_written_to_when_it_is_there(squib: Squib) -> None:
    rights = everything(["logs:CreateLogStream", "logs:PutLogEvents"])
    function = squib.deploy(ECHO, Role=squib.role(unique_name("writer"), allow=[rights]))
    function.invoke(1)
    logs = squib.client("logs", REGION)
    group = f"/aws/lambda/{function.name}"
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"] == []
    logs.create_log_group(logGroupName=group)
    function.configure(Description="a new environment")
    function.invoke(1)
    deadline_s = time.monotonic() + 20
    while not _messages(logs, function):
        assert time.monotonic() < deadline_s


def test_a_function_needs_a_role_that_exists_and_trusts_lambda(squib: Squib) -> None:
    client = squib.client()
    iam = squib.client("iam", "us-east-1")
    other = unique_name("ec2")
    trust = json.dumps(LAMBDA_TRUST).replace("lambda.amazonaws.com", "ec2.amazonaws.com")
    other_arn = iam.create_role(RoleName=other, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    for role in (f"arn:aws:iam::{ACCOUNT}:role/nobody", other_arn):
        with pytest.raises(ClientError) as caught:
            _create(client, role)
        error = caught.value.response["Error"]
        assert error["Code"] == "InvalidParameterValueException"
        assert error["Message"] == "The role defined for the function cannot be assumed by Lambda."


def _create(client: Any, role: str) -> str:
    name = unique_name()
    client.create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Handler="app.handler",
        Role=role,
        Code={"ZipFile": zip_of({"app.py": ECHO})},
    )
    return name


def test_giving_a_function_a_role_takes_the_right_to_pass_it(squib: Squib) -> None:
    strong = squib.role(unique_name("strong"), managed=["AdministratorAccess"])
    user = User(squib, everything("lambda:*"))
    said = refused(_create, client=user.client(), role=strong)
    assert said.startswith(
        f"User: {user.arn} is not authorized to perform: iam:PassRole on resource: {strong}"
    )
    user.allow(everything("lambda:*"), everything("iam:PassRole", ROLE))
    name = _create(user.client(), ROLE)
    user.client().get_waiter("function_active_v2").wait(FunctionName=name)
    refused(user.client().update_function_configuration, FunctionName=name, Role=strong)
    user.allow(
        everything("lambda:*"),
        {
            **everything("iam:PassRole"),
            "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        },
    )
    assert "iam:PassRole" in refused(_create, client=user.client(), role=strong)


@pytest.mark.parametrize(
    ("may", "attempt"),
    [
        ("iam:CreatePolicyVersion", "attach_user_policy"),
        ("iam:ListPolicies", "create_policy_version"),
        ("iam:AttachRolePolicy", "attach_user_policy"),
        ("iam:GetRole", "update_assume_role_policy"),
        ("iam:ListAccessKeys", "create_access_key"),
        ("iam:GetUserPolicy", "put_user_policy"),
        ("iam:GetGroup", "add_user_to_group"),
        ("iam:GetUser", "put_user_permissions_boundary"),
        ("iam:GetUser", "delete_user_permissions_boundary"),
        ("iam:ListPolicyVersions", "set_default_policy_version"),
        ("iam:GetRole", "put_role_policy"),
        ("iam:GetRole", "attach_role_policy"),
    ],
)
def test_who_lacks_one_step_does_not_climb(squib: Squib, may: str, attempt: str) -> None:
    iam = squib.client("iam", "us-east-1")
    name = unique_name("climb")
    policy = iam.create_policy(PolicyName=name, PolicyDocument=_admin())["Policy"]["Arn"]
    iam.create_group(GroupName=name)
    user = User(squib, everything([may, "sts:*"]))
    given: dict[str, dict[str, Any]] = {
        "attach_user_policy": {"UserName": user.name, "PolicyArn": policy},
        "create_policy_version": {"PolicyArn": policy, "PolicyDocument": _admin(), "SetAsDefault": True},
        "update_assume_role_policy": {"RoleName": "test-role", "PolicyDocument": "{}"},
        "create_access_key": {"UserName": user.name},
        "put_user_policy": {"UserName": user.name, "PolicyName": "p", "PolicyDocument": _admin()},
        "add_user_to_group": {"UserName": user.name, "GroupName": name},
        "put_user_permissions_boundary": {"UserName": user.name, "PermissionsBoundary": policy},
        "delete_user_permissions_boundary": {"UserName": user.name},
        "set_default_policy_version": {"PolicyArn": policy, "VersionId": "v1"},
        "put_role_policy": {"RoleName": "test-role", "PolicyName": "p", "PolicyDocument": _admin()},
        "attach_role_policy": {"RoleName": "test-role", "PolicyArn": policy},
    }
    assert f"User: {user.arn} is not authorized" in refused(
        getattr(user.client("iam", "us-east-1"), attempt), **given[attempt]
    )


def _admin() -> str:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_another_account_needs_both_sides_and_the_qualifier_that_was_opened(squib: Squib) -> None:
    them = stranger(squib)
    function = squib.deploy(ECHO)
    own = squib.client()
    version = own.publish_version(FunctionName=function.name)["Version"]
    alias = own.create_alias(FunctionName=function.name, Name="live", FunctionVersion=version)["AliasArn"]
    own.get_waiter("published_version_active").wait(FunctionName=function.name, Qualifier=version)
    foreign = squib.client("lambda", REGION, **them)
    said = refused(foreign.invoke, FunctionName=alias)
    assert "because no resource-based policy allows the lambda:InvokeFunction action" in said
    own.add_permission(
        FunctionName=function.name,
        Qualifier="live",
        StatementId="them",
        Action="lambda:InvokeFunction",
        Principal="111111111111",
    )
    assert Function(foreign, alias, alias).invoke(7).value == 7
    refused(foreign.invoke, FunctionName=function.arn)
    refused(foreign.invoke, FunctionName=f"{function.arn}:{version}")
    refused(foreign.get_function, FunctionName=alias)
    iam = squib.client("iam", "us-east-1", **them)
    name = unique_name("far")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    as_user = squib.client(
        "lambda",
        REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    assert "identity-based" in refused(as_user.invoke, FunctionName=alias)
    own.remove_permission(FunctionName=function.name, Qualifier="live", StatementId="them")
    refused(foreign.invoke, FunctionName=alias)


def test_a_function_of_another_account_is_out_of_reach_of_a_functions_credentials(squib: Squib) -> None:
    role = squib.role(unique_name("caller"), allow=[everything("lambda:InvokeFunction")])
    function = squib.deploy(CALL, Role=role, Timeout=20)
    target = f"arn:aws:lambda:{REGION}:222222222222:function:f"
    event = {"service": "lambda", "operation": "invoke", "with": {"FunctionName": target}, "region": REGION}
    assert function.invoke(event).value.startswith("AccessDeniedException: ")


def test_a_condition_on_the_source_function_tells_functions_of_one_role_apart(squib: Squib) -> None:
    target = squib.deploy(ECHO)
    name = unique_name("one")
    condition = {
        "ArnEquals": {"lambda:SourceFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"}
    }
    role = squib.role(
        unique_name("shared"), allow=[{**everything("lambda:InvokeFunction"), "Condition": condition}]
    )
    event = {
        "service": "lambda",
        "operation": "invoke",
        "with": {"FunctionName": target.name},
        "region": REGION,
    }
    assert squib.deploy(CALL, name=name, Role=role, Timeout=20).invoke(event).value == "allowed"
    other = squib.deploy(CALL, Role=role, Timeout=20).invoke(event).value
    assert other.startswith("AccessDeniedException: ")
