"""What squib does on behalf of a function reaches nothing of another account that is not open to it."""

import json
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from harness.machine import eventually
from harness.squib import Squib, unique_name
from harness.users import everything, stranger

REGION: Final = "eu-west-1"
ECHO: Final = "def handler(event, context):\n    return event\n"


class Theirs:
    """A queue of another account."""

    def __init__(self, squib: Squib) -> None:
        self.sqs = squib.client("sqs", REGION, **stranger(squib))
        self.url = self.sqs.create_queue(QueueName=unique_name("theirs"))["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn: str = attributes["Attributes"]["QueueArn"]

    def open_to(self, principal: str, *actions: str) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": principal},
            "Action": list(actions),
            "Resource": self.arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})

    def bodies(self) -> list[Any]:
        found = self.sqs.receive_message(QueueUrl=self.url, WaitTimeSeconds=1).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]


def test_a_destination_of_another_account_must_let_the_role_in(squib: Squib) -> None:
    theirs = Theirs(squib)
    role = squib.role(unique_name("sender"), allow=[everything("sqs:*")])
    function = squib.deploy(ECHO, Role=role)
    own = squib.client("sqs", REGION)
    url = own.create_queue(QueueName=unique_name("own"))["QueueUrl"]
    arn = own.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client = squib.client()

    def send_to(destination: str, event: int) -> None:
        client.put_function_event_invoke_config(
            FunctionName=function.name, DestinationConfig={"OnSuccess": {"Destination": destination}}
        )
        client.invoke(FunctionName=function.name, InvocationType="Event", Payload=json.dumps(event))

    try:
        send_to(theirs.arn, 1)
    except ClientError as error:  # refused at once is as good
        assert theirs.arn in str(error)
    send_to(arn, 2)
    (told,) = own.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    assert json.loads(told["Body"])["requestPayload"] == 2
    assert theirs.bodies() == []
    theirs.open_to(role, "sqs:SendMessage")
    send_to(theirs.arn, 3)
    [record] = eventually(theirs.bodies, within_s=20, what="the record is there")
    assert record["requestPayload"] == 3


def test_a_mapping_takes_nothing_of_a_queue_that_is_not_open_to_its_role(squib: Squib) -> None:
    theirs = Theirs(squib)
    role = squib.role(unique_name("reader"), allow=[everything(["sqs:*", "logs:*"])])
    function = squib.deploy(ECHO, Role=role)
    client = squib.client()
    theirs.sqs.send_message(QueueUrl=theirs.url, MessageBody="1")
    with pytest.raises(ClientError, match="does not have permissions"):
        client.create_event_source_mapping(FunctionName=function.name, EventSourceArn=theirs.arn)
    rights = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
    theirs.open_to(role, *rights)
    uuid = client.create_event_source_mapping(FunctionName=function.name, EventSourceArn=theirs.arn)["UUID"]
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def is_taken() -> bool:
        left = theirs.sqs.get_queue_attributes(QueueUrl=theirs.url, AttributeNames=counts)["Attributes"]
        return set(left.values()) == {"0"}

    eventually(is_taken, within_s=20, what="the message is taken")
    theirs.sqs.set_queue_attributes(QueueUrl=theirs.url, Attributes={"Policy": ""})

    def said() -> bool:
        return "PROBLEM" in client.get_event_source_mapping(UUID=uuid).get("LastProcessingResult", "")

    eventually(said, within_s=20, what="the mapping says that it may not")
    theirs.sqs.send_message(QueueUrl=theirs.url, MessageBody="2")
    assert theirs.bodies() == [2]
    client.delete_event_source_mapping(UUID=uuid)
