"""Active tracing with real clients: who decides, what the function sees, which segments Lambda writes."""

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from harness.clients import program
from harness.functions import Function
from harness.machine import eventually
from harness.squib import Squib, clean_environment, unique_name

LOGS: Final = "service-role/AWSLambdaBasicExecutionRole"
DAEMON: Final = "AWSXRayDaemonWriteAccess"
ACTIVE: Final = {"Mode": "Active"}
SOURCE: Final = """
import os, time
def handler(event, context):
    if "Records" in event:
        print("SAW", os.environ["_X_AMZN_TRACE_ID"])
        return None
    if event.get("fail"):
        raise ValueError("no")
    time.sleep(event.get("sleep", 0))
    return os.environ["_X_AMZN_TRACE_ID"]
"""


@pytest.fixture(scope="module")
def squib() -> Iterator[Squib]:
    with Squib("--async-retry-delays", "0.2,0.4") as running:
        yield running


class Traced:
    """A function that is traced, and a client whose calls carry a trace header."""

    def __init__(self, squib: Squib, **more: Any) -> None:
        role = squib.role("traced", managed=(LOGS, DAEMON, "service-role/AWSLambdaSQSQueueExecutionRole"))
        self.squib, self.header = squib, ""
        given = {"Role": role, "TracingConfig": ACTIVE, **more}
        self.function = squib.deploy(given.pop("source", SOURCE), **given)
        self.client = squib.client("lambda", "eu-west-1")
        self.client.meta.events.register("before-call.lambda.*", self._add_header)

    def _add_header(self, params: dict[str, Any], **_: Any) -> None:
        if self.header:
            params["headers"]["X-Amzn-Trace-Id"] = self.header

    def call(self, event: Any, header: str = "", **more: Any) -> Any:
        """Invokes with this trace header."""
        self.header = header
        try:
            return Function(self.client, self.function.name, self.function.arn).invoke(event, **more)
        finally:
            self.header = ""

    def segments(self, root: str, count: int) -> list[dict[str, Any]]:
        """Of a trace, once it has so many segments: Lambda's own first, then in the order they began.

        A function's may begin before it: its environment may have been started for an earlier request that
        another one served in the end.
        """
        client = self.squib.client("xray")

        def look() -> list[dict[str, Any]] | None:
            for trace in client.batch_get_traces(TraceIds=[root])["Traces"]:
                found = [json.loads(one["Document"]) for one in trace["Segments"]]
                if len(found) >= count:
                    return sorted(found, key=lambda one: one.get("origin") != "AWS::Lambda")
            return None

        return eventually(look, what=f"{count} segments of {root}")


@pytest.fixture(scope="module")
def traced(squib: Squib) -> Traced:
    return Traced(squib)


def new_root() -> str:
    return f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"


def members(header: str) -> dict[str, str]:
    return dict(member.split("=", 1) for member in header.split(";"))


def test_caller_decides_and_its_segment_is_the_parent(traced: Traced) -> None:
    root, parent = new_root(), secrets.token_hex(8)
    result = traced.call({}, f"Root={root};Parent={parent};Sampled=1")
    seen = members(result.value)
    service, function = traced.segments(root, 2)
    assert (service["origin"], service["parent_id"]) == ("AWS::Lambda", parent)
    assert service["http"] == {"response": {"status": 200}}
    assert (function["origin"], function["parent_id"]) == ("AWS::Lambda::Function", service["id"])
    assert (seen["Root"], seen["Parent"], seen["Sampled"]) == (root, function["id"], "1")
    assert function["aws"]["request_id"] == result.request_id
    assert service["start_time"] <= function["start_time"] <= function["end_time"]
    assert f"XRAY TraceId: {root}\tSegmentId: {function['id']}\tSampled: true" in result.log


