"""Asynchronous invocation with real clients: acceptance, retries, destinations, dead letters, recursion."""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from harness.functions import Function
from harness.machine import eventually
from harness.squib import Squib, unique_name
from harness.upstream import UpstreamServices

ACCOUNT: Final = "000000000000"
REGION: Final = "eu-west-1"
BUS: Final = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
TOPIC: Final = f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"
LOGS: Final = "service-role/AWSLambdaBasicExecutionRole"
UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
WORK: Final = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("no " + context.aws_request_id)
    return {"did": event}
"""
SELF: Final = """
import boto3, json
client = boto3.client("lambda")
def handler(event, context):
    print("hop", event["hop"])
    client.invoke(
        FunctionName=context.function_name,
        InvocationType="Event",
        Payload=json.dumps({"hop": event["hop"] + 1}).encode(),
    )
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamServices]:
    with UpstreamServices() as running:
        yield running


@pytest.fixture(scope="module")
def squib(upstream: UpstreamServices) -> Iterator[Squib]:
    keys = {"ACCESS_KEY_ID": "UPSTREAM", "SECRET_ACCESS_KEY": "secret-of-upstream"}
    variables = {
        f"SQUIB_{service}_{name}": value
        for service in ("SNS", "EVENTS", "S3")
        for name, value in keys.items()
    }
    arguments = [
        part for service in ("sns", "events", "s3") for part in (f"--{service}-endpoint", upstream.url)
    ]
    with Squib("--async-retry-delays", "0.2,0.4", *arguments, variables=variables) as running:
        yield running


class Queue:
    """A queue that collects what is delivered."""

    def __init__(self, squib: Squib) -> None:
        self.client = squib.client("sqs", REGION)
        self.url = self.client.create_queue(QueueName=unique_name("told"))["QueueUrl"]
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn: str = answer["Attributes"]["QueueArn"]

    def take(self, wait_s: int = 10) -> Any:
        """The next message; fails when there is none."""
        found = self.client.receive_message(
            QueueUrl=self.url,
            WaitTimeSeconds=wait_s,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        assert found, "nothing was delivered"
        self.client.delete_message(QueueUrl=self.url, ReceiptHandle=found[0]["ReceiptHandle"])
        return found[0]

    def record(self) -> Any:
        """The next message, as JSON."""
        return json.loads(self.take()["Body"])

    def is_empty(self) -> bool:
        return "Messages" not in self.client.receive_message(QueueUrl=self.url)


def deploy(squib: Squib, source: str = WORK, *allow: Mapping[str, object], **more: Any) -> Function:
    """A function whose role may do these."""
    role = squib.role(unique_name("async"), managed=(LOGS,), allow=allow)
    return squib.deploy(source, Role=role, **more)


def may(action: str, resource: str = "*") -> Mapping[str, object]:
    return {"Action": action, "Resource": resource}


def hand_in(function: Function, event: object, **more: Any) -> str:
    """Invokes for later; gives the request id."""
    answer = function.client.invoke(
        FunctionName=function.name, InvocationType="Event", Payload=json.dumps(event).encode(), **more
    )
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    assert not {"FunctionError", "ExecutedVersion", "LogResult"} & set(answer)
    return str(answer["ResponseMetadata"]["RequestId"])


def tell(function: Function, *, success: str = "", failure: str = "", **more: Any) -> None:
    """Sets where outcomes go."""
    sides = {"OnSuccess": success, "OnFailure": failure}
    config = {side: {"Destination": arn} for side, arn in sides.items() if arn}
    function.client.put_function_event_invoke_config(
        FunctionName=function.name, DestinationConfig=config, **more
    )


def test_a_success_is_told_with_the_whole_record(squib: Squib) -> None:
    queue = Queue(squib)
    function = deploy(squib, WORK, may("sqs:SendMessage", queue.arn))
    tell(function, success=queue.arn)
    request_id = hand_in(function, {"a": "ü"})
    message = queue.take()
    record = json.loads(message["Body"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{function.arn}:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"a": "ü"},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"did": {"a": "ü"}},
    }
    assert message["Attributes"]["AWSTraceHeader"].startswith("Root=1-")
    assert message["Attributes"]["SenderId"].startswith("AROA")
    assert message["Attributes"]["SenderId"].endswith(f":{function.name}")
    assert "MessageAttributes" not in message


