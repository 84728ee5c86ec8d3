"""Extensions in live environments: registered, told of invocations and of the end, crashing, slow."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from harness.extensions import CLIENT, ECHO, HANDLER, deploy, events_of, is_over, messages, wait_for
from harness.functions import zip_of
from harness.squib import Squib, unique_name

pytestmark = pytest.mark.slow


def test_an_external_extension_sees_invocations_and_the_end(squib: Squib) -> None:
    function = deploy(squib, {"watcher": ECHO})
    assert function.invoke().value == "done"
    wait_for(squib, function, is_over(1))
    assert function.invoke().value == "done"
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
    assert all(700 <= duration < 4900 for duration in durations), durations


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


INTERNAL = """
import http.client, json, os, threading
events = []


def call(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, "/2020-01-01/extension/" + path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def register(name, events):
    return call("POST", "register", json.dumps({"events": events}), **{"Lambda-Extension-Name": name})


refused = register("greedy", ["INVOKE", "SHUTDOWN"])[0]
identifier = register("inner", ["INVOKE"])[1]["Lambda-Extension-Identifier"]


def follow():
    while True:
        events.append(json.loads(call("GET", "event/next", **{"Lambda-Extension-Identifier": identifier})[2]))


threading.Thread(target=follow, daemon=True).start()


def handler(event, context):
    while not events or events[-1]["requestId"] != context.aws_request_id:
        pass
    late = register("late", ["INVOKE"])[0]
    return [refused, late, len(events), events[-1]["eventType"]]
"""


def test_an_internal_extension_hears_of_invocations_but_not_of_the_end(squib: Squib) -> None:
    function = squib.deploy(INTERNAL, MemorySize=512)
    assert function.invoke().value == [403, 403, 1, "INVOKE"]
    wait_for(squib, function, is_over(1))
    assert function.invoke().value == [403, 403, 2, "INVOKE"]
    assert "EXTENSION\tName: inner\tState: Ready\tEvents: [INVOKE]\n" in messages(squib, function)


NODE = """#!/usr/bin/env node
const http = require('http'), api = 'http://' + process.env.AWS_LAMBDA_RUNTIME_API + '/2020-01-01/extension/';
const call = (method, path, headers, body) => new Promise(resolve => {
    const request = http.request(api + path, { method, headers }, answer => {
        let text = '';
        answer.on('data', part => text += part).on('end', () => resolve([answer.headers, text]));
    });
    request.end(body);
});
(async () => {
    const [headers] = await call('POST', 'register', { 'Lambda-Extension-Name': 'node' },
        JSON.stringify({ events: ['INVOKE', 'SHUTDOWN'] }));
    const own = { 'Lambda-Extension-Identifier': headers['lambda-extension-identifier'] };
    for (;;) {
        const [, event] = await call('GET', 'event/next', own);
        console.log('node event ' + event);
        if (JSON.parse(event).eventType === 'SHUTDOWN') process.exit(0);
    }
})();
"""


def test_an_extension_in_node_beside_a_function_in_node(squib: Squib, ready_runtimes: frozenset[str]) -> None:
    runtime = max((name for name in ready_runtimes if name.startswith("nodejs")), default=None)
    if runtime is None:
        pytest.skip("needs Node.js")
    source = "exports.handler = async () => 'from node';\n"
    function = deploy(squib, {"node": NODE}, source, runtime=runtime)
    assert function.invoke().value == "from node"
    function.delete()
    lines = wait_for(squib, function, lambda found: len(events_of(found, "node")) == 2)
    assert [event["eventType"] for event in events_of(lines, "node")] == ["INVOKE", "SHUTDOWN"]


WRAPPER = """#!/bin/sh
export WRAPPED="$*"
exec "$@"
"""


def wrapped(squib: Squib, source: str, variables: dict[str, str], **more: object) -> Any:
    answer = squib.client().publish_layer_version(
        LayerName=unique_name("layer"), Content={"ZipFile": zip_of({"wrap": WRAPPER, "plain.txt": "no"})}
    )
    return squib.deploy(
        source, Layers=[answer["LayerVersionArn"]], Environment={"Variables": variables}, **more
    )


def test_a_wrapper_script_starts_managed_runtimes(squib: Squib, ready_runtimes: frozenset[str]) -> None:
    python = (
        "import os\ndef handler(event, context):\n    return [os.environ['WRAPPED'], os.getcwd(), event]\n"
    )
    for name in sorted(name for name in ready_runtimes if name.startswith("python")):
        function = wrapped(squib, python, {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}, runtime=name)
        command, folder, event = function.invoke({"a": 1}).value
        assert command == f"/var/lang/bin/{name} /var/rapid/bootstrap.py"
        assert (folder, event) == ("/var/task", {"a": 1})
    runtime = max((name for name in ready_runtimes if name.startswith("nodejs")), default=None)
    if runtime is not None:
        node = "exports.handler = async () => process.env.WRAPPED;\n"
        function = wrapped(squib, node, {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}, runtime=runtime)
        assert "node" in function.invoke().value


@pytest.mark.parametrize(
    ("path", "message", "status"),
    [("/opt/nothing", "does not exist", 127), ("/opt", "does not exist", 127)],
)
def test_a_wrapper_that_is_none_ends_the_runtime(squib: Squib, path: str, message: str, status: int) -> None:
    function = wrapped(squib, HANDLER, {"AWS_LAMBDA_EXEC_WRAPPER": path})
    result = function.invoke()
    assert result.payload["errorType"] == "Runtime.ExitError"
    assert result.payload["errorMessage"].endswith(f"exit status {status}")
    assert f"{path}: {message}\n" in messages(squib, function)


BACKGROUND = """
import threading, time
ticks = 0


def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.005)


