"""Extensions in live environments: registered, told of invocations and of the end, crashing, slow."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.extensions import CLIENT, ECHO
from harness.functions import Function, zip_of
from harness.squib import Squib, unique_name

pytestmark = pytest.mark.slow

HANDLER = "def handler(event, context):\n    print('handling')\n    return 'done'\n"


def deploy(squib: Squib, extensions: Mapping[str, str], source: str = HANDLER, **more: Any) -> Function:
    files = {f"extensions/{name}": text for name, text in extensions.items()}
    answer = squib.client().publish_layer_version(
        LayerName=unique_name("layer"), Content={"ZipFile": zip_of(files)}
    )
    return squib.deploy(source, Layers=[answer["LayerVersionArn"]], MemorySize=512, **more)


def messages(squib: Squib, function: Function) -> list[str]:
    pages = squib.client("logs").get_paginator("filter_log_events")
    group = f"/aws/lambda/{function.name}"
    return [event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]]


def wait_for(squib: Squib, function: Function, wanted: Callable[[list[str]], bool]) -> list[str]:
    deadline = time.monotonic() + 10
    while True:
        found = messages(squib, function)
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def events_of(lines: list[str], name: str) -> list[Any]:
    start = f"{name} event "
    return [json.loads(line.removeprefix(start)) for line in lines if line.startswith(start)]


def test_an_external_extension_sees_invocations_and_the_end(squib: Squib) -> None:
    function = deploy(squib, {"watcher": ECHO})
    results = [function.invoke(), function.invoke()]
    assert [result.value for result in results] == ["done", "done"]
    function.delete()
    lines = wait_for(
        squib, function, lambda found: any("SHUTDOWN" in line for line in found if "event" in line)
    )
    first, second, end = events_of(lines, "watcher")
    assert first["eventType"] == second["eventType"] == "INVOKE"
    assert first["invokedFunctionArn"] == function.arn
    assert first["tracing"]["type"] == "X-Amzn-Trace-Id"
    assert first["requestId"] != second["requestId"]
    assert end["shutdownReason"] == "SPINDOWN"
    assert -12_000 < end["deadlineMs"] - time.time() * 1000 < 2_000
    assert "EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE,SHUTDOWN]\n" in lines
    registered = next(line for line in lines if line.startswith("watcher registered 200 "))
    about = json.loads(registered.removeprefix("watcher registered 200 "))
    assert about == {
        "functionName": function.name,
        "functionVersion": "$LATEST",
        "handler": "app.handler",
        "accountId": "000000000000",
    }
    order = [line.split()[0] for line in lines if line.split()[0] in ("INIT_START", "EXTENSION", "START")]
    assert order == ["INIT_START", "EXTENSION", "START", "START"]


def test_extensions_get_the_functions_variables_but_for_those_of_the_runtime(squib: Squib) -> None:
    function = deploy(squib, {"watcher": ECHO}, Environment={"Variables": {"OWN": "1"}})
    function.invoke()
    lines = messages(squib, function)
    names = next(line for line in lines if line.startswith("watcher variables"))
    assert {"'OWN'", "'AWS_LAMBDA_RUNTIME_API'", "'AWS_SESSION_TOKEN'", "'AWS_REGION'", "'PATH'"} <= set(
        names.rstrip().removeprefix("watcher variables [").removesuffix("]").split(", ")
    )
    for name in ("_HANDLER", "LAMBDA_TASK_ROOT", "AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME"):
        assert f"'{name}'" not in names


CRASH = CLIENT + "\nregister()\nnext_event()\nsys.exit(3)\n"
CRASH_IN_INIT = CLIENT + "\nregister()\nsys.exit(1)\n"
INIT_ERROR = (
    CLIENT
    + """
register()
why = {"Lambda-Extension-Function-Error-Type": "Own.Why"}
say(*call("POST", "/2020-01-01/extension/init/error", {}, why))
"""
)


@pytest.mark.parametrize(
    ("extension", "error_type", "message"),
    [
        (CRASH_IN_INIT, "Extension.Crash", "exit status 1"),
        (INIT_ERROR, "Extension.InitError", "exit code 0"),
        ("not executable by any system\n", "Extension.LaunchError", "exec format error"),
    ],
)
def test_an_extension_that_fails_to_initialize_fails_the_function(
    squib: Squib, extension: str, error_type: str, message: str
) -> None:
    function = deploy(squib, {"failing": extension})
    result = function.invoke()
    assert result.error == "Unhandled"
    assert result.payload["errorType"] == error_type
    assert message in result.payload["errorMessage"]
    lines = messages(squib, function)
    assert any(line.startswith("EXTENSION\tName: failing\tState: ") for line in lines)
    assert any("Phase: invoke\tStatus: error\tError Type: " + error_type in line for line in lines)


def test_an_extension_that_crashes_in_an_invocation_fails_it_and_the_next_starts_anew(squib: Squib) -> None:
    function = deploy(
        squib, {"crashing": CRASH}, "import time\ndef handler(event, context):\n    time.sleep(2)\n"
    )
    for _ in range(2):
        result = function.invoke()
        assert result.payload["errorType"] == "Extension.Crash"
        assert result.payload["errorMessage"].endswith("Error: exit status 3")


SLOW = (
    CLIENT
    + "\nregister()\nwhile next_event()['eventType'] == 'INVOKE':\n    time.sleep(0.7)\n    say('done')\n"
)


def test_the_reply_does_not_wait_for_a_slow_extension_whose_time_counts(squib: Squib) -> None:
    function = deploy(squib, {"slow": SLOW}, Timeout=5)
    function.invoke()
    began = time.monotonic()
    assert function.invoke().value == "done"
    lines = wait_for(squib, function, lambda found: sum("REPORT" in line for line in found) == 2)
    assert time.monotonic() - began > 0.6
    durations = [float(line.split("Duration: ")[1].split()[0]) for line in lines if line.startswith("REPORT")]
    assert all(700 <= duration < 3000 for duration in durations), durations


def test_an_extension_that_takes_longer_than_the_timeout_is_reset(squib: Squib) -> None:
    stuck = CLIENT + "\nregister()\nnext_event()\ntime.sleep(60)\n"
    function = deploy(squib, {"stuck": stuck, "watcher": ECHO}, Timeout=1)
    assert function.invoke().value == "done"
    lines = wait_for(squib, function, lambda found: len(events_of(found, "watcher")) == 2)
    assert events_of(lines, "watcher")[1]["shutdownReason"] == "TIMEOUT"
    assert any("Task timed out after 1.00 seconds" in line for line in lines)
    assert any(line.startswith("REPORT") and "Status: timeout" in line for line in lines)


def test_a_crash_of_the_runtime_is_told_as_a_failure(squib: Squib) -> None:
    function = deploy(squib, {"watcher": ECHO}, "import os\ndef handler(event, context):\n    os._exit(9)\n")
    assert function.invoke().payload["errorType"] == "Runtime.ExitError"
    lines = wait_for(squib, function, lambda found: len(events_of(found, "watcher")) == 2)
    assert events_of(lines, "watcher")[1]["shutdownReason"] == "FAILURE"