def test_a_failure_is_tried_three_times_with_one_request_id(squib: Squib) -> None:
    queue = Queue(squib)
    function = deploy(squib, WORK, may("sqs:SendMessage", queue.arn))
    tell(function, failure=queue.arn)
    request_id = hand_in(function, {"fail": True})
    record = queue.record()
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert record["responsePayload"]["errorMessage"] == f"no {request_id}"
    logs = squib.client("logs", REGION)
    events = logs.filter_log_events(
        logGroupName=f"/aws/lambda/{function.name}", filterPattern=f'"START RequestId: {request_id}"'
    )
    assert len(events["events"]) == 3


def test_retries_are_as_many_as_the_qualifier_s_configuration_says(squib: Squib) -> None:
    queue = Queue(squib)
    function = deploy(squib, WORK, may("sqs:SendMessage", queue.arn))
    client = function.client
    version = client.publish_version(FunctionName=function.name)["Version"]
    client.create_alias(FunctionName=function.name, Name="live", FunctionVersion=version)
    tell(function, failure=queue.arn, Qualifier="live", MaximumRetryAttempts=0)
    tell(function, failure=queue.arn, Qualifier=version, MaximumRetryAttempts=1)
    hand_in(function, {"fail": 1}, Qualifier="live")
    record = queue.record()
    assert record["requestContext"]["functionArn"] == f"{function.arn}:live"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["responseContext"]["executedVersion"] == version
    hand_in(function, {"fail": 1}, Qualifier=version)
    record = queue.record()
    assert record["requestContext"]["functionArn"] == f"{function.arn}:{version}"
    assert record["requestContext"]["approximateInvokeCount"] == 2


def test_a_dead_letter_queue_gets_the_event_as_it_was(squib: Squib) -> None:
    queue, told = Queue(squib), Queue(squib)
    function = deploy(squib, WORK, may("sqs:SendMessage"), DeadLetterConfig={"TargetArn": queue.arn})
    assert function.client.get_function_configuration(FunctionName=function.name)["DeadLetterConfig"] == {
        "TargetArn": queue.arn
    }
    tell(function, failure=told.arn, MaximumRetryAttempts=0)
    event = {"fail": True, "spaced": "as sent"}
    request_id = hand_in(function, event)
    message = queue.take()
    assert message["Body"] == json.dumps(event)
    attributes = {
        name: (value["DataType"], value["StringValue"])
        for name, value in message["MessageAttributes"].items()
    }
    assert attributes == {
        "RequestID": ("String", request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", f"no {request_id}"),
    }
    assert told.record()["requestContext"]["requestId"] == request_id
    function.configure(DeadLetterConfig={"TargetArn": ""})
    assert "DeadLetterConfig" not in function.client.get_function_configuration(FunctionName=function.name)


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue.fifo",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f",
        "arn:aws:s3:::bucket",
    ],
)
def test_dead_letters_go_to_standard_queues_and_topics_only(squib: Squib, arn: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValueException"):
        squib.create(WORK, DeadLetterConfig={"TargetArn": arn})


def test_a_role_must_be_able_to_send_dead_letters(squib: Squib) -> None:
    said = "The provided execution role does not have permissions to call SendMessage on SQS"
    queue = Queue(squib)
    poor = squib.role(unique_name("poor"), managed=(LOGS,))
    with pytest.raises(ClientError, match=said):
        squib.create(WORK, Role=poor, DeadLetterConfig={"TargetArn": queue.arn})
    function = deploy(
        squib, WORK, may("sqs:SendMessage", queue.arn), DeadLetterConfig={"TargetArn": queue.arn}
    )
    with pytest.raises(ClientError, match=said):
        function.configure(Role=poor)
    with pytest.raises(ClientError, match="to call Publish on SNS"):
        function.configure(DeadLetterConfig={"TargetArn": TOPIC})
    function.configure(Role=poor, DeadLetterConfig={"TargetArn": ""})


def test_a_function_can_be_told(squib: Squib) -> None:
    queue = Queue(squib)
    second = deploy(squib, WORK, may("sqs:SendMessage", queue.arn))
    tell(second, success=queue.arn)
    first = deploy(squib, WORK, may("lambda:InvokeFunction", second.arn))
    tell(first, success=second.arn)
    request_id = hand_in(first, {"n": 1})
    record = queue.record()
    inner = record["requestPayload"]
    assert inner["requestContext"]["requestId"] == request_id
    assert inner["responsePayload"] == {"did": {"n": 1}}
    assert UUID.fullmatch(record["requestContext"]["requestId"])


def test_topics_buses_and_buckets_are_reached_where_they_are(
    squib: Squib, upstream: UpstreamServices
) -> None:
    function = deploy(
        squib,
        WORK,
        *(
            may("sns:Publish", TOPIC),
            may("events:PutEvents", BUS),
            may("s3:PutObject", "arn:aws:s3:::records/*"),
        ),
        DeadLetterConfig={"TargetArn": TOPIC},
    )
    tell(function, success=BUS, failure="arn:aws:s3:::records", MaximumRetryAttempts=0)
    hand_in(function, {"n": 5})
    entry = eventually(lambda: upstream.events and upstream.events[-1])
    assert entry["Source"] == "lambda"
    assert entry["DetailType"] == "Lambda Function Invocation Result - Success"
    assert entry["Resources"] == [BUS, f"{function.arn}:$LATEST"]
    assert json.loads(entry["Detail"])["responsePayload"] == {"did": {"n": 5}}
    request_id = hand_in(function, {"fail": 1})
    letter = eventually(lambda: upstream.published and upstream.published[-1])
    assert letter["Message"] == '{"fail": 1}'
    assert letter["MessageAttributes.entry.1.Value.StringValue"] == request_id
    name, content = eventually(lambda: upstream.objects and next(iter(upstream.objects.items())))
    assert re.fullmatch(
        rf"records/aws/lambda/async/{function.name}/\d{{4}}/\d\d/\d\d/[-0-9T.]{{19}}-{UUID.pattern}", name
    )
    assert json.loads(content)["requestContext"]["requestId"] == request_id
    assert all("Credential=UPSTREAM/" in signature for signature in upstream.signatures)


def test_a_delivery_that_fails_is_said_and_made_up_for(squib: Squib) -> None:
    queue = Queue(squib)
    role = squib.role(unique_name("poor"), managed=(LOGS,), allow=(may("sqs:*"),))
    function = squib.deploy(WORK, Role=role)
    tell(function, success=queue.arn)
    iam = squib.client("iam", "us-east-1")
    policy = {"RoleName": role.rpartition("/")[2], "PolicyName": "test"}
    iam.delete_role_policy(**policy)
    request_id = hand_in(function, {"n": 1})
    line = eventually(
        lambda: next(
            (
                line
                for line in squib.output.splitlines()
                if f"delivery_failed request_id={request_id}" in line
            ),
            "",
        )
    )
    assert f"is not authorized to perform sqs:SendMessage on {queue.arn}" in line
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **may("sqs:*")}]}
    iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))
    assert queue.record()["requestContext"]["requestId"] == request_id