def handler(event, context):
    global ticks
    if event["do"] == "start":
        threading.Thread(target=tick, daemon=True).start()
    seen = ticks
    time.sleep(event["seconds"])
    return [seen, ticks]
"""


@pytest.mark.parametrize("extensions", [{}, {"watcher": ECHO}])
def test_background_work_stands_still_between_invocations_and_goes_on_with_the_next(
    squib: Squib, extensions: dict[str, str]
) -> None:
    function = deploy(squib, extensions, BACKGROUND) if extensions else squib.deploy(BACKGROUND)
    _, first = function.invoke({"do": "start", "seconds": 0.2}).value
    time.sleep(1)
    seen, second = function.invoke({"do": "look", "seconds": 0.2}).value
    assert first > 5
    assert seen - first < 120, "a second of background work would be two hundred ticks"
    assert second > seen


SIGNALLED = """
import signal, subprocess, sys
def leave(number, frame):
    print("leaving", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
def handler(event, context):
    child = subprocess.Popen(["sleep", "60"])
    child.terminate()
    return child.wait()
"""


def test_the_runtime_is_asked_to_end_where_there_are_extensions(
    squib: Squib, ready_runtimes: frozenset[str]
) -> None:
    runtime = next((name for name in ("python3.12", "python3.13") if name in ready_runtimes), None)
    if runtime is None:
        pytest.skip("needs a Python whose client heeds signals while it waits: 3.12 or newer")
    for _ in range(4):  # it has some tenths of a second for it, which a busy machine may not give it
        function = deploy(squib, {"watcher": ECHO}, SIGNALLED, runtime=runtime)
        assert function.invoke().value == -15
        function.delete()
        lines = wait_for(squib, function, lambda found: len(events_of(found, "watcher")) == 2)
        if "leaving\n" in lines:
            return
    pytest.fail("the runtime did not end by itself")


def test_without_a_sandbox_a_function_with_external_extensions_is_refused_and_told_why() -> None:
    with Squib("--isolation", "plain") as plain:
        client = plain.client()
        layer = client.publish_layer_version(
            LayerName="watched", Content={"ZipFile": zip_of({"extensions/watcher": ECHO})}
        )
        function = plain.create(HANDLER, Layers=[layer["LayerVersionArn"]])
        with pytest.raises(WaiterError):
            client.get_waiter("function_active_v2").wait(
                FunctionName=function.name, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
            )
        reason = client.get_function_configuration(FunctionName=function.name)["StateReason"]
        assert "external extensions" in reason and "--isolation sandbox" in reason
