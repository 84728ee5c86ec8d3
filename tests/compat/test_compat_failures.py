"""Functions that fail: each ends as on Lambda, and the next invocation works."""

import pytest

from harness.functions import Function, Result
from harness.squib import Squib


def failure(result: Result) -> tuple[str, str]:
    """Type and message of a function error."""
    assert result.status == 200
    assert result.error == "Unhandled", result
    return result.payload["errorType"], result.payload["errorMessage"]


@pytest.fixture(scope="module")
def mishaps(squib: Squib) -> Function:
    """Does what the event says."""
    source = """
import ctypes, os, signal, sys, threading, time
calls = 0
def handler(event, context):
    global calls
    calls += 1
    match event:
        case "raise": raise ValueError("no luck")
        case "exit 0": sys.exit(0)
        case "exit 3": sys.exit(3)
        case "_exit 0": os._exit(0)
        case "_exit 7": os._exit(7)
        case "segfault": ctypes.string_at(0)
        case "abort": os.abort()
        case "term": os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)
        case "sleep": time.sleep(30)
        case "spin":
            while True: pass
        case "memory":
            hoard = []
            while True: hoard.append(bytearray(16 << 20))
        case "thread":
            threading.Thread(target=os._exit, args=(9,)).start(); time.sleep(30)
        case "set": return {1, 2}
    return calls
"""
    return squib.deploy(source, Timeout=2, MemorySize=128)


def test_exception(mishaps: Function) -> None:
    result = mishaps.invoke("raise")
    assert failure(result) == ("ValueError", "no luck")
    assert result.payload["requestId"] == result.request_id
    assert any("in handler" in line for line in result.payload["stackTrace"])
    assert "[ERROR] ValueError: no luck" in result.log
    before = mishaps.invoke("count").value
    assert mishaps.invoke("count").value == before + 1, "an exception does not cost the environment"


def test_answer_that_is_not_json(mishaps: Function) -> None:
    kind, message = failure(mishaps.invoke("set"))
    assert kind == "Runtime.MarshalError"
    assert "not JSON serializable" in message


@pytest.mark.parametrize(
    ("mishap", "message"),
    [
        ("_exit 0", "Runtime exited without providing a reason"),
        ("_exit 7", "Runtime exited with error: exit status 7"),
        ("segfault", "Runtime exited with error: signal: segmentation fault"),
        ("abort", "Runtime exited with error: signal: aborted"),
        ("thread", "Runtime exited with error: exit status 9"),
    ],
)
def test_the_process_ends(mishaps: Function, mishap: str, message: str) -> None:
    result = mishaps.invoke(mishap)
    kind, got = failure(result)
    assert kind == "Runtime.ExitError"
    assert got.startswith(f"RequestId: {result.request_id} Error: {message}")
    assert result.report.status == "error"
    again = mishaps.invoke("count")
    assert again.value == 1, "globals are new after a crash"


@pytest.mark.parametrize(("mishap", "status"), [("exit 0", 0), ("exit 3", 3)])
def test_sys_exit_ends_the_runtime(mishaps: Function, mishap: str, status: int) -> None:
    kind, message = failure(mishaps.invoke(mishap))
    assert kind == "Runtime.ExitError"
    expected = "Runtime exited without providing a reason" if status == 0 else f"exit status {status}"
    assert expected in message
    assert mishaps.invoke("count").value == 1


@pytest.mark.slow
@pytest.mark.parametrize("mishap", ["sleep", "spin"])
def test_timeout(mishaps: Function, mishap: str) -> None:
    result = mishaps.invoke(mishap)
    kind, message = failure(result)
    assert kind == "Sandbox.Timedout"
    assert message == f"RequestId: {result.request_id} Error: Task timed out after 2.00 seconds"
    assert result.report.status == "timeout"
    assert 2000 <= result.report.duration_ms < 5000
    assert "Task timed out after 2.00 seconds" in result.log
    assert mishaps.invoke("count").value == 1


@pytest.mark.slow
def test_out_of_memory(mishaps: Function) -> None:
    result = mishaps.invoke("memory")
    kind, message = failure(result)
    assert kind == "Runtime.OutOfMemory"
    assert message == f"RequestId: {result.request_id} Error: Runtime exited with error: signal: killed"
    assert result.report.used_mib == result.report.memory_mib == 128
    assert mishaps.invoke("count").value == 1


@pytest.mark.parametrize(
    ("source", "handler", "kind", "part"),
    [
        ("raise RuntimeError('at import')", "app.handler", "RuntimeError", "at import"),
        (
            "import no_such_module",
            "app.handler",
            "Runtime.ImportModuleError",
            "No module named 'no_such_module'",
        ),
        ("x = 1", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("x = 1", "other.handler", "Runtime.ImportModuleError", "No module named 'other'"),
        ("def (", "app.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
        ("x = 1", "nonsense", "Runtime.MalformedHandlerName", "Bad handler 'nonsense'"),
    ],
    ids=["raises", "imports", "no-handler", "no-module", "syntax", "bad-handler"],
)
def test_functions_that_cannot_start(squib: Squib, source: str, handler: str, kind: str, part: str) -> None:
    function = squib.deploy(source, Handler=handler)
    for _ in range(2):
        got, message = failure(function.invoke())
        assert got == kind
        assert part in message


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        ("import os; os._exit(4)", "exit status 4"),
        ("import sys; sys.exit(5)", "exit status 5"),
        ("import ctypes; ctypes.string_at(0)", "segmentation fault"),
    ],
)
def test_processes_that_end_while_starting(squib: Squib, statement: str, part: str) -> None:
    kind, message = failure(squib.deploy(statement).invoke())
    assert kind == "Runtime.ExitError"
    assert part in message


@pytest.mark.slow
def test_initialization_over_ten_seconds_starts_again_within_the_timeout(squib: Squib) -> None:
    source = """
import os, time
if not os.path.exists("/tmp/been-here"):
    open("/tmp/been-here", "w").close()
    time.sleep(60)
def handler(event, context):
    return "second try"
"""
    function = squib.deploy(source, Timeout=5)
    assert function.invoke().value == "second try"
    group = f"/aws/lambda/{function.name}"
    (report,) = squib.client("logs").filter_log_events(logGroupName=group, filterPattern="INIT_REPORT")[
        "events"
    ]
    assert "Status: timeout" in report["message"]


@pytest.mark.slow
def test_initialization_that_never_ends_times_out(squib: Squib) -> None:
    function = squib.deploy("import time\ntime.sleep(600)\n", Timeout=1)
    result = function.invoke()
    assert failure(result)[0] == "Sandbox.Timedout"
    assert "1.00 seconds" in result.payload["errorMessage"]