def test_caller_may_decide_against_it(traced: Traced) -> None:
    root = new_root()
    result = traced.call({}, f"Root={root};Sampled=0")
    seen = members(result.value)
    assert (seen["Root"], seen["Sampled"]) == (root, "0")
    assert "XRAY" not in result.log
    sampled = new_root()
    traced.call({}, f"Root={sampled};Sampled=1")
    traced.segments(sampled, 2)  # written after what would have been written of the first
    assert traced.squib.client("xray").batch_get_traces(TraceIds=[root])["Traces"] == []


def test_without_a_decision_the_first_request_of_a_second_is_traced(squib: Squib) -> None:
    fresh = Traced(squib)
    seen = members(fresh.call({}).value)
    assert seen["Sampled"] == "1"
    assert len(fresh.segments(seen["Root"], 2)) == 2
    asked = new_root()
    seen = members(fresh.call({}, f"Root={asked};Sampled=?").value)
    assert (seen["Root"], seen["Sampled"] in "01") == (asked, True)


def test_errors_and_throttles_are_seen(squib: Squib, traced: Traced) -> None:
    failed = new_root()
    assert traced.call({"fail": 1}, f"Root={failed};Sampled=1").error == "Unhandled"
    service, function = traced.segments(failed, 2)
    assert (service["fault"], function["fault"]) == (True, True)
    (exception,) = function["cause"]["exceptions"]
    assert (exception["type"], exception["message"]) == ("ValueError", "no")
    assert exception["stack"][0]["path"] == "/var/task/app.py"

    held = Traced(squib)
    squib.client().put_function_concurrency(FunctionName=held.function.name, ReservedConcurrentExecutions=0)
    throttled = new_root()
    with pytest.raises(ClientError):
        held.call({}, f"Root={throttled};Sampled=1")
    (service,) = held.segments(throttled, 1)
    assert (service["error"], service["throttle"]) == (True, True)
    assert service["http"] == {"response": {"status": 429}}

    slow = Traced(squib, Timeout=1)
    late = new_root()
    assert slow.call({"sleep": 5}, f"Root={late};Sampled=1").error == "Unhandled"
    _, function = slow.segments(late, 2)
    assert function["cause"]["exceptions"][0]["type"] == "Sandbox.Timedout"

    now = datetime.now(UTC)
    found = squib.client("xray").get_trace_summaries(
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=1),
        FilterExpression=f'service(id(name: "{held.function.name}", type: "AWS::Lambda")) {{ throttle }}',
    )["TraceSummaries"]
    assert [(one["Id"], one["HasThrottle"]) for one in found] == [(throttled, True)]


def test_attempts_at_an_event_are_parts_of_one_segment(traced: Traced) -> None:
    root = new_root()
    traced.call({"fail": 1}, f"Root={root};Sampled=1", InvocationType="Event")

    def all_there() -> list[dict[str, Any]] | None:
        found = traced.segments(root, 4)
        return found if len(found[0].get("subsegments", ())) == 4 else None

    service, *functions = eventually(all_there, within_s=30, what="three attempts")
    assert service["http"] == {"response": {"status": 202}}
    names = [one["name"] for one in service["subsegments"]]
    assert sorted(names) == ["Attempt #1", "Attempt #2", "Attempt #3", "Dwell Time"]
    attempts = {one["id"] for one in service["subsegments"] if one["name"] != "Dwell Time"}
    assert {one["parent_id"] for one in functions} == attempts
    assert len({one["aws"]["request_id"] for one in functions}) == 1


def test_trace_goes_with_a_message_through_a_queue(squib: Squib, traced: Traced) -> None:
    sqs, client = squib.client("sqs", "eu-west-1"), squib.client("lambda", "eu-west-1")
    url = sqs.create_queue(QueueName=unique_name("traced"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mapping = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=traced.function.name)
    root, parent = new_root(), secrets.token_hex(8)
    header = {"DataType": "String", "StringValue": f"Root={root};Parent={parent};Sampled=1"}
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageSystemAttributes={"AWSTraceHeader": header})
    service, function = traced.segments(root, 2)
    assert (service["parent_id"], function["parent_id"]) == (parent, service["id"])
    client.delete_event_source_mapping(UUID=mapping["UUID"])


