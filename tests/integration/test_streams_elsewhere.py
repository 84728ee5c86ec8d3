"""Streams of Kinesis and DynamoDB feed functions: against moto's server."""

import base64
import json
from collections.abc import Iterator

import pytest

from harness.moto import Moto
from harness.sources import COLLECTOR, Mapped, Queue, events_of
from harness.squib import Squib
from harness.streams import STREAM_ROLE, STREAM_TIMES, Stream, reader, taken, texts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fed(moto: Moto) -> Iterator[Squib]:
    with moto.served("kinesis", "dynamodb") as squib:
        yield squib


def test_a_stream_feeds_a_function_in_order_from_its_beginning(moto: Moto, fed: Squib) -> None:
    results, stream = Queue(fed), Stream(moto, "ordered")
    stream.put(*(str(number) for number in range(5)))
    function = reader(fed, results, COLLECTOR)
    mapping = Mapped(fed, function, stream.arn, StartingPosition="TRIM_HORIZON", BatchSize=3)
    assert mapping.created["LastProcessingResult"] == "No records processed"
    events = taken(results, 5)
    assert texts(events) == [str(number) for number in range(5)]
    assert len(events[0]["Records"]) == 3
    record = events[0]["Records"][0]
    shard, _, sequence = record["eventID"].partition(":")
    assert shard == "shardId-000000000000"
    assert record["kinesis"] | {"approximateArrivalTimestamp": 0} == {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "k",
        "sequenceNumber": sequence,
        "data": base64.b64encode(b"0").decode(),
        "approximateArrivalTimestamp": 0,
    }
    assert (record["eventSource"], record["eventName"]) == ("aws:kinesis", "aws:kinesis:record")
    assert record["invokeIdentityArn"].endswith(":role/reader-of-streams")
    mapping.wait_result("OK")
    mapping.update(Enabled=False)
    stream.put("5")
    mapping.update(Enabled=True)
    assert texts(taken(results, 1)) == ["5"], "it goes on after what is done"
    mapping.delete()


def test_a_batch_that_fails_is_cut_given_up_and_told(moto: Moto, fed: Squib) -> None:
    results, told, stream = Queue(fed), Queue(fed), Stream(moto, "cut")
    stream.put("0", "1", "bad", "3")
    mapping = Mapped(
        fed,
        reader(fed, results, STREAM_TIMES),
        stream.arn,
        StartingPosition="TRIM_HORIZON",
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": told.arn}},
    )
    (message,) = told.take()
    body = json.loads(message["Body"])
    context, info = body["requestContext"], body["KinesisBatchInfo"]
    assert context["condition"] == "RetryAttemptsExhausted"
    assert context["approximateInvokeCount"] == 2
    assert context["functionArn"].endswith(mapping.created["FunctionArn"].rpartition(":")[2])
    assert (info["batchSize"], info["streamArn"]) == (1, stream.arn)
    assert info["startSequenceNumber"] == info["endSequenceNumber"]
    assert body["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    seen = texts(taken(results, 9))
    assert seen == ["0", "1", "bad", "3", "0", "1", "bad", "3", "bad", "bad", "3"][: len(seen)]
    mapping.wait_result("OK")
    mapping.delete()


def test_reported_failures_are_tried_again_from_the_first_on(moto: Moto, fed: Squib) -> None:
    results, stream = Queue(fed), Stream(moto, "reported")
    stream.put("0", "1", "bad", "3")
    mapping = Mapped(
        fed,
        reader(fed, results, STREAM_TIMES, variables={"REPORTS": "yes"}),
        stream.arn,
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=2,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    seen = texts(taken(results, 8))
    assert seen == ["0", "1", "bad", "3", "bad", "3", "bad", "3"]
    stream.put("4")
    assert texts(taken(results, 1)) == ["4"]
    mapping.delete()


def test_filters_look_into_the_data_of_a_stream(moto: Moto, fed: Squib) -> None:
    results, stream = Queue(fed), Stream(moto, "filtered")
    stream.put('{"a": 1}', "plain", '{"a": 2}')
    mapping = Mapped(
        fed,
        reader(fed, results, COLLECTOR),
        stream.arn,
        StartingPosition="TRIM_HORIZON",
        FilterCriteria={"Filters": [{"Pattern": '{"data": {"a": [{"numeric": [">", 1]}]}}'}]},
    )
    assert texts(taken(results, 1)) == ['{"a": 2}']
    mapping.delete()


def test_keys_are_divided_among_concurrent_batches_in_order(moto: Moto, fed: Squib) -> None:
    results, stream = Queue(fed), Stream(moto, "divided", shards=2)
    for number in range(10):
        for key in "abcd":
            stream.put(f"{key}{number}", key=key)
    mapping = Mapped(
        fed,
        reader(fed, results, COLLECTOR),
        stream.arn,
        StartingPosition="TRIM_HORIZON",
        ParallelizationFactor=2,
    )
    found = texts(taken(results, 40))
    for key in "abcd":
        assert [one for one in found if one[0] == key] == [f"{key}{number}" for number in range(10)]
    mapping.delete()


def test_changes_of_a_table_feed_a_function(moto: Moto, fed: Squib) -> None:
    results, table = Queue(fed), moto.client("dynamodb")
    made = table.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    table.put_item(TableName="t", Item={"id": {"S": "1"}, "data": {"B": b"\x00"}})
    arn = made["TableDescription"]["LatestStreamArn"]
    mapping = Mapped(
        fed,
        reader(fed, results, COLLECTOR),
        arn,
        StartingPosition="TRIM_HORIZON",
        FilterCriteria={"Filters": [{"Pattern": '{"eventName": ["INSERT"]}'}]},
    )
    table.delete_item(TableName="t", Key={"id": {"S": "1"}})
    (event,) = events_of(results.take())
    (record,) = event["Records"]
    assert (record["eventName"], record["eventSource"]) == ("INSERT", "aws:dynamodb")
    assert record["dynamodb"]["NewImage"] == {"id": {"S": "1"}, "data": {"B": "AA=="}}
    assert record["eventSourceARN"] == arn
    assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], float)
    mapping.delete()


