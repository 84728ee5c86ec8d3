"""SnapStart on a live squib: versions whose environments come out of a snapshot, seen with the AWS SDK."""

import json
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.functions import Function, Result
from harness.machine import eventually
from harness.squib import PYTHON, Squib

pytestmark = pytest.mark.slow

APP = """
import os, random, secrets, ssl, time, uuid
import boto3
from snapshot_restore_py import register_after_restore, register_before_snapshot

HOOKS = []
for number in range(2):
    register_before_snapshot(HOOKS.append, f"before {number}")
    register_after_restore(HOOKS.append, f"after {number}")

CLIENT = boto3.client("sts")
KEY_OF_INIT = boto3.client("sts")._request_signer._credentials.access_key
CLIENT.get_caller_identity()
random.seed(7)
with open("/tmp/made-at-init", "w") as file:
    file.write("kept")
MADE_ONCE = str(uuid.uuid4())
time.sleep(1)
STARTED = time.time()

def handler(event, context):
    time.sleep(event.get("sleep", 0))
    if event.get("exit"):
        os._exit(3)
    arn = CLIENT.get_caller_identity()["Arn"]
    return {
        "made_once": MADE_ONCE,
        "drawn": [random.random(), os.urandom(8).hex(), str(uuid.uuid4()), ssl.RAND_bytes(8).hex(),
                  secrets.token_hex(8)],
        "hooks": HOOKS,
        "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "started": STARTED,
        "now": time.time(),
        "arn": arn,
        "key": CLIENT._request_signer._credentials.access_key,
        "key_of_init": KEY_OF_INIT,
        "file": open("/tmp/made-at-init").read(),
        "not_there": {"AWS_ACCESS_KEY_ID", "AWS_LAMBDA_LOG_STREAM_NAME"}.isdisjoint(os.environ),
    }
"""
QUICK = """
import time
time.sleep({init})
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    return time.time()
"""
THREADED = """
import threading, time
from snapshot_restore_py import register_after_restore
RAN = []
register_after_restore(RAN.append, "after")
threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
def handler(event, context):
    return {"ran": RAN, "threads": threading.active_count()}
"""


def deploy(squib: Squib, code: str, *, runtime: str = PYTHON, **more: Any) -> tuple[Function, dict[str, Any]]:
    """A function with SnapStart, and its first version as it is shown once its snapshot is settled."""
    function = squib.deploy(
        {"app.py": code}, runtime=runtime, SnapStart={"ApplyOn": "PublishedVersions"}, **more
    )
    return function, publish(function)


def publish(function: Function) -> dict[str, Any]:
    published = function.client.publish_version(FunctionName=function.name)
    assert published["State"] == "Pending"
    which = {"FunctionName": function.name, "Qualifier": published["Version"]}

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = function.client.get_function_configuration(**which)
        return found if found["State"] != "Pending" else None

    found = eventually(look, within_s=60, what="the version is settled")
    assert found is not None
    if "environments can be cloned with --isolation sandbox only" in found.get("StateReason", ""):
        pytest.skip("this machine can clone no environments")
    return found


def at_once(function: Function, count: int, sleep_s: float = 0.0) -> list[Result]:
    """So many calls at the same time."""
    with ThreadPoolExecutor(count) as threads:
        calls = [threads.submit(function.invoke, {"sleep": sleep_s}, Qualifier="1") for _ in range(count)]
        return [call.result() for call in calls]


def first_calls(function: Function, count: int) -> list[Result]:
    """The first call of each of so many environments: calls that last until they overlap, however busy the
    machine is."""
    found: list[Result] = []
    for sleep_s in (0.5, 1, 2, 4, 8):
        results = at_once(function, count + len(found), sleep_s)
        found += [result for result in results if result.report.restore_ms is not None]
        if len(found) >= count:
            return found[:count]
    raise AssertionError(f"only {len(found)} environments for {count} calls at once")


