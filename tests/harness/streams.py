"""Streams elsewhere, functions that read them, and what these were given."""

import base64
from typing import Any, Final

from harness.functions import Function
from harness.moto import Moto
from harness.sources import Queue, events_of
from harness.squib import Squib

ACCOUNT: Final = "000000000000"
STREAM_ROLE: Final = (
    "service-role/AWSLambdaKinesisExecutionRole",
    "service-role/AWSLambdaDynamoDBExecutionRole",
)


def reader(squib: Squib, results: Queue, source: str, **more: Any) -> Function:
    """A function that may read any stream, and sends what it got to the queue `results`."""
    allow = ({"Action": ["sqs:SendMessage", "sns:Publish", "s3:PutObject"], "Resource": "*"},)
    role = squib.role("reader-of-streams", managed=STREAM_ROLE, allow=allow)
    variables = {"RESULTS": results.url, **more.pop("variables", {})}
    return squib.deploy(source, variables=variables, Role=role, **more)


STREAM_TIMES: Final = """
import base64, json, os, boto3
sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def handler(event, context):
    sqs.send_message(QueueUrl=os.environ["RESULTS"], MessageBody=json.dumps(event))
    data = [base64.b64decode(one["kinesis"]["data"]) for one in event["Records"]]
    bad = [one["kinesis"]["sequenceNumber"] for one, text in zip(event["Records"], data) if b"bad" in text]
    if bad and not os.environ.get("REPORTS"):
        raise ValueError("bad")
    return {"batchItemFailures": [{"itemIdentifier": one} for one in bad]}
"""


class Stream:
    """A stream of Kinesis in moto."""

    def __init__(self, moto: Moto, name: str, shards: int = 1) -> None:
        self.kinesis, self.name = moto.client("kinesis"), name
        self.kinesis.create_stream(StreamName=name, ShardCount=shards)
        self.arn = f"arn:aws:kinesis:eu-west-1:{ACCOUNT}:stream/{name}"

    def put(self, *texts: str, key: str = "k") -> None:
        """Puts records, one after the other."""
        for text in texts:
            self.kinesis.put_record(StreamName=self.name, Data=text.encode(), PartitionKey=key)


def texts(events: list[Any]) -> list[str]:
    """Data of all records of such events."""
    return [base64.b64decode(one["kinesis"]["data"]).decode() for event in events for one in event["Records"]]


def taken(results: Queue, count: int) -> list[Any]:
    """Events with so many records, in the order of their sending."""
    found: list[dict[str, Any]] = []
    while len(texts(events_of(found))) < count:
        found += results.take()
    return events_of(sorted(found, key=lambda one: int(one["Attributes"]["SentTimestamp"])))
