"""What operations ask permission for, against AWS's service authorization reference."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from harness.access import NothingStored
from squib.gateway.actions.rule import ANYTHING, Ask, Place, Rule, asks
from squib.gateway.actions.table import TABLE
from squib.model.identity import Principal, PrincipalKind, root_principal
from squib.model.queue import task_handle
from squib.model.units import AccountId, Region

ACCOUNT: Final = AccountId("000000000000")
REGION: Final = Region("eu-west-1")
REFERENCE: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "cases/service_authorization.json").read_text()
)["services"]
ROWS: Final = sorted(TABLE.items())
NOT_IN_THE_REFERENCE: Final = {
    *(f"lambda:{verb}DurableExecution" for verb in ("Delete", "Pause", "Resume")),
    *(f"lambda:{verb}ResourcePolicy" for verb in ("Get", "Put", "Delete")),
}
"""Operations of the model that the reference does not list yet; none is named otherwise there."""
INPUT: Final = {
    "FunctionName": "f",
    "Qualifier": "live",
    "LayerName": "l",
    "VersionNumber": 3,
    "UUID": "u",
    "CapacityProviderName": "c",
    "CodeSigningConfigArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-1",
    "DurableExecutionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:1/durable-execution/e/1",
    "Resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f",
    "ResourceArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f",
    "Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:3",
    "Role": f"arn:aws:iam::{ACCOUNT}:role/r",
    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
    "UserName": "u",
    "RoleName": "r",
    "GroupName": "g",
    "PolicyName": "p",
    "PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/p",
    "PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:role/r",
    "QueueUrl": f"http://127.0.0.1:4566/{ACCOUNT}/q",
    "QueueName": "q",
    "SourceArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q",
    "TaskHandle": task_handle("t", f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"),
    "logGroupName": "g",
}


def place(principal: Principal | None = None) -> Place:
    return Place(principal or root_principal(ACCOUNT), ACCOUNT, REGION, NothingStored())


def asked(service: str, operation: str, **given: Any) -> list[Ask]:
    return list(asks(TABLE[service, operation], given, place()))


def reference_of(action: str) -> dict[str, Any]:
    service, _, name = action.partition(":")
    found: dict[str, Any] = REFERENCE[service]["actions"].get(name, {})
    return found


@pytest.mark.parametrize(
    ("named", "rule"), ROWS, ids=lambda value: ":".join(value) if isinstance(value, tuple) else ""
)
def test_each_action_is_one_of_aws_and_names_a_resource_of_its_type(
    named: tuple[str, str], rule: Rule
) -> None:
    action = rule.action
    if action in NOT_IN_THE_REFERENCE:
        assert not reference_of(action)
        return
    known = reference_of(action)
    assert known, f"{action} is no action of AWS"
    resource = rule.resource(INPUT, place())
    service = action.partition(":")[0]
    patterns = [pattern_of(REFERENCE[service]["resources"][kind]) for kind in known["resources"]]
    if resource == ANYTHING:
        assert not patterns or named in ASKED_OF_ANYTHING
    else:
        assert any(re.fullmatch(pattern, resource) for pattern in patterns) or named in NAMED_ALL_THE_SAME, (
            resource
        )


ASKED_OF_ANYTHING: Final = {
    *(
        ("lambda", f"SendDurableExecutionCallback{how}") for how in ("Failure", "Heartbeat", "Success")
    ),  # a callback id does not say which execution it belongs to
    ("sts", "GetSessionToken"),
    ("iam", "GetAccessKeyLastUsed"),
}
NAMED_ALL_THE_SAME: Final = {("logs", "DescribeLogGroups")}  # AWS's refusals name the log group pattern


def pattern_of(template: str) -> str:
    """An expression for the ARNs of a template such as `arn:${Partition}:sqs:...`."""
    parts = re.split(r"\$\{\w+\}", template)
    return ".*".join(re.escape(part) for part in parts) + "(:.*)?"


@pytest.mark.parametrize(
    ("named", "rule"), ROWS, ids=lambda value: ":".join(value) if isinstance(value, tuple) else ""
)
def test_each_condition_key_is_one_that_aws_has_for_the_action(named: tuple[str, str], rule: Rule) -> None:
    given = {
        **INPUT,
        "Tags": [{"Key": "k", "Value": "v"}] if named[0] in ("iam", "sts") else {"k": "v"},
        "TagKeys": ["k"],
        "Layers": ["arn:aws:lambda:eu-west-1:000000000000:layer:l:3"],
        "VpcConfig": {"SubnetIds": ["s"], "SecurityGroupIds": ["g"]},
        "Principal": "s3.amazonaws.com",
        "FunctionUrlAuthType": "NONE",
        "AuthType": "NONE",
        "PermissionsBoundary": "arn:aws:iam::000000000000:policy/b",
        "ExternalId": "e",
        "RoleSessionName": "s",
    }
    for ask in asks(rule, given, place()):
        allowed = {key.split("/")[0] for key in reference_of(ask.action).get("keys", ())}
        assert {key.split("/")[0] for key in ask.keys} <= allowed, ask


def test_a_function_is_asked_for_as_the_call_names_it() -> None:
    whole = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    assert asked("lambda", "Invoke", FunctionName="f") == [Ask("lambda:InvokeFunction", whole, {})]
    assert asked("lambda", "Invoke", FunctionName="f", Qualifier="live")[0].resource == f"{whole}:live"
    assert asked("lambda", "Invoke", FunctionName=f"{whole}:7")[0].resource == f"{whole}:7"
    assert asked("lambda", "GetAlias", FunctionName="f", Name="live")[0].resource == whole


def test_a_function_with_a_role_and_layers_asks_for_these_too() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    layer = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"
    own, pass_role, get_layer = asked("lambda", "CreateFunction", FunctionName="f", Role=role, Layers=[layer])
    assert own.keys == {"lambda:Layer": (layer,)}
    assert (pass_role.action, pass_role.resource) == ("iam:PassRole", role)
    assert pass_role.keys["iam:PassedToService"] == "lambda.amazonaws.com"
    assert (get_layer.action, get_layer.resource) == ("lambda:GetLayerVersion", layer)


@pytest.mark.parametrize(
    ("operation", "member"),
    [("CreateFunction", "Code"), ("UpdateFunctionCode", None), ("PublishLayerVersion", "Content")],
)
def test_code_in_s3_takes_the_right_to_read_it(operation: str, member: str | None) -> None:
    named = {"S3Bucket": "b", "S3Key": "k/x.zip"}

    def of_s3(**code: str) -> list[tuple[str, str]]:
        given = code if member is None else {member: code}
        found = asked("lambda", operation, FunctionName="f", LayerName="l", **given)
        return [(ask.action, ask.resource) for ask in found if ask.action.startswith("s3:")]

    assert of_s3(**named) == [("s3:GetObject", "arn:aws:s3:::b/k/x.zip")]
    assert of_s3(**named, S3ObjectVersion="v") == [("s3:GetObjectVersion", "arn:aws:s3:::b/k/x.zip")]
    assert of_s3(ZipFile="") == []


def test_an_update_without_a_role_asks_for_no_role() -> None:
    assert [ask.action for ask in asked("lambda", "UpdateFunctionConfiguration", FunctionName="f")] == [
        "lambda:UpdateFunctionConfiguration"
    ]


def test_a_user_that_is_not_named_is_the_caller() -> None:
    user = Principal(
        kind=PrincipalKind.USER, account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/a/me", user_id="AIDA"
    )
    [ask] = asks(TABLE["iam", "ListAccessKeys"], {}, place(user))
    assert ask.resource == user.arn


def test_a_queue_is_named_by_its_url_or_its_name_and_owner() -> None:
    url = f"http://127.0.0.1:4566/{ACCOUNT}/q.fifo"
    assert asked("sqs", "SendMessageBatch", QueueUrl=url) == [
        Ask("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:q.fifo", {})
    ]
    [ask] = asked("sqs", "GetQueueUrl", QueueName="q", QueueOwnerAWSAccountId="111111111111")
    assert ask.resource == f"arn:aws:sqs:{REGION}:111111111111:q"


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov", "aws"])
@pytest.mark.parametrize(
    ("service", "operation", "given", "resource"),
    [
        ("lambda", "TagResource", {"Resource": "lambda:REGION:ACCOUNT:function:f", "Tags": {}}, "function:f"),
        ("lambda", "Invoke", {"FunctionName": "lambda:REGION:ACCOUNT:function:f"}, "function:f"),
        ("lambda", "ListLayerVersions", {"LayerName": "lambda:REGION:ACCOUNT:layer:l"}, ANYTHING),
        ("lambda", "PublishLayerVersion", {"LayerName": "lambda:REGION:ACCOUNT:layer:l"}, "layer:l"),
        ("lambda", "GetLayerVersionByArn", {"Arn": "lambda:REGION:ACCOUNT:layer:l:03"}, "layer:l:3"),
        ("sqs", "StartMessageMoveTask", {"SourceArn": "sqs:REGION:ACCOUNT:q"}, "q"),
        ("logs", "TagResource", {"resourceArn": "logs:REGION:ACCOUNT:log-group:g"}, "log-group:g"),
        (
            "logs",
            "GetLogEvents",
            {"logGroupIdentifier": "logs:REGION:ACCOUNT:log-group:g", "logStreamName": "s"},
            "log-group:g:log-stream:s",
        ),
        (
            "logs",
            "FilterLogEvents",
            {"logGroupIdentifier": "logs:REGION:ACCOUNT:log-group:g:*"},
            "log-group:g:log-stream:",
        ),
    ],
)
def test_one_thing_is_asked_for_by_one_arn_however_it_is_spelled(
    partition: str, service: str, operation: str, given: dict[str, Any], resource: str
) -> None:
    """A denial of `arn:aws:...` holds for every spelling that a handler takes for the same thing."""

    def spelled(value: object) -> object:
        if not isinstance(value, str) or not value.startswith(("lambda:", "sqs:", "logs:")):
            return value
        return f"arn:{partition}:{value}".replace("REGION", REGION).replace("ACCOUNT", ACCOUNT)

    asks_for = asked(service, operation, **{name: spelled(value) for name, value in given.items()})[
        0
    ].resource
    own = f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"
    assert asks_for == (ANYTHING if resource == ANYTHING else own)


def test_layers_are_asked_for_by_the_number_that_they_have() -> None:
    layer = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l"
    other = layer.replace("arn:aws:", "arn:aws-cn:")
    asks_for = asked("lambda", "UpdateFunctionConfiguration", FunctionName="f", Layers=[f"{other}:07"])
    assert asks_for[0].keys == {"lambda:Layer": (f"{layer}:7",)}
    assert asks_for[1] == Ask("lambda:GetLayerVersion", f"{layer}:7", {})


def test_moving_messages_takes_the_right_to_receive_and_to_send_them() -> None:
    dead, other = (f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}" for name in ("dead", "other"))
    wanted = [("ReceiveMessage", dead), ("DeleteMessage", dead), ("GetQueueAttributes", dead)]
    to_other = asked("sqs", "StartMessageMoveTask", SourceArn=dead, DestinationArn=other)
    assert [(ask.action.removeprefix("sqs:"), ask.resource) for ask in to_other[1:]] == [
        *wanted,
        ("SendMessage", other),
    ]


def test_a_queue_of_no_possible_name_or_owner_is_asked_for_as_anything() -> None:
    """Or one would be asked about, and the handler would look for another."""
    for given in ({"QueueOwnerAWSAccountId": f"{ACCOUNT}:x"}, {"QueueOwnerAWSAccountId": "me"}):
        assert asked("sqs", "GetQueueUrl", QueueName="q", **given)[0].resource == ANYTHING