def test_function_that_is_not_traced_passes_the_header_through(squib: Squib) -> None:
    plain = Traced(squib, TracingConfig={"Mode": "PassThrough"})
    root, parent = new_root(), secrets.token_hex(8)
    result = plain.call({}, f"Root={root};Parent={parent};Sampled=1")
    seen = members(result.value)
    assert (seen["Root"], seen["Parent"], seen["Sampled"]) == (root, parent, "1")
    assert "XRAY" not in result.log
    client = squib.client("lambda", "eu-west-1")
    changed = client.update_function_configuration(FunctionName=plain.function.name, TracingConfig=ACTIVE)
    assert changed["TracingConfig"] == ACTIVE
    client.get_waiter("function_updated_v2").wait(FunctionName=plain.function.name)
    sampled = new_root()
    plain.call({}, f"Root={sampled};Sampled=1")
    assert len(plain.segments(sampled, 2)) == 2
    assert squib.client("xray").batch_get_traces(TraceIds=[root])["Traces"] == []


def test_role_must_allow_it_when_the_function_is_made_and_when_it_runs(squib: Squib) -> None:
    with pytest.raises(ClientError) as refused:
        squib.deploy(SOURCE, TracingConfig=ACTIVE)
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException"
    assert (
        error["Message"]
        == "The provided execution role does not have permissions to call PutTraceSegments on XRAY"
    )
    role = squib.role(unique_name("role"), managed=(LOGS, DAEMON))
    function = Traced(squib, Role=role)
    iam = squib.client("iam", "us-east-1")
    policy = f"arn:aws:iam::aws:policy/{DAEMON}"
    name = role.rpartition("/")[2]
    iam.detach_role_policy(RoleName=name, PolicyArn=policy)
    silent, heard = new_root(), new_root()
    assert members(function.call({}, f"Root={silent};Sampled=1").value)["Sampled"] == "1"
    function.call({}, f"Root={new_root()};Sampled=1")  # when this begins, the first is over
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    function.call({}, f"Root={heard};Sampled=1")
    function.segments(heard, 2)
    found = squib.client("xray").batch_get_traces(TraceIds=[silent])["Traces"]
    assert found == []


SDK_SOURCE: Final = """
import boto3
from aws_xray_sdk.core import patch_all, xray_recorder
patch_all()
sqs = boto3.client("sqs")
def handler(event, context):
    with xray_recorder.in_subsegment("work") as work:
        work.put_annotation("order", event["order"])
        work.put_metadata("list", [1, 2])
        sqs.list_queues()
        with xray_recorder.in_subsegment("deeper"):
            pass
    return "done"
"""


@pytest.mark.parametrize("isolation", ["sandbox", "plain"])
def test_sdk_in_the_function_adds_its_part(isolation: str) -> None:
    packages = program("xray")
    files: dict[str, str | bytes] = {
        str(path.relative_to(packages)): path.read_bytes()
        for name in ("aws_xray_sdk", "wrapt")
        for path in (packages / name).rglob("*")
        if path.suffix in (".py", ".json", ".so")
    }
    if isolation == "sandbox" and os.getuid() != 0:
        pytest.skip("needs root")
    with Squib("--isolation", isolation) as squib:
        role = squib.role(
            "instrumented", managed=(LOGS, DAEMON), allow=[{"Action": "sqs:ListQueues", "Resource": "*"}]
        )
        traced = Traced(squib, Role=role, Timeout=30, source={**files, "app.py": SDK_SOURCE})
        for order in ("first", "second"):  # the second finds the environment as the first has left it
            root = new_root()
            assert traced.call({"order": order}, f"Root={root};Sampled=1").value == "done"

            def instrumented(root: str = root) -> dict[str, Any] | None:
                for segment in traced.segments(root, 2):
                    for below in segment.get("subsegments", ()) if "origin" in segment else ():
                        if below["name"] == "work" and len(below.get("subsegments", ())) == 2:
                            return dict(below)
                return None

            work = eventually(instrumented, what="the SDK's segments")
            assert work["annotations"] == {"order": order}
            call, deeper = work["subsegments"]
            assert (call["name"], call["namespace"], call["aws"]["operation"]) == (
                *("sqs", "aws"),
                "ListQueues",
            )
            assert call["http"]["response"]["status"] == 200
            assert deeper["name"] == "deeper"
            now = datetime.now(UTC)
            (found,) = squib.client("xray").get_trace_summaries(
                StartTime=now - timedelta(minutes=5),
                EndTime=now + timedelta(minutes=1),
                FilterExpression=f'annotation.order = "{order}" AND service("{traced.function.name}")',
            )["TraceSummaries"]
            assert found["Id"] == root


