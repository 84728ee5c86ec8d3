"""Queues and streams that are not squib's own feed functions: against moto's server."""

from collections.abc import Iterator
from typing import Any

import pytest

from harness.machine import eventually
from harness.moto import Moto
from harness.sources import TIMES, Mapped, Queue, bodies_of, collector, events_of
from harness.squib import Squib

pytestmark = pytest.mark.slow
ACCOUNT = "000000000000"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with Moto() as running:
        yield running


@pytest.fixture(scope="module")
def fed(moto: Moto) -> Iterator[Squib]:
    with moto.served("sqs") as squib:
        yield squib


def depth(sqs: Any, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def test_a_queue_elsewhere_feeds_a_function(moto: Moto, fed: Squib) -> None:
    sqs, results = moto.client("sqs"), Queue(fed)
    url = sqs.create_queue(QueueName="outside")["QueueUrl"]
    arn = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:outside"
    mapping = Mapped(fed, collector(fed, results), arn)
    mapping.wait("Enabled")
    attributes = {"n": {"DataType": "Number", "StringValue": "7"}}
    sqs.send_message(QueueUrl=url, MessageBody="one", MessageAttributes=attributes)
    (event,) = events_of(results.take())
    (record,) = event["Records"]
    assert (record["body"], record["eventSourceARN"]) == ("one", arn)
    assert record["messageAttributes"]["n"]["stringValue"] == "7"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    for number in range(30):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    found: list[str] = []
    while len(found) < 30:
        found += bodies_of(results.take())
    assert sorted(found) == sorted(str(number) for number in range(30))
    eventually(lambda: depth(sqs, url) == 0)
    mapping.delete()


def test_what_fails_comes_back_to_a_queue_elsewhere(moto: Moto, fed: Squib) -> None:
    sqs, results = moto.client("sqs"), Queue(fed)
    url = sqs.create_queue(QueueName="failing", Attributes={"VisibilityTimeout": "2"})["QueueUrl"]
    function = collector(fed, results, TIMES, Timeout=2, variables={"REPORTS": "yes"})
    arn = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:failing"
    mapping = Mapped(fed, function, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    sqs.send_message(QueueUrl=url, MessageBody="good")
    sqs.send_message(QueueUrl=url, MessageBody="bad")

    def tries() -> list[str]:
        return [
            record["attributes"]["ApproximateReceiveCount"]
            for event in events_of(results.take())
            for record in event["Records"]
            if record["body"] == "bad"
        ]

    eventually(lambda: "2" in tries(), within_s=20)
    mapping.update(Enabled=False)
    assert depth(sqs, url) == 1
    mapping.delete()


def test_a_queue_that_is_nowhere_is_refused(fed: Squib) -> None:
    function = collector(fed, Queue(fed))
    client = fed.client()
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="NonExistentQueue"):
        Mapped(fed, function, f"arn:aws:sqs:eu-west-1:{ACCOUNT}:nowhere")
