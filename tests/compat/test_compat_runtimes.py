"""Every runtime this machine has: functions in Python, JavaScript and the shell."""

import pytest

from harness.machine import eventually
from harness.squib import Squib

PYTHONS = [f"python3.{minor}" for minor in range(9, 16)]
NODES = [f"nodejs{major}.x" for major in (18, 20, 22, 24, 26)]


def need(runtime: str, ready: frozenset[str]) -> None:
    if runtime not in ready:
        pytest.skip(f"{runtime} is not on this machine")


def any_node(ready: frozenset[str]) -> str:
    found = [name for name in NODES if name in ready]
    if not found:
        pytest.skip("no node on this machine")
    return found[-1]


@pytest.mark.parametrize("runtime", PYTHONS)
def test_python(squib: Squib, ready_runtimes: frozenset[str], runtime: str) -> None:
    need(runtime, ready_runtimes)
    source = """
import logging, os, sqlite3, ssl, sys
import boto3
logging.getLogger().setLevel("INFO")
def handler(event, context):
    logging.info("logged %s", event)
    print("printed")
    return ["python%d.%d" % sys.version_info[:2], os.environ["AWS_EXECUTION_ENV"], event]
"""
    function = squib.deploy(source, runtime=runtime, Timeout=20)
    result = function.invoke({"a": "ü"})
    assert result.value == [runtime, f"AWS_Lambda_{runtime}", {"a": "ü"}]
    assert "printed\n" in result.log
    assert "[INFO]\t" in result.log
    assert f"\t{result.request_id}\tlogged" in result.log
    assert function.invoke(2).report.init_ms is None


HANDLERS = {
    "commonjs": {"app.js": "exports.handler = async (event, context) => [event, context.functionName];"},
    "module": {"app.mjs": "export const handler = async (event, context) => [event, context.functionName];"},
    "package": {
        "package.json": '{"type": "module"}',
        "app.js": "export async function handler(event, context) { return [event, context.functionName]; }",
    },
    "promise": {
        "app.js": "exports.handler = (e, c) => new Promise(r => setTimeout(() => r([e, c.functionName])));"
    },
}
CALLBACK = {
    "app.js": "exports.handler = (event, context, done) => done(null, [event, context.functionName]);"
}


@pytest.mark.parametrize("runtime", NODES)
@pytest.mark.parametrize("style", HANDLERS)
def test_node(squib: Squib, ready_runtimes: frozenset[str], runtime: str, style: str) -> None:
    need(runtime, ready_runtimes)
    function = squib.deploy(HANDLERS[style], runtime=runtime)
    assert function.invoke({"a": "ü"}).value == [{"a": "ü"}, function.name]
    assert function.invoke(2).value == [2, function.name]


@pytest.mark.parametrize("runtime", NODES[:3])
def test_node_callbacks(squib: Squib, ready_runtimes: frozenset[str], runtime: str) -> None:
    need(runtime, ready_runtimes)
    function = squib.deploy(CALLBACK, runtime=runtime)
    assert function.invoke(1).value == [1, function.name]


LATE = """
exports.handler = async () => {
  setTimeout(() => { throw new Error("late"); });
  await new Promise(done => setTimeout(done, 9000));
};
"""


@pytest.mark.parametrize(
    ("source", "kind", "part"),
    [
        ("exports.handler = async () => { throw new TypeError('no luck'); };", "TypeError", "no luck"),
        ("throw new RangeError('at import');", "RangeError", "at import"),
        ("exports.other = 1;", "Runtime.HandlerNotFound", "app.handler"),
        ("require('no-such-module');", "Runtime.ImportModuleError", "no-such-module"),
        ("exports.handler = async () => process.exit(6);", "Runtime.ExitError", "exit status 6"),
        (LATE, "", "late"),
    ],
    ids=["throws", "import", "no-handler", "no-module", "exit", "uncaught"],
)
def test_node_failures(
    squib: Squib, ready_runtimes: frozenset[str], source: str, kind: str, part: str
) -> None:
    function = squib.deploy(source, runtime=any_node(ready_runtimes))
    result = function.invoke()
    assert result.error == "Unhandled"
    assert kind in result.payload["errorType"]
    assert part in result.payload["errorMessage"] or part in result.log