def test_streams_that_cannot_be_read_are_refused(moto: Moto, fed: Squib) -> None:
    client, stream = fed.client(), Stream(moto, "refused")
    handler = "def handler(event, context):\n    pass\n"
    given = {"EventSourceArn": stream.arn, "StartingPosition": "LATEST"}
    powerless = fed.deploy(handler)
    bad = client.exceptions.InvalidParameterValueException
    with pytest.raises(bad, match="Cannot access stream"):
        client.create_event_source_mapping(FunctionName=powerless.name, **given)
    function = reader(fed, Queue(fed), handler)
    with pytest.raises(bad, match="Stream not found"):
        client.create_event_source_mapping(
            FunctionName=function.name, **given | {"EventSourceArn": stream.arn + "x"}
        )
    with pytest.raises(bad, match="SendMessage"):
        queue = Queue(fed)
        client.create_event_source_mapping(
            FunctionName=fed.deploy(handler, Role=fed.role("only-streams", managed=STREAM_ROLE)).name,
            **given,
            DestinationConfig={"OnFailure": {"Destination": queue.arn}},
        )


def test_a_tumbling_window_hands_state_on_and_has_a_last_invocation(moto: Moto, fed: Squib) -> None:
    results, stream = Queue(fed), Stream(moto, "windowed")
    stream.put("a", "b", "c")
    source = (
        "import json, os, boto3\n"
        "sqs = boto3.client('sqs', endpoint_url=os.environ['AWS_ENDPOINT_URL'])\n"
        "def handler(event, context):\n"
        "    count = event['state'].get('count', 0) + len(event['Records'])\n"
        "    if event['isFinalInvokeForWindow']:\n"
        "        sqs.send_message(QueueUrl=os.environ['RESULTS'], MessageBody=json.dumps(event))\n"
        "    return {'state': {'count': count}}\n"
    )
    mapping = Mapped(
        fed,
        reader(fed, results, source),
        stream.arn,
        StartingPosition="TRIM_HORIZON",
        BatchSize=1,
        TumblingWindowInSeconds=2,
    )
    counted = 0
    while counted < 3:  # more than one window, where one has ended between two records
        for event in events_of(results.take()):
            assert event["Records"] == [] and not event["isWindowTerminatedEarly"]
            assert event["eventSourceARN"] == stream.arn
            counted += event["state"]["count"]
    assert counted == 3
    mapping.delete()
