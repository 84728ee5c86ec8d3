"""Records of streams that are given up: why, and who hears of it. Against moto's server."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.ageing import Ageing
from harness.machine import eventually
from harness.moto import Moto
from harness.sources import COLLECTOR, REGION, Mapped, Queue
from harness.squib import Squib
from harness.streams import ACCOUNT, STREAM_TIMES, Stream, reader, taken, texts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fed(moto: Moto) -> Iterator[Squib]:
    with moto.served("kinesis", "sns", "s3") as squib:
        yield squib


def failing(squib: Squib, results: Queue, stream: Stream, destination: str) -> Mapped:
    """A mapping whose function is given each record alone, once, and fails for those that say `bad`."""
    return Mapped(
        squib,
        reader(squib, results, STREAM_TIMES),
        stream.arn,
        StartingPosition="TRIM_HORIZON",
        BatchSize=1,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": destination}},
    )


def check_record(record: dict[str, Any], stream: Stream) -> None:
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    info = record["KinesisBatchInfo"]
    assert (info["streamArn"], info["shardId"], info["batchSize"]) == (stream.arn, "shardId-000000000000", 1)


def test_a_topic_hears_of_records_that_are_given_up(moto: Moto, fed: Squib) -> None:
    sns, sqs, stream = moto.client("sns"), moto.client("sqs"), Stream(moto, "to-a-topic")
    topic, url = (
        sns.create_topic(Name="given-up")["TopicArn"],
        sqs.create_queue(QueueName="hears")["QueueUrl"],
    )
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:hears")
    stream.put("bad")
    mapping = failing(fed, Queue(fed), stream, topic)
    found: list[Any] = []

    def hears() -> list[Any]:
        found.extend(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", ()))
        return found

    eventually(hears, within_s=20)
    record = json.loads(json.loads(found[0]["Body"])["Message"])
    check_record(record, stream)
    assert "payload" not in record
    mapping.delete()


def test_a_bucket_gets_records_that_are_given_up_whole(moto: Moto, fed: Squib) -> None:
    s3, stream = moto.client("s3"), Stream(moto, "to-a-bucket")
    s3.create_bucket(Bucket="given-up", CreateBucketConfiguration={"LocationConstraint": REGION})
    stream.put("good", "bad")
    mapping = failing(fed, Queue(fed), stream, "arn:aws:s3:::given-up")
    listed = eventually(lambda: s3.list_objects_v2(Bucket="given-up").get("Contents"), within_s=20)
    (key,) = [one["Key"] for one in listed]
    assert key.startswith(f"aws/lambda/{mapping.uuid}/shardId-000000000000/2")
    record = json.loads(s3.get_object(Bucket="given-up", Key=key)["Body"].read())
    check_record(record, stream)
    assert texts([json.loads(record["payload"])]) == ["bad"]
    mapping.delete()


def test_a_destination_that_cannot_be_reached_is_said_counted_and_made_up_for(moto: Moto) -> None:
    with moto.served("kinesis") as squib:
        results, told, stream = Queue(squib), Queue(squib), Stream(moto, "to-nowhere")
        mapping = failing(squib, results, stream, told.arn)
        told.client.delete_queue(QueueUrl=told.url)
        stream.put("bad", "good")
        assert texts(taken(results, 2)) == ["bad", "good"], "the shard goes on"
        eventually(lambda: "delivery_failed" in squib.output)
        line = next(line for line in squib.output.splitlines() if "delivery_failed" in line)
        assert "kind=discard" in line and f"target={told.arn}" in line
        name = mapping.created["FunctionArn"].rpartition(":")[2]
        assert eventually(lambda: failures(squib, name)) >= 1
        squib.kill()
        squib.start()
        again = Queue(squib, told.name)
        (message,) = again.take(within_s=40)
        check_record(json.loads(message["Body"]), stream)


def failures(squib: Squib, function: str) -> float:
    """What CloudWatch has of DestinationDeliveryFailures."""
    now = datetime.now(UTC)
    answer = squib.client("cloudwatch", REGION).get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="DestinationDeliveryFailures",
        Dimensions=[{"Name": "FunctionName", "Value": function}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in answer["Datapoints"]))


def test_records_that_are_too_old_are_given_up_unseen(moto: Moto) -> None:
    with Ageing(moto.url, age_s=100) as way, moto.served("kinesis", url=way.url) as squib:
        results, told, stream = Queue(squib), Queue(squib), Stream(moto, "aged")
        stream.put("0", "1", key="old")
        stream.put("2", "3")
        mapping = Mapped(
            squib,
            reader(squib, results, COLLECTOR),
            stream.arn,
            StartingPosition="TRIM_HORIZON",
            MaximumRecordAgeInSeconds=60,
            DestinationConfig={"OnFailure": {"Destination": told.arn}},
        )
        assert texts(taken(results, 2)) == ["2", "3"]
        (message,) = told.take()
        record = json.loads(message["Body"])
        assert record["requestContext"]["condition"] == "RecordAgeExceeded"
        assert record["requestContext"]["approximateInvokeCount"] == 0
        assert record["KinesisBatchInfo"]["batchSize"] == 2
        assert "responseContext" not in record
        mapping.delete()