def messages(squib: Squib, function: Function) -> list[str]:
    group = {"logGroupName": f"/aws/lambda/{function.name}"}
    return [event["message"] for event in squib.client("logs").filter_log_events(**group)["events"]]


def test_environments_come_out_of_the_snapshot_of_their_version(squib: Squib) -> None:
    function, version = deploy(squib, APP)
    assert (version["State"], version["SnapStart"]["OptimizationStatus"]) == ("Active", "On")
    assert "StateReason" not in version
    called = time.time()
    results = first_calls(function, 3)
    told = [result.value for result in results]
    for one in told:
        assert one["type"] == "snap-start" and one["started"] < called < one["now"] < time.time() + 1
        assert one["hooks"] == ["before 1", "before 0", "after 0", "after 1"]
        assert one["file"] == "kept" and one["not_there"]
        assert one["arn"].endswith(f":assumed-role/test-role/{function.name}")
    assert len({one["made_once"] for one in told}) == 1
    for drawn in zip(*(one["drawn"] for one in told), strict=True):
        assert len(set(drawn)) == 3, drawn
    keys = {one["key"] for one in told}
    assert len(keys) == 3 and keys.isdisjoint(one["key_of_init"] for one in told)
    for result in results:
        report = result.report
        assert report.init_ms is None
        assert report.restore_ms is not None and report.billed_restore_ms is not None
        assert report.billed_restore_ms <= report.restore_ms + 1
        assert abs(report.billed_ms - report.duration_ms - report.billed_restore_ms) <= 1
    warm = function.invoke({}, Qualifier="1")
    assert warm.report.restore_ms is None and warm.value["hooks"] == told[0]["hooks"]


def test_what_is_not_published_is_initialized_on_demand(squib: Squib) -> None:
    code = "import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n"
    function, _ = deploy(squib, code)
    latest = function.invoke({})
    assert latest.value == "on-demand" and latest.report.init_ms is not None
    assert function.invoke({}, Qualifier="1").value == "snap-start"


def test_log_tells_when_the_snapshot_was_taken_and_who_came_out_of_it(squib: Squib) -> None:
    function, _ = deploy(squib, QUICK.format(init=0.2))
    logged = {"logGroupName": f"/aws/lambda/{function.name}"}
    logs = squib.client("logs")
    for _ in range(2):
        report = function.invoke({}, Qualifier="1").report
    assert report.restore_ms is None
    (first,) = [line for line in messages(squib, function) if line.startswith("INIT_REPORT")]
    taken = re.fullmatch(r"INIT_REPORT Init Duration: ([\d.]+) ms\tPhase: init\tStatus: success\n", first)
    assert taken is not None and float(taken[1]) >= 200

    def streams() -> list[list[str]]:
        names = [one["logStreamName"] for one in logs.describe_log_streams(**logged)["logStreams"]]
        events = (logs.get_log_events(**logged, logStreamName=name)["events"] for name in names)
        return sorted([event["message"].split(" ")[0].strip() for event in one] for one in events)

    expected = [
        ["INIT_START", "INIT_REPORT"],
        ["RESTORE_START", "RESTORE_REPORT", "START", "END", "REPORT", "START", "END", "REPORT"],
    ]
    eventually(lambda: streams() == expected, within_s=10, what=str(streams()))


def test_usage_counts_what_reports_say_and_the_initialization(squib: Squib) -> None:
    function, _ = deploy(squib, QUICK.format(init=0.1))
    reports = [result.report for result in at_once(function, 2, 0.3)]
    (line,) = [line for line in messages(squib, function) if line.startswith("INIT_REPORT")]
    init_ms = float(re.findall(r"Init Duration: ([\d.]+) ms", line)[0])
    listed = squib.command("usage", "--json", "--data-dir", str(squib.data_dir))
    rows = [row for row in json.loads(listed.stdout) if function.name in row.values()]

    def total(field: str) -> Any:
        return sum(row[field] for row in rows if row["version"] == "1")

    assert total("invocations") == 2
    assert total("cold_starts") == sum(one.restore_ms is not None for one in reports) > 0
    assert total("billed_ms") == sum(one.billed_ms for one in reports) + math.ceil(init_ms)
    spent_ms = init_ms + sum(one.restore_ms or 0 for one in reports)
    assert total("init_ms") == pytest.approx(spent_ms, abs=0.05)