def test_without_concurrency_an_event_is_told_at_once(squib: Squib) -> None:
    queue = Queue(squib)
    function = deploy(squib, WORK, may("sqs:SendMessage"), DeadLetterConfig={"TargetArn": queue.arn})
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    hand_in(function, {"n": 1})
    message = queue.take()
    assert message["Body"] == '{"n": 1}'
    assert message["MessageAttributes"]["ErrorCode"]["StringValue"] == "429"


def test_events_beyond_the_reserved_concurrency_wait_their_turn(squib: Squib) -> None:
    queue = Queue(squib)
    function = deploy(
        squib,
        "import time\ndef handler(event, context):\n    time.sleep(0.05)\n    return event\n",
        may("sqs:SendMessage"),
    )
    tell(function, success=queue.arn)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    for number in range(12):
        hand_in(function, number)
    assert sorted(queue.record()["responsePayload"] for _ in range(12)) == list(range(12))


def test_events_that_wait_run_on_the_code_of_then(squib: Squib) -> None:
    queue = Queue(squib)
    function = deploy(
        squib,
        "import time\ndef handler(event, context):\n    time.sleep(2)\n    return 'old'\n",
        may("sqs:SendMessage"),
    )
    tell(function, success=queue.arn)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    for number in range(3):
        hand_in(function, number)
    function.update_code("def handler(event, context):\n    return 'new'\n")
    assert sorted(queue.record()["responsePayload"] for _ in range(3)) == ["new", "new", "old"]


def test_events_of_a_function_that_is_deleted_are_dropped(squib: Squib) -> None:
    function = deploy(squib, WORK)
    request_id = hand_in(function, {"fail": 1})
    eventually(
        lambda: squib.client("logs", REGION).describe_log_groups(
            logGroupNamePrefix=f"/aws/lambda/{function.name}"
        )["logGroups"]
    )
    function.delete()
    eventually(lambda: f"async_event_dropped request_id={request_id} reason=FunctionDeleted" in squib.output)


def test_a_function_that_invokes_itself_is_stopped(squib: Squib) -> None:
    queue = Queue(squib)
    function = deploy(
        squib,
        SELF,
        may("lambda:InvokeFunction"),
        may("sqs:SendMessage"),
        DeadLetterConfig={"TargetArn": queue.arn},
    )
    hand_in(function, {"hop": 1})
    message = queue.take(20)
    assert message["Body"] == '{"hop": 17}'
    assert message["MessageAttributes"]["ErrorCode"]["StringValue"] == "400"
    assert "recursive loop" in message["MessageAttributes"]["ErrorMessage"]["StringValue"]