FLOOD_SOURCE: Final = """
import json, os, socket, time
def handler(event, context):
    member = dict(one.split("=", 1) for one in os.environ["_X_AMZN_TRACE_ID"].split(";"))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(("127.0.0.1", int(os.environ["_AWS_XRAY_DAEMON_PORT"])))
    def send(**more):
        now = time.time()
        document = {"id": os.urandom(8).hex(), "trace_id": member["Root"], "parent_id": member["Parent"],
            "type": "subsegment", "name": "flood", "start_time": now, "end_time": now, **more}
        sender.send(b'{"format": "json", "version": 1}\\n' + json.dumps(document).encode())
    for _ in range(40):
        send(metadata={"x": "x" * 60_000})
        time.sleep(0.005)
    end = time.monotonic() + event["seconds"]
    while time.monotonic() < end:
        send(name="?")
        sender.send(os.urandom(100))
"""


def test_function_that_floods_the_daemon_fills_no_more_than_its_trace(squib: Squib, traced: Traced) -> None:
    flooding, root = Traced(squib, source=FLOOD_SOURCE, Timeout=30), new_root()
    flooding.call({"seconds": 2}, f"Root={root};Sampled=1", InvocationType="Event")
    client = squib.client("xray")

    def cut() -> dict[str, Any] | None:
        found = client.batch_get_traces(TraceIds=[root])["Traces"]
        return dict(found[0]) if found and found[0]["LimitExceeded"] else None

    trace = eventually(cut, within_s=20, what="a trace that is cut")
    assert sum(len(one["Document"]) for one in trace["Segments"]) <= 500 * 1024
    calm = new_root()
    assert traced.call({}, f"Root={calm};Sampled=1").status == 200
    assert len(traced.segments(calm, 2)) == 2


SNAPSHOT_RUNTIME: Final = "python3.12"


def test_environment_out_of_a_snapshot_shows_that_it_was_restored(squib: Squib) -> None:
    listing = squib.command("runtimes", "list", variables=clean_environment()).stdout
    if re.search(rf"^{re.escape(SNAPSHOT_RUNTIME)}\s+ready", listing, re.MULTILINE) is None:
        pytest.skip(f"{SNAPSHOT_RUNTIME} is not on this machine")
    made = Traced(squib, runtime=SNAPSHOT_RUNTIME, SnapStart={"ApplyOn": "PublishedVersions"})
    client = squib.client("lambda", "eu-west-1")
    version = client.publish_version(FunctionName=made.function.name)
    qualifier = version["Version"]
    client.get_waiter("published_version_active").wait(
        FunctionName=made.function.name, Qualifier=qualifier, WaiterConfig={"Delay": 1}
    )
    state = client.get_function_configuration(FunctionName=made.function.name, Qualifier=qualifier)
    if state["SnapStart"]["OptimizationStatus"] != "On":
        pytest.skip("no snapshots are taken on this machine")
    root = new_root()
    made.call({}, f"Root={root};Sampled=1", Qualifier=qualifier)
    _, function = made.segments(root, 2)
    assert [one["name"] for one in function["subsegments"]] == ["Restore", "Invocation", "Overhead"]
