"""Mappings under test: a queue, a function that tells what it got, and the mapping between them."""

import json
from collections.abc import Mapping
from typing import Any, Final

from harness.functions import Function
from harness.machine import eventually
from harness.squib import Squib, unique_name

REGION: Final = "eu-west-1"
QUEUE_ROLE: Final = "service-role/AWSLambdaSQSQueueExecutionRole"

COLLECTOR: Final = """
import json, os, time, boto3
sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def handler(event, context):
    sqs.send_message(QueueUrl=os.environ["RESULTS"], MessageBody=json.dumps(event))
"""

TIMES: Final = """
import json, os, boto3
sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def handler(event, context):
    sqs.send_message(QueueUrl=os.environ["RESULTS"], MessageBody=json.dumps(event))
    bad = [one["messageId"] for one in event["Records"] if "bad" in one["body"]]
    if bad and not os.environ.get("REPORTS"):
        raise ValueError("bad")
    return {"batchItemFailures": [{"itemIdentifier": one} for one in bad]}
"""


class Queue:
    """A queue of a squib under test."""

    def __init__(
        self, squib: Squib, name: str | None = None, *, fifo: bool = False, **attributes: Any
    ) -> None:
        self.client = squib.client("sqs", REGION)
        self.name = name or unique_name("q")
        if fifo:
            self.name += ".fifo"
            attributes["FifoQueue"] = "true"
        given = {name: str(value) for name, value in attributes.items()}
        self.url = self.client.create_queue(QueueName=self.name, Attributes=given)["QueueUrl"]
        self.arn = f"arn:aws:sqs:{REGION}:000000000000:{self.name}"

    def send(self, *bodies: str, **more: Any) -> None:
        """Sends messages, ten in a call."""
        for start in range(0, len(bodies), 10):
            entries = [
                {"Id": str(number), "MessageBody": body, **more}
                for number, body in enumerate(bodies[start : start + 10])
            ]
            answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
            assert not answer.get("Failed"), answer

    def depth(self) -> tuple[int, int]:
        """How many messages are visible, and in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def take(self, count: int = 1, within_s: float = 20) -> list[dict[str, Any]]:
        """Receives and deletes so many messages."""
        found: list[dict[str, Any]] = []

        def all_there() -> bool:
            answer = self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=1,
                MessageSystemAttributeNames=["All"],
            )
            for one in answer.get("Messages", ()):
                found.append(one)
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=one["ReceiptHandle"])
            return len(found) >= count

        eventually(all_there, within_s=within_s, what=f"{count} messages in {self.name}")
        return found


def collector(squib: Squib, results: Queue, source: str = COLLECTOR, **more: Any) -> Function:
    """A function that sends every event it gets to the queue `results`, with the right to read any queue."""
    role = squib.role(
        "collector", managed=(QUEUE_ROLE,), allow=({"Action": "sqs:SendMessage", "Resource": "*"},)
    )
    variables = {"RESULTS": results.url, **more.pop("variables", {})}
    return squib.deploy(source, variables=variables, **{"Role": role, **more})


class Mapped:
    """A mapping from a queue to a function."""

    def __init__(self, squib: Squib, function: Function, source_arn: str, **settings: Any) -> None:
        self.client = squib.client("lambda", REGION)
        answer = self.client.create_event_source_mapping(
            FunctionName=function.name, EventSourceArn=source_arn, **settings
        )
        self.created: Mapping[str, Any] = answer
        self.uuid = answer["UUID"]

    def get(self) -> dict[str, Any]:
        """As GetEventSourceMapping shows it."""
        found: dict[str, Any] = self.client.get_event_source_mapping(UUID=self.uuid)
        return found

    def update(self, **settings: Any) -> None:
        """Changes it and waits until that has been taken over."""
        self.client.update_event_source_mapping(UUID=self.uuid, **settings)
        self.wait("Enabled", "Disabled")

    def wait(self, *states: str) -> None:
        """Until it is in one of these states."""
        eventually(lambda: self.get()["State"] in states, what=f"mapping is {states}")

    def wait_result(self, words: str) -> None:
        """Until its LastProcessingResult says these words."""
        eventually(
            lambda: words in (self.get().get("LastProcessingResult") or ""),
            within_s=20,
            what=f"mapping says {words}: {self.get().get('LastProcessingResult')}",
        )

    def delete(self) -> None:
        """Deletes it and waits until it is gone."""
        self.client.delete_event_source_mapping(UUID=self.uuid)
        missing = self.client.exceptions.ResourceNotFoundException

        def is_gone() -> bool:
            try:
                self.get()
            except missing:
                return True
            return False

        eventually(is_gone, what="mapping is gone")


def events_of(messages: list[dict[str, Any]]) -> list[Any]:
    """Events that a collector has sent on."""
    return [json.loads(one["Body"]) for one in messages]


def bodies_of(messages: list[dict[str, Any]]) -> list[str]:
    """Bodies of all records of such events."""
    return [record["body"] for event in events_of(messages) for record in event["Records"]]