def test_a_function_that_may_go_on_for_ever_does(squib: Squib) -> None:
    queue = Queue(squib)
    stop = SELF.replace("    client", "    if event['hop'] == 20:\n        return 'enough'\n    client", 1)
    function = deploy(squib, stop, may("lambda:InvokeFunction"), may("sqs:SendMessage"))
    function.client.put_function_recursion_config(FunctionName=function.name, RecursiveLoop="Allow")
    tell(function, success=queue.arn)
    hand_in(function, {"hop": 1})
    responses = [queue.record()["responsePayload"] for _ in range(20)]
    assert responses.count("enough") == 1


def test_a_synchronous_loop_is_refused(squib: Squib) -> None:
    source = """
import boto3, json
from botocore.config import Config
client = boto3.client("lambda", config=Config(retries={"total_max_attempts": 1}, read_timeout=60))
def handler(event, context):
    try:
        answer = client.invoke(FunctionName=context.function_name, Payload=json.dumps(event + 1))
        return json.loads(answer["Payload"].read())
    except client.exceptions.ClientError as error:
        return [event, error.response["Error"]["Code"]]
"""
    function = deploy(squib, source, may("lambda:InvokeFunction"), Timeout=60)
    assert function.invoke(1).value == [16, "RecursiveInvocationException"]


def test_the_older_operation_takes_events_too(squib: Squib) -> None:
    queue = Queue(squib)
    function = deploy(squib, WORK, may("sqs:SendMessage"))
    tell(function, success=queue.arn)
    answer = function.client.invoke_async(FunctionName=function.name, InvokeArgs=b'{"n": 7}')
    assert answer["Status"] == answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert queue.record()["requestPayload"] == {"n": 7}


def test_what_cannot_be_accepted_is_refused(squib: Squib) -> None:
    function = deploy(squib)
    largest = (1 << 20) - 2
    assert hand_in(function, "x" * largest)
    for given, code, status in (
        ({"Payload": b'"' + b"x" * (largest + 1) + b'"'}, "RequestTooLargeException", 413),
        ({"Payload": b"{"}, "InvalidRequestContentException", 400),
        ({"FunctionName": "absent"}, "ResourceNotFoundException", 404),
        ({"Qualifier": "9"}, "ResourceNotFoundException", 404),
    ):
        with pytest.raises(ClientError) as caught:
            function.client.invoke(**{"FunctionName": function.name, "InvocationType": "Event", **given})
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        if status == 413:
            assert caught.value.response["Error"]["Message"] == (
                "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
            )


def test_client_context_and_trace_reach_the_function(squib: Squib) -> None:
    queue = Queue(squib)
    source = """
import os
def handler(event, context):
    return [context.client_context.custom, os.environ["_X_AMZN_TRACE_ID"], context.invoked_function_arn,
            context.get_remaining_time_in_millis() > 5000]
"""
    function = deploy(squib, source, may("sqs:SendMessage"))
    tell(function, success=queue.arn)
    hand_in(function, {}, ClientContext="eyJjdXN0b20iOiB7ImEiOiAiYiJ9fQ==")
    custom, trace, arn, has_time = queue.record()["responsePayload"]
    assert custom == {"a": "b"}
    assert re.fullmatch(
        r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0;Lineage=[0-9a-f]{8}:0", trace
    )
    assert arn == function.arn
    assert has_time


def test_what_happens_to_events_is_measured(squib: Squib) -> None:
    function = deploy(squib, WORK, may("sqs:SendMessage"))
    gone = f"arn:aws:sqs:{REGION}:{ACCOUNT}:gone"
    tell(function, failure=gone, MaximumRetryAttempts=0)
    hand_in(function, {"fail": 1})
    hand_in(function, {"n": 1})
    cloudwatch = squib.client("cloudwatch", REGION)

    def total(metric: str) -> float:
        now = datetime.now(UTC)
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": function.name}],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in answer["Datapoints"]))

    for metric, least in (
        ("AsyncEventsReceived", 2),
        ("AsyncEventsDropped", 1),
        ("DestinationDeliveryFailures", 1),
        ("Invocations", 2),
    ):
        eventually(functools.partial(is_at_least, total, metric, least), within_s=20, what=metric)


def is_at_least(total: Callable[[str], float], metric: str, least: float) -> bool:
    return total(metric) >= least