def test_node_logs_and_timeouts(squib: Squib, ready_runtimes: frozenset[str]) -> None:
    source = """
exports.handler = async event => {
  console.log("seen", event);
  if (event) await new Promise(done => setTimeout(done, 9000));
};
"""
    function = squib.deploy(source, runtime=any_node(ready_runtimes), Timeout=1)
    result = function.invoke(0)
    assert result.value is None
    assert f"\t{result.request_id}\tINFO\tseen 0" in result.log
    assert function.invoke(1).payload["errorType"] == "Sandbox.Timedout"
    assert function.invoke(0).value is None


BASH = r"""#!/bin/bash
api="${AWS_LAMBDA_RUNTIME_API}"; host="${api%:*}" port="${api#*:}"
call() {  # METHOD PATH BODY: prints the answer
  exec 3<>"/dev/tcp/$host/$port"
  printf '%s /2018-06-01/runtime/%s HTTP/1.1\r\nHost: %s\r\n' "$1" "$2" "$api" >&3
  printf 'Content-Length: %d\r\nConnection: close\r\n\r\n%s' "${#3}" "$3" >&3
  cat <&3
  exec 3<&-
}
while true; do
  answer="$(call GET invocation/next '')"
  id="$(sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *\([^\r]*\)\r*$/\1/p' <<<"$answer")"
  event="${answer##*$'\r\n\r\n'}"
  echo "shell got $event"
  if [ "$event" = '"fail"' ]; then
    call POST "invocation/$id/error" '{"errorType": "Shell.Error", "errorMessage": "asked to"}' >/dev/null
  else
    call POST "invocation/$id/response" "{\"shell\": $event, \"handler\": \"$_HANDLER\"}" >/dev/null
  fi
done
"""


@pytest.mark.parametrize("runtime", ["provided.al2", "provided.al2023"])
def test_own_runtime_in_shell(squib: Squib, runtime: str) -> None:
    function = squib.deploy(BASH, runtime=runtime, Handler="some.name")
    result = function.invoke(42)
    assert result.value == {"shell": 42, "handler": "some.name"}
    assert "shell got 42\n" in result.log
    failed = function.invoke("fail")
    assert failed.error == "Unhandled"
    assert failed.payload == {"errorType": "Shell.Error", "errorMessage": "asked to"}
    assert function.invoke(1).value["shell"] == 1


def test_own_runtime_that_is_missing_or_not_executable(squib: Squib) -> None:
    missing = squib.deploy({"other": "x"}, runtime="provided.al2023").invoke()
    assert missing.error == "Unhandled"
    assert missing.payload["errorType"] == "Runtime.InvalidEntrypoint"
    assert "/var/task/bootstrap" in missing.payload["errorMessage"]
    garbage = squib.deploy("\x7fnot a program", runtime="provided.al2023").invoke()
    assert garbage.error == "Unhandled"
    assert garbage.payload["errorType"] == "Runtime.InvalidEntrypoint"
    assert "exec format error" in garbage.payload["errorMessage"]


def test_a_runtime_that_is_not_here_is_refused_or_fails_clearly(
    squib: Squib, ready_runtimes: frozenset[str]
) -> None:
    absent = next((name for name in reversed([*PYTHONS, *NODES]) if name not in ready_runtimes), None)
    if absent is None:
        pytest.skip("this machine has every runtime")
    function = squib.create("def handler(event, context): pass", runtime=absent)

    def state() -> str:
        return str(function.client.get_function_configuration(FunctionName=function.name)["State"])

    eventually(lambda: state() != "Pending")
    configuration = function.client.get_function_configuration(FunctionName=function.name)
    assert configuration["State"] == "Failed"
    assert absent in configuration["StateReason"]