@pytest.mark.parametrize("steps", ["raise ValueError('not now')", "import os; os._exit(3)"])
def test_initialization_that_fails_fails_the_version_and_not_the_function(squib: Squib, steps: str) -> None:
    code = f"import os\nif os.environ['AWS_LAMBDA_FUNCTION_VERSION'] != '$LATEST':\n    {steps}\n"
    function, version = deploy(squib, code + "def handler(event, context): return 'fine'\n")
    assert (version["State"], version["StateReasonCode"]) == ("Failed", "FunctionError")
    assert version["SnapStart"]["OptimizationStatus"] == "Off"
    with pytest.raises(function.client.exceptions.ResourceConflictException):
        function.invoke({}, Qualifier="1")
    assert function.invoke({}).value == "fine"
    assert any("INIT_REPORT" in line and "Status: error" in line for line in messages(squib, function))


def test_version_with_a_live_thread_starts_without_a_snapshot_and_says_so(squib: Squib) -> None:
    function, version = deploy(squib, THREADED)
    assert (version["State"], version["SnapStart"]["OptimizationStatus"]) == ("Active", "Off")
    assert "thread" in version["StateReason"]
    result = function.invoke({}, Qualifier="1")
    assert result.value == {"ran": ["after"], "threads": 2}
    assert result.report.init_ms is not None and result.report.restore_ms is None
    said = [line for line in messages(squib, function) if line.startswith("SnapStart: ")]
    assert len(said) == 1 and "thread" in said[0]


FAILING = """
import os, time
from snapshot_restore_py import register_after_restore
def after():
    if os.path.exists("/tmp/calm"):
        return
    {step}
register_after_restore(after)
def handler(event, context):
    return "fine"
"""


def test_hook_that_fails_is_told_to_the_caller_and_the_next_environment_is_another(squib: Squib) -> None:
    function, _ = deploy(squib, FAILING.format(step="raise ValueError('not now')"))
    for _ in range(2):
        with pytest.raises(function.client.exceptions.SnapStartException):
            function.invoke({}, Qualifier="1")
    lines = messages(squib, function)
    assert any("ValueError" in line and "not now" in line for line in lines)
    failed = [line for line in lines if line.startswith("RESTORE_REPORT")]
    assert len(failed) == 2 and all("\tStatus: error\tError Type: " in line for line in failed)


def test_hook_that_takes_too_long_is_told_to_the_caller(squib: Squib) -> None:
    function, _ = deploy(squib, FAILING.format(step="time.sleep(60)"))
    with pytest.raises(function.client.exceptions.SnapStartTimeoutException):
        function.invoke({}, Qualifier="1")
    (failed,) = [line for line in messages(squib, function) if line.startswith("RESTORE_REPORT")]
    assert "Status: timeout" in failed


