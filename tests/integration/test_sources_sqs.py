"""Queues that feed functions, on a live squib."""

import json
from typing import Any

import pytest

from harness.functions import Function
from harness.machine import eventually
from harness.sources import QUEUE_ROLE, TIMES, Mapped, Queue, bodies_of, collector, events_of
from harness.squib import Squib, unique_name

pytestmark = pytest.mark.slow


def test_a_message_reaches_the_function_as_on_aws(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    function = collector(squib, results)
    mapping = Mapped(squib, function, queue.arn)
    assert mapping.created["State"] == "Creating"
    mapping.wait("Enabled")
    queue.send(
        "héllo",
        MessageAttributes={
            "n": {"DataType": "Number", "StringValue": "7"},
            "b": {"DataType": "Binary", "BinaryValue": b"\x00"},
        },
    )
    (event,) = events_of(results.take())
    (record,) = event["Records"]
    assert list(record) == [
        *("messageId", "receiptHandle", "body", "attributes", "messageAttributes"),
        *("md5OfMessageAttributes", "md5OfBody", "eventSource", "eventSourceARN", "awsRegion"),
    ]
    assert record["body"] == "héllo"
    assert record["md5OfBody"] == "be50e8478cf24ff3595bc7307fb91b50"
    assert record["messageAttributes"] == {
        "n": {"stringValue": "7", "stringListValues": [], "binaryListValues": [], "dataType": "Number"},
        "b": {"binaryValue": "AA==", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
    }
    assert list(record["attributes"]) == [
        *("ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp")
    ]
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert (record["eventSource"], record["eventSourceARN"]) == ("aws:sqs", queue.arn)
    assert record["awsRegion"] == "eu-west-1"
    eventually(lambda: queue.depth() == (0, 0))
    assert "LastProcessingResult" not in mapping.get()
    mapping.delete()


def test_messages_that_no_filter_wants_are_deleted_unseen(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    patterns: list[Any] = [{"body": {"kind": ["a"]}}, {"body": [{"prefix": "plain"}]}]
    mapping = Mapped(
        squib,
        collector(squib, results),
        queue.arn,
        FilterCriteria={"Filters": [{"Pattern": json.dumps(pattern)} for pattern in patterns]},
    )
    queue.send('{"kind": "a"}', '{"kind": "b"}', "plainly", "other", '{"kind": ["a", "c"]}')
    eventually(lambda: queue.depth() == (0, 0), within_s=20)
    wanted = ['{"kind": "a"}', '{"kind": ["a", "c"]}', "plainly"]
    found = bodies_of(results.take())
    while len(found) < len(wanted):
        found += bodies_of(results.take())
    assert sorted(found) == sorted(wanted)
    mapping.delete()


@pytest.mark.parametrize("reports", [True, False])
def test_what_fails_comes_back_and_goes_to_the_dead_letter_queue(squib: Squib, reports: bool) -> None:
    results, dead = Queue(squib), Queue(squib)
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
    queue = Queue(squib, VisibilityTimeout=2, RedrivePolicy=policy)
    variables = {"REPORTS": "yes"} if reports else {}
    function = collector(squib, results, TIMES, Timeout=2, variables=variables)
    types = ["ReportBatchItemFailures"] if reports else []
    mapping = Mapped(squib, function, queue.arn, FunctionResponseTypes=types)
    queue.send("good", "bad")
    gone = [one["Body"] for one in dead.take(1 if reports else 2)]
    assert sorted(gone) == (["bad"] if reports else ["bad", "good"])
    eventually(lambda: queue.depth() == (0, 0))
    seen = bodies_of(results.take())
    if not reports:
        assert mapping.get()["LastProcessingResult"] == "PROBLEM: Function call failed"
        queue.send("fine")
        mapping.wait_result("OK")
    assert {"good", "bad"} >= set(seen)
    mapping.delete()


def test_a_disabled_mapping_takes_nothing_and_goes_on_when_enabled(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    mapping = Mapped(squib, collector(squib, results), queue.arn, Enabled=False)
    mapping.wait("Disabled")
    queue.send("one")
    mapping.update(BatchSize=3)
    assert mapping.get()["State"] == "Disabled"
    assert queue.depth() == (1, 0)
    mapping.update(Enabled=True)
    assert bodies_of(results.take()) == ["one"]
    mapping.update(Enabled=False)
    assert mapping.get()["State"] == "Disabled"
    queue.send("two")
    mapping.update(BatchSize=4)
    assert queue.depth() == (1, 0)
    mapping.delete()
    assert queue.depth() == (1, 0)


def test_a_mapping_is_polled_again_after_a_restart() -> None:
    with Squib() as squib:
        results, queue = Queue(squib), Queue(squib)
        mapping = Mapped(squib, collector(squib, results), queue.arn)
        mapping.wait("Enabled")
        queue.send("one")
        results.take()
        assert squib.stop() == 0
        squib.start()
        again, told = Queue(squib, queue.name), Queue(squib, results.name)
        again.send("two")
        assert bodies_of(told.take()) == ["two"]


def test_a_role_that_loses_its_permission_stops_consumption(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    name = unique_name("role")
    arn = squib.role(name, managed=(QUEUE_ROLE,), allow=({"Action": "sqs:SendMessage", "Resource": "*"},))
    mapping = Mapped(squib, collector(squib, results, Role=arn), queue.arn)
    queue.send("one")
    results.take()
    iam = squib.client("iam", "us-east-1")
    policy = {"RoleName": name, "PolicyArn": f"arn:aws:iam::aws:policy/{QUEUE_ROLE}"}
    iam.detach_role_policy(**policy)
    mapping.wait_result("not authorized to perform sqs:ReceiveMessage")
    queue.send("two")
    assert "not authorized" in mapping.get()["LastProcessingResult"]
    assert queue.depth() == (1, 0)
    iam.attach_role_policy(**policy)
    assert bodies_of(results.take()) == ["two"]
    mapping.wait_result("OK")
    mapping.delete()


def test_a_deleted_queue_is_told(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    mapping = Mapped(squib, collector(squib, results), queue.arn)
    mapping.wait("Enabled")
    queue.client.delete_queue(QueueUrl=queue.url)
    mapping.wait_result("Queue does not exist")
    assert mapping.get()["State"] == "Enabled"
    mapping.update(Enabled=False)
    with pytest.raises(mapping.client.exceptions.InvalidParameterValueException, match="NonExistentQueue"):
        mapping.update(Enabled=True)
    mapping.delete()


def test_a_deleted_function_leaves_its_messages_and_a_new_one_gets_them(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    function = collector(squib, results)
    mapping = Mapped(squib, function, queue.arn)
    mapping.wait("Enabled")
    function.delete()
    mapping.wait_result("Function not found")
    queue.send("one")
    assert mapping.get()["State"] == "Enabled"
    collector(squib, results, name=function.name)
    assert bodies_of(results.take()) == ["one"]
    mapping.delete()


def test_a_throttled_function_gets_its_messages_later(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    function = collector(squib, results)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    mapping = Mapped(squib, function, queue.arn)
    queue.send("one")
    mapping.wait_result("throttled")
    function.client.delete_function_concurrency(FunctionName=function.name)
    (event,) = events_of(results.take())
    assert event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1"
    mapping.delete()


def test_a_timeout_counts_as_an_error(squib: Squib) -> None:
    queue = Queue(squib, VisibilityTimeout=1)
    role = squib.role("reader", managed=(QUEUE_ROLE,))
    function = squib.deploy(
        "import time\ndef handler(event, context):\n    time.sleep(5)\n", Timeout=1, Role=role
    )
    mapping = Mapped(squib, function, queue.arn)
    queue.send("one")
    mapping.wait_result("Function call failed")
    assert sum(queue.depth()) == 1
    mapping.delete()


def test_a_window_gathers_one_batch(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    mapping = Mapped(
        squib, collector(squib, results), queue.arn, BatchSize=50, MaximumBatchingWindowInSeconds=2
    )
    mapping.wait("Enabled")
    queue.send(*(str(number) for number in range(40)))
    (event,) = events_of(results.take())
    assert [one["body"] for one in event["Records"]] == [str(number) for number in range(40)]
    queue.send(*(str(number) for number in range(50)))
    (event,) = events_of(results.take())
    assert len(event["Records"]) == 50
    mapping.delete()


def test_large_messages_are_cut_into_events_of_six_megabytes(squib: Squib) -> None:
    queue = Queue(squib)
    results = Queue(squib)
    source = (
        "import json, os, boto3\n"
        "sqs = boto3.client('sqs', endpoint_url=os.environ['AWS_ENDPOINT_URL'])\n"
        "def handler(event, context):\n"
        "    sqs.send_message(QueueUrl=os.environ['RESULTS'], MessageBody=str(len(event['Records'])))\n"
    )
    mapping = Mapped(squib, collector(squib, results, source), queue.arn, Enabled=False)
    mapping.wait("Disabled")
    for _ in range(9):
        queue.client.send_message(QueueUrl=queue.url, MessageBody="x" * 1_000_000)
    mapping.update(Enabled=True)
    counts: list[int] = []
    while sum(counts) < 9:
        counts += [int(one["Body"]) for one in results.take()]
    assert max(counts) <= 6
    eventually(lambda: queue.depth() == (0, 0))
    mapping.delete()


def test_groups_of_a_fifo_queue_keep_their_order(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib, fifo=True, ContentBasedDeduplication="true")
    mapping = Mapped(squib, collector(squib, results), queue.arn, BatchSize=3)
    groups = ("a", "b", "c")
    for number in range(12):
        for group in groups:
            queue.send(f"{group}{number}", MessageGroupId=group)
    seen: list[dict[str, Any]] = []
    while len(bodies_of(seen)) < 36:
        seen += results.take()
    arrived = sorted(seen, key=lambda one: int(one["Attributes"]["SentTimestamp"]))
    for group in groups:
        of_group = [body for body in bodies_of(arrived) if body.startswith(group)]
        assert of_group == [f"{group}{number}" for number in range(12)]
    (record, *_) = events_of(arrived)[0]["Records"]
    assert record["attributes"]["MessageGroupId"] in groups
    assert len(record["attributes"]["SequenceNumber"]) == 20
    mapping.delete()


def refusal(squib: Squib, function: Function, arn: str, **settings: Any) -> str:
    client = squib.client("lambda")
    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        Mapped(squib, function, arn, **settings)
    return str(caught.value)


def test_what_cannot_be_polled_is_refused(squib: Squib) -> None:
    queue = Queue(squib, VisibilityTimeout=5)
    handler = "def handler(event, context):\n    pass\n"
    powerless = squib.deploy(handler, Timeout=6)
    assert refusal(squib, powerless, queue.arn).endswith(
        "The provided execution role does not have permissions to call ReceiveMessage on SQS"
    )
    reader = squib.deploy(handler, Timeout=6, Role=squib.role("reader", managed=(QUEUE_ROLE,)))
    assert refusal(squib, reader, queue.arn).endswith(
        "Queue visibility timeout: 5 seconds is less than Function timeout: 6 seconds"
    )
    assert "AWS.SimpleQueueService.NonExistentQueue" in refusal(squib, reader, queue.arn + "x")
    assert "region" in refusal(squib, reader, queue.arn.replace("eu-west-1", "eu-west-2"))


def test_no_more_batches_run_at_once_than_the_mapping_allows(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    source = (
        "import json, os, time, boto3\n"
        "sqs = boto3.client('sqs', endpoint_url=os.environ['AWS_ENDPOINT_URL'])\n"
        "def handler(event, context):\n"
        "    began = time.time()\n"
        "    time.sleep(0.2)\n"
        "    body = json.dumps([began, time.time()])\n"
        "    sqs.send_message(QueueUrl=os.environ['RESULTS'], MessageBody=body)\n"
    )
    mapping = Mapped(
        squib,
        collector(squib, results, source),
        queue.arn,
        BatchSize=1,
        ScalingConfig={"MaximumConcurrency": 2},
    )
    queue.send(*(str(number) for number in range(12)))
    spans = sorted(json.loads(one["Body"]) for one in results.take(12))
    for began, _ in spans:
        assert sum(start <= began < end for start, end in spans) <= 2
    assert any(sum(start <= began < end for start, end in spans) == 2 for began, _ in spans)
    mapping.delete()


def test_a_batch_under_way_is_finished_when_squib_stops() -> None:
    with Squib() as squib:
        results, queue = Queue(squib), Queue(squib)
        source = (
            "import os, time, boto3\n"
            "sqs = boto3.client('sqs', endpoint_url=os.environ['AWS_ENDPOINT_URL'])\n"
            "def handler(event, context):\n"
            "    sqs.send_message(QueueUrl=os.environ['RESULTS'], MessageBody='began')\n"
            "    time.sleep(1)\n"
        )
        Mapped(squib, collector(squib, results, source), queue.arn)
        queue.send("one")
        results.take()
        assert squib.stop() == 0
        squib.start()
        assert Queue(squib, queue.name).depth() == (0, 0)


def test_an_update_while_a_batch_runs_neither_loses_nor_doubles_it(squib: Squib) -> None:
    results, queue = Queue(squib), Queue(squib)
    source = (
        "import json, os, time, boto3\n"
        "sqs = boto3.client('sqs', endpoint_url=os.environ['AWS_ENDPOINT_URL'])\n"
        "def handler(event, context):\n"
        "    time.sleep(0.3)\n"
        "    sqs.send_message(QueueUrl=os.environ['RESULTS'], MessageBody=json.dumps(event))\n"
    )
    mapping = Mapped(squib, collector(squib, results, source), queue.arn, BatchSize=2)
    bodies = [str(number) for number in range(30)]
    queue.send(*bodies[:20])
    for size in (3, 4, 5):
        mapping.update(BatchSize=size)
    queue.send(*bodies[20:])
    mapping.update(Enabled=False)
    mapping.update(Enabled=True)
    found: list[str] = []
    while len(found) < len(bodies):
        found += bodies_of(results.take())
    assert sorted(found) == sorted(bodies)
    eventually(lambda: queue.depth() == (0, 0))
    mapping.delete()


def test_a_queue_and_a_function_that_go_round_are_stopped(squib: Squib) -> None:
    queue = Queue(squib, VisibilityTimeout=4)
    source = (
        "import os, boto3\n"
        "sqs = boto3.client('sqs', endpoint_url=os.environ['AWS_ENDPOINT_URL'])\n"
        "def handler(event, context):\n"
        "    body = str(int(event['Records'][0]['body']) + 1)\n"
        "    header = os.environ['_X_AMZN_TRACE_ID']\n"
        "    trace = {'AWSTraceHeader': {'DataType': 'String', 'StringValue': header}}\n"
        "    url = os.environ['RESULTS']\n"
        "    sqs.send_message(QueueUrl=url, MessageBody=body, MessageSystemAttributes=trace)\n"
    )
    mapping = Mapped(squib, collector(squib, queue, source, Timeout=4), queue.arn, BatchSize=1)
    queue.send("0")
    mapping.wait_result("Recursive loop")
    mapping.update(Enabled=False)
    eventually(lambda: queue.depth() == (1, 0), within_s=20)
    assert [one["Body"] for one in queue.take()] == ["16"]
    mapping.delete()
