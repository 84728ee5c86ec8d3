"""Other ways to what a caller may not: another spelling of a name, another operation that does the same."""

import json
from typing import Any, Final

import pytest

from harness.functions import zip_of
from harness.squib import PYTHON, Squib, unique_name
from harness.users import User, everything, refused, stranger

ACCOUNT: Final = "000000000000"
REGION: Final = "eu-west-1"
ECHO: Final = "def handler(event, context):\n    return event\n"


def denied(action: str, resource: str) -> dict[str, object]:
    return {"Effect": "Deny", "Action": action, "Resource": resource}


@pytest.mark.parametrize("partition", ["aws", "aws-cn"])
def test_what_is_denied_of_a_function_is_denied_in_every_partition(squib: Squib, partition: str) -> None:
    function = squib.deploy(ECHO)
    user = User(squib, everything("*"), denied("lambda:*", function.arn))
    spelled = function.arn.replace("arn:aws:", f"arn:{partition}:")
    assert "explicit deny" in refused(user.client().tag_resource, Resource=spelled, Tags={"owner": "me"})
    assert "explicit deny" in refused(user.client().get_function, FunctionName=spelled)


@pytest.mark.parametrize("number", ["1", "01"])
def test_a_layer_that_is_denied_is_denied_however_its_number_is_written(squib: Squib, number: str) -> None:
    function = squib.deploy(ECHO)
    layer = squib.client().publish_layer_version(
        LayerName=unique_name("layer"), Content={"ZipFile": zip_of({"a.txt": "a"})}
    )
    user = User(squib, everything("*"), denied("lambda:GetLayerVersion", layer["LayerVersionArn"]))
    spelled = f"{layer['LayerArn']}:{number}"
    assert "explicit deny" in refused(
        user.client().update_function_configuration, FunctionName=function.name, Layers=[spelled]
    )
    assert "explicit deny" in refused(user.client().get_layer_version_by_arn, Arn=spelled)


def test_a_layer_of_no_partition_is_none(squib: Squib) -> None:
    own = squib.client()
    with pytest.raises(own.exceptions.ResourceNotFoundException):
        own.publish_layer_version(
            LayerName=f"arn::lambda:{REGION}:{ACCOUNT}:layer:l", Content={"ZipFile": zip_of({"a": "a"})}
        )


def test_a_log_that_is_denied_is_denied_by_its_arn_too(squib: Squib) -> None:
    name = unique_name("secret")
    squib.client("logs", REGION).create_log_group(logGroupName=name)
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"
    user = User(squib, everything("*"), denied("logs:*", f"{arn}:*"))
    logs = user.client("logs")
    for named in ({"logGroupName": name}, {"logGroupIdentifier": arn}):
        assert "explicit deny" in refused(logs.filter_log_events, **named)
        assert "explicit deny" in refused(logs.describe_log_streams, **named)


def test_moving_messages_needs_the_rights_to_receive_and_to_send_them(squib: Squib) -> None:
    sqs = squib.client("sqs", REGION)
    dead, victim = _queue(sqs, "dead"), _queue(sqs, "victim")
    policy = json.dumps({"deadLetterTargetArn": _arn(dead), "maxReceiveCount": 1})
    source = _queue(sqs, "source", RedrivePolicy=policy)
    start = everything(["sqs:StartMessageMoveTask", "sqs:ReceiveMessage"], _arn(dead))
    user = User(squib, start)
    call = user.client("sqs").start_message_move_task
    assert "sqs:DeleteMessage" in refused(call, SourceArn=_arn(dead), DestinationArn=_arn(victim))
    user.allow(everything("sqs:*", _arn(dead)))
    said = refused(call, SourceArn=_arn(dead), DestinationArn=_arn(victim))
    assert f"sqs:SendMessage on resource: {_arn(victim)}" in said
    assert f"sqs:SendMessage on resource: {_arn(source)}" in refused(call, SourceArn=_arn(dead))
    user.allow(everything("sqs:*", _arn(dead)), everything("sqs:SendMessage", _arn(source)))
    assert call(SourceArn=_arn(dead))["TaskHandle"]


def _queue(sqs: Any, name: str, **attributes: str) -> str:
    return str(sqs.create_queue(QueueName=unique_name(name), Attributes=attributes)["QueueUrl"])


def _arn(url: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{url.rpartition('/')[2]}"


def test_another_account_that_may_change_a_function_gives_it_no_role(squib: Squib) -> None:
    strong = squib.role(unique_name("strong"), managed=["AdministratorAccess"])
    function = squib.deploy(ECHO)
    squib.client().add_permission(
        FunctionName=function.name, StatementId="them", Action="lambda:*", Principal="111111111111"
    )
    foreign = squib.client("lambda", REGION, **stranger(squib))
    changed = foreign.update_function_configuration(FunctionName=function.arn, Description="theirs")
    assert changed["Runtime"] == PYTHON
    squib.client().get_waiter("function_updated_v2").wait(FunctionName=function.name)
    said = refused(foreign.update_function_configuration, FunctionName=function.arn, Role=strong)
    assert f"iam:PassRole on resource: {strong}" in said


def test_a_queue_whose_url_is_denied_is_not_told_for_an_owner_that_is_none(squib: Squib) -> None:
    url = _queue(squib.client("sqs", REGION), "hidden")
    user = User(squib, everything("*"), denied("sqs:GetQueueUrl", _arn(url)))
    sqs = user.client("sqs")
    name = url.rpartition("/")[2]
    refused(sqs.get_queue_url, QueueName=name)
    for owner in (f"{ACCOUNT}:x", "me"):
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=owner)