def test_environment_that_crashes_or_times_out_is_followed_by_another_clone(squib: Squib) -> None:
    function, _ = deploy(squib, APP, Timeout=2)
    crashed = function.invoke({"exit": True}, Qualifier="1")
    assert (crashed.error, crashed.payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    again = function.invoke({}, Qualifier="1")
    assert again.report.restore_ms is not None and again.report.init_ms is None
    late = function.invoke({"sleep": 30}, Qualifier="1")
    assert late.payload["errorType"] == "Sandbox.Timedout"
    after = function.invoke({}, Qualifier="1")
    assert after.report.restore_ms is not None
    assert after.value["made_once"] == again.value["made_once"]


def test_deleted_version_takes_its_template_along(squib: Squib) -> None:
    function, _ = deploy(squib, QUICK.format(init=0))
    assert function.invoke({}, Qualifier="1").report.restore_ms is not None
    (template,) = re.findall(
        rf"snapshot_taken function_arn={function.arn}:1 environment_id=(\w+)", squib.output
    )
    function.client.delete_function(FunctionName=function.name, Qualifier="1")
    eventually(lambda: f"template_ended environment_id={template}" in squib.output, within_s=10)


def test_killed_squib_takes_snapshots_anew() -> None:
    with Squib() as own:
        function, _ = deploy(own, APP)
        first = function.invoke({}, Qualifier="1").value
        own.kill(launcher_too=True)
        own.start()
        again = Function(own.client(), function.name, function.arn)
        result = again.invoke({}, Qualifier="1")
        assert result.report.restore_ms is not None and result.report.init_ms is None
        assert result.value["made_once"] != first["made_once"]
        shown = again.client.get_function_configuration(FunctionName=function.name, Qualifier="1")
        assert shown["SnapStart"]["OptimizationStatus"] == "On"
        assert again.invoke({}, Qualifier="1").value["made_once"] == result.value["made_once"]


def test_publication_that_was_cut_short_is_finished_by_the_next_start() -> None:
    with Squib() as own:
        function = own.deploy({"app.py": QUICK.format(init=3)}, SnapStart={"ApplyOn": "PublishedVersions"})
        function.client.publish_version(FunctionName=function.name)
        which = {"FunctionName": function.name, "Qualifier": "1"}
        assert function.client.get_function_configuration(**which)["State"] == "Pending"
        with pytest.raises(function.client.exceptions.SnapStartNotReadyException):
            function.invoke({}, Qualifier="1")
        own.kill(launcher_too=True)
        own.start()
        client = own.client()
        eventually(
            lambda: client.get_function_configuration(**which)["State"] == "Active",
            within_s=30,
            what="the version is active",
        )
        Function(client, function.name, function.arn).invoke({}, Qualifier="1").value  # noqa: B018


@pytest.mark.parametrize("runtime", ["python3.9", "python3.10", "python3.12", "python3.13"])
def test_every_python_of_the_machine_has_snapshots(
    squib: Squib, ready_runtimes: frozenset[str], runtime: str
) -> None:
    if runtime not in ready_runtimes:
        pytest.skip(f"{runtime} is not on this machine")
    function, version = deploy(squib, APP, runtime=runtime)
    assert version["SnapStart"]["OptimizationStatus"] == "On"
    told = [result.value for result in first_calls(function, 2)]
    assert len({one["made_once"] for one in told}) == 1
    assert len({one["key"] for one in told}) == 2
    for drawn in zip(*(one["drawn"] for one in told), strict=True):
        assert len(set(drawn)) == 2, drawn


def test_templates_make_room_when_memory_is_short_and_are_made_anew() -> None:
    hungry = "KEPT = bytearray(100 << 20)\n" + QUICK.format(init=0)
    with Squib("--memory-budget", "300") as own:
        functions = [deploy(own, hungry, MemorySize=512)[0] for _ in range(4)]
        eventually(lambda: "template_ended" in own.output, within_s=20, what="a template makes room")
        for function in functions:
            assert function.invoke({}, Qualifier="1").error is None


def test_without_isolation_versions_start_without_snapshots_and_hooks_run_all_the_same() -> None:
    with Squib("--isolation", "plain") as own:
        function = own.deploy({"app.py": APP}, SnapStart={"ApplyOn": "PublishedVersions"})
        function.client.publish_version(FunctionName=function.name)
        which = {"FunctionName": function.name, "Qualifier": "1"}
        read = function.client.get_function_configuration
        eventually(lambda: read(**which)["State"] == "Active", within_s=20, what="it is active")
        shown = read(**which)
        assert shown["SnapStart"]["OptimizationStatus"] == "Off"
        assert "--isolation sandbox" in shown["StateReason"]
        told = function.invoke({}, Qualifier="1").value
        assert told["hooks"] == ["before 1", "before 0", "after 0", "after 1"]
        assert told["arn"].endswith(f":assumed-role/test-role/{function.name}") and told["not_there"]
