"""Policies that name a user, after the user is gone and another has its name."""

import json
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from harness.functions import Function
from harness.squib import Squib, unique_name
from harness.users import User, refused

REGION: Final = "eu-west-1"
ECHO: Final = "def handler(event, context):\n    return event\n"


def opened_queue(squib: Squib, principal: str) -> tuple[str, str]:
    """URL and ARN of a queue that lets somebody send."""
    sqs = squib.client("sqs", REGION)
    url = sqs.create_queue(QueueName=unique_name("named"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Sid": "me",
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return url, arn


def principal_of(policy: str) -> Any:
    return json.loads(policy)["Statement"][0]["Principal"]["AWS"]


def test_a_name_that_passes_to_another_takes_no_permission_along(squib: Squib) -> None:
    lambda_, sqs = squib.client(), squib.client("sqs", REGION)
    user = User(squib)
    function = squib.deploy(ECHO)
    lambda_.add_permission(
        FunctionName=function.name, StatementId="me", Action="lambda:InvokeFunction", Principal=user.arn
    )
    url, _ = opened_queue(squib, user.arn)

    def shown() -> list[Any]:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
        return [
            principal_of(lambda_.get_policy(FunctionName=function.name)["Policy"]),
            principal_of(attributes["Policy"]),
        ]

    assert Function(user.client(), function.name, function.arn).invoke(1).value == 1
    user.client("sqs").send_message(QueueUrl=url, MessageBody="m")
    assert shown() == [user.arn] * 2
    unique_id = squib.client("iam").get_user(UserName=user.name)["User"]["UserId"]
    user.delete()
    assert shown() == [unique_id] * 2
    after = User(squib, name=user.name)
    assert after.arn == user.arn
    assert shown() == [unique_id] * 2
    refused(after.client().invoke, FunctionName=function.name)
    refused(after.client("sqs").send_message, QueueUrl=url, MessageBody="m")
    lambda_.add_permission(
        FunctionName=function.name, StatementId="other", Action="lambda:GetFunction", Principal=after.arn
    )
    sqs.add_permission(QueueUrl=url, Label="other", AWSAccountIds=["000000000000"], Actions=["SendMessage"])
    assert shown() == [unique_id] * 2, "a statement that is added changes no other"
    refused(after.client().invoke, FunctionName=function.name)
    after.client().get_function(FunctionName=function.name)
    lambda_.remove_permission(FunctionName=function.name, StatementId="me")
    lambda_.add_permission(
        FunctionName=function.name, StatementId="me", Action="lambda:InvokeFunction", Principal=after.arn
    )
    assert Function(after.client(), function.name, function.arn).invoke(2).value == 2


def test_whoever_does_not_exist_cannot_be_named(squib: Squib) -> None:
    nobody = f"arn:aws:iam::000000000000:user/{unique_name('nobody')}"
    function = squib.deploy(ECHO)
    with pytest.raises(ClientError, match="The provided principal was invalid"):
        squib.client().add_permission(
            FunctionName=function.name, StatementId="me", Action="lambda:InvokeFunction", Principal=nobody
        )
    with pytest.raises(ClientError, match="Invalid value for the parameter Policy"):
        opened_queue(squib, nobody)


def test_a_layer_can_name_no_user(squib: Squib) -> None:
    user = User(squib)
    with pytest.raises(ClientError, match="satisfy"):
        squib.client().add_layer_version_permission(
            LayerName="any",
            VersionNumber=1,
            StatementId="me",
            Action="lambda:GetLayerVersion",
            Principal=user.arn,
        )
