"""Invoke as the AWS SDK sees it: payloads, log tails, contexts, limits, warmth, concurrency."""

import base64
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from harness.functions import Function
from harness.squib import Squib

ECHO = "def handler(event, context):\n    return event\n"
MIB = 1 << 20


@pytest.fixture(scope="module")
def echo(squib: Squib) -> Function:
    return squib.deploy(ECHO)


@pytest.mark.parametrize(
    "event", [{}, [], None, 0, "text", {"ключ": "значение ✓ 🚀"}, {"deep": [[[[{"a": None}]]]]}], ids=repr
)
def test_an_event_arrives_as_sent(echo: Function, event: object) -> None:
    assert echo.invoke(event).value == event


def test_an_invoke_without_payload_gives_an_empty_event(echo: Function) -> None:
    assert echo.invoke().value == {}
    assert echo.invoke(raw=b"").value == {}


def test_an_answer_of_nothing_is_null(squib: Squib) -> None:
    assert squib.deploy("def handler(event, context):\n    pass\n").invoke({}).body == b"null"


@pytest.mark.parametrize("body", [b"{", b"plain", b"\xff\xfe", b"{'a': 1}"], ids=repr)
def test_a_payload_that_is_not_json_is_refused(echo: Function, body: bytes) -> None:
    with pytest.raises(ClientError) as refused:
        echo.invoke(raw=body)
    answer = refused.value.response
    assert answer["Error"]["Code"] == "InvalidRequestContentException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["Error"]["Message"].startswith("Could not parse request body into json: ")


def test_log_tail_has_start_lines_end_and_report(squib: Squib) -> None:
    source = """
def handler(event, context):
    print("hello")
    print("zwölf")
    return context.aws_request_id
"""
    function = squib.deploy(source)
    cold = function.invoke()
    assert cold.status == 200
    assert cold.version == "$LATEST"
    lines = cold.log.splitlines()
    assert lines[0] == f"START RequestId: {cold.value} Version: $LATEST"
    assert lines[1:3] == ["hello", "zwölf"]
    assert lines[3] == f"END RequestId: {cold.value}"
    assert cold.report.request_id == cold.value == cold.request_id
    assert cold.report.memory_mib == 256
    assert cold.report.init_ms is not None
    warm = function.invoke()
    assert warm.log.splitlines()[0] == f"START RequestId: {warm.value} Version: $LATEST"
    assert warm.report.init_ms is None
    assert warm.report.billed_ms >= warm.report.duration_ms


def test_the_tail_is_the_last_four_kilobytes(squib: Squib) -> None:
    source = "def handler(event, context):\n    for n in range(1000):\n        print('line', n)\n"
    result = squib.deploy(source).invoke()
    assert result.error is None
    assert len(result.log.encode()) <= 4096
    assert "line 999\n" in result.log
    assert "line 1\n" not in result.log
    assert result.report.status is None


def test_no_log_comes_back_unless_asked_for(echo: Function) -> None:
    assert echo.invoke({}, LogType="None").log == ""


def test_dry_run_runs_nothing(echo: Function) -> None:
    answer = echo.client.invoke(FunctionName=echo.name, InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert answer["Payload"].read() == b""


def test_context_says_who_called_and_how_long_there_is(squib: Squib) -> None:
    source = """
import os
def handler(event, context):
    client = context.client_context
    return {
        "custom": client.custom if client else None,
        "arn": context.invoked_function_arn,
        "name": context.function_name,
        "version": context.function_version,
        "memory": context.memory_limit_in_mb,
        "group": context.log_group_name,
        "stream": context.log_stream_name,
        "left": context.get_remaining_time_in_millis(),
        "trace": os.environ.get("_X_AMZN_TRACE_ID", ""),
    }
"""
    function = squib.deploy(source, Timeout=7)
    client_context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
    seen = function.invoke({}, ClientContext=client_context).value
    assert seen["custom"] == {"k": "v"}
    assert seen["arn"] == function.arn
    assert (seen["name"], seen["version"], seen["memory"]) == (function.name, "$LATEST", "256")
    assert seen["group"] == f"/aws/lambda/{function.name}"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", seen["stream"])
    assert 3000 < seen["left"] <= 7000
    assert seen["trace"].startswith("Root=1-")
    assert function.invoke({}).value["custom"] is None
    assert (
        function.invoke({}, FunctionName=function.arn + ":$LATEST").value["arn"] == function.arn + ":$LATEST"
    )


def test_payloads_up_to_six_megabytes_pass_both_ways(echo: Function) -> None:
    event = "x" * (6 * MIB - 2)
    assert echo.invoke(event).value == event


def test_a_larger_request_is_refused(echo: Function) -> None:
    with pytest.raises(ClientError) as refused:
        echo.invoke("x" * (6 * MIB))
    answer = refused.value.response
    assert answer["Error"]["Code"] in ("RequestTooLargeException", "RequestEntityTooLargeException")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert echo.invoke(1).value == 1


def test_a_larger_response_is_a_function_error(squib: Squib) -> None:
    function = squib.deploy("def handler(event, context):\n    return 'x' * event\n")
    result = function.invoke(6 * MIB + 101)
    assert result.error == "Unhandled"
    assert result.payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert "6291556 bytes" in result.payload["errorMessage"]
    assert function.invoke(3).value == "xxx"


def test_globals_stay_and_one_environment_has_one_invocation_at_a_time(squib: Squib) -> None:
    source = """
import threading, time, uuid
count, busy, me = 0, 0, uuid.uuid4().hex
def handler(event, context):
    global count, busy
    busy += 1
    count += 1
    time.sleep(event)
    together, busy = busy, busy - 1
    return [me, count, together]
"""
    function = squib.deploy(source)
    one, two = function.invoke(0).value, function.invoke(0).value
    assert two == [one[0], 2, 1]
    with ThreadPoolExecutor(4) as threads:
        answers = [answer.value for answer in threads.map(function.invoke, [0.3] * 4)]
    assert len({answer[0] for answer in answers}) == 4
    assert {answer[2] for answer in answers} == {1}


def test_twenty_sleepers_sleep_at_the_same_time(squib: Squib) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(2)\n    return time.time()\n"
    function = squib.deploy(source, MemorySize=128)
    started = time.monotonic()
    with ThreadPoolExecutor(20) as threads:
        results = list(threads.map(lambda _: function.invoke({}), range(20)))
    assert [result.error for result in results] == [None] * 20
    assert time.monotonic() - started < 20 * 2 / 3
    ends = [result.payload for result in results]
    assert len({result.request_id for result in results}) == 20
    assert max(ends) - min(ends) < 10


def test_a_deployed_update_reaches_warm_environments(squib: Squib) -> None:
    function = squib.deploy("def handler(event, context):\n    return 1\n")
    assert function.invoke().value == 1
    function.update_code("def handler(event, context):\n    return 2\n")
    assert function.invoke().value == 2
    function.update_code("import os\ndef handler(event, context):\n    return os.environ['WORD']\n")
    function.configure(Environment={"Variables": {"WORD": "3"}})
    assert function.invoke().value == "3"


def test_deleting_under_load_answers_every_call(squib: Squib) -> None:
    function = squib.deploy("import time\ndef handler(event, context):\n    time.sleep(0.5)\n    return 1\n")
    function.invoke()
    answers: list[object] = []

    def call() -> None:
        try:
            answers.append(function.invoke({}).value)
        except ClientError as error:
            answers.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    function.delete()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 4
    assert set(answers) <= {1, "ResourceNotFoundException"}
