"""Stopping and starting: in good order, twice at a time, and with work under way."""

import shutil
import signal
import stat
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import botocore.exceptions
import pytest

from harness.functions import Function
from harness.machine import PATIENCE, eventually
from harness.squib import DidNotStart, Squib, new_data_dir

SLEEPER = """
import time
def handler(event, context):
    print("awake soon")
    time.sleep(event)
    return "slept"
"""


def test_functions_logs_and_keys_survive_a_restart() -> None:
    data_dir = new_data_dir()
    with Squib(data_dir=data_dir) as squib:
        function = squib.deploy("def handler(event, context):\n    print('kept line')\n    return 1\n")
        assert function.invoke().value == 1
        key = squib.root_key()
    with Squib(data_dir=data_dir) as again:
        again.owns_data = True
        assert again.root_key() == key
        client = again.client()
        configuration = client.get_function(FunctionName=function.name)["Configuration"]
        assert (configuration["State"], configuration["LastUpdateStatus"]) == ("Active", "Successful")
        assert Function(client, function.name, function.arn).invoke().value == 1
        logs = again.client("logs")
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{function.name}", filterPattern="kept")[
            "events"
        ]
        assert [event["message"] for event in events] == ["kept line\n"] * 2


def test_versions_and_sealed_variables_survive_a_restart_that_finds_no_unpacked_code() -> None:
    data_dir = new_data_dir()
    source = (
        "import os\ndef handler(event, context):\n    return [context.function_version, os.environ['WORD']]\n"
    )
    with Squib(data_dir=data_dir) as squib:
        function = squib.deploy(source, Environment={"Variables": {"WORD": "not-for-the-database"}})
        client = squib.client()
        client.publish_version(FunctionName=function.name)
        client.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    for path in data_dir.glob("squib.db*"):
        assert b"not-for-the-database" not in path.read_bytes()
    shutil.rmtree(data_dir / "code")
    with Squib(data_dir=data_dir) as again:
        again.owns_data = True
        live = Function(again.client(), f"{function.name}:live", f"{function.arn}:live")
        assert live.invoke().value == ["1", "not-for-the-database"]
        assert live.invoke().value == ["1", "not-for-the-database"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_invocation_is_finished_and_answered(
    number: signal.Signals, request: pytest.FixtureRequest
) -> None:
    squib = Squib().start()
    request.addfinalizer(squib._forget)
    function = squib.deploy(SLEEPER)
    function.invoke(0)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(function.invoke, 2)
        group = f"/aws/lambda/{function.name}"

        def started() -> bool:
            events = squib.client("logs").filter_log_events(logGroupName=group, filterPattern="awake")[
                "events"
            ]
            return len(events) == 2

        eventually(started)
        squib.processes()
        squib.process.send_signal(number)
        assert running.result(20 * PATIENCE).value == "slept"
    assert squib.process.wait(20 * PATIENCE) == 0
    with pytest.raises(botocore.exceptions.BotoCoreError):
        function.invoke(0)
    squib.assert_nothing_left()


@pytest.mark.slow
def test_an_invocation_over_the_drain_time_is_cut(request: pytest.FixtureRequest) -> None:
    squib = Squib("--drain-timeout-s", "1").start()
    request.addfinalizer(squib._forget)
    function = squib.deploy(SLEEPER, Timeout=60)
    function.invoke(0)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(function.invoke, 50)
        eventually(lambda: len(squib.processes()) > 3)
        assert squib.stop(within_s=15) == 0
        with pytest.raises((botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)):
            running.result(5 * PATIENCE)
    squib.assert_nothing_left()


def test_a_second_squib_on_the_same_data_is_refused(squib: Squib) -> None:
    with pytest.raises(DidNotStart) as refused:
        Squib(data_dir=squib.data_dir).start()
    assert refused.value.code == 1
    assert (
        f"The data directory {squib.data_dir} is in use by process {squib.process.pid}."
        in refused.value.output
    )
    assert "Traceback" not in refused.value.output
    assert squib.client().list_functions()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_taken_port_is_refused(squib: Squib) -> None:
    port = squib.url.rpartition(":")[2]
    with pytest.raises(DidNotStart) as refused, Squib("--port", port):
        pass
    assert refused.value.code == 1
    assert f"can't listen on 127.0.0.1:{port}" in refused.value.output
    assert "Traceback" not in refused.value.output


def test_the_data_directory_is_closed_to_others(squib: Squib) -> None:
    for name in ("credentials.json", "squib.db", "logs", "blobs"):
        mode = (squib.data_dir / name).stat().st_mode
        assert mode & (stat.S_IRWXO | stat.S_IRWXG) == 0, name


def test_the_daemon_has_no_privileges(squib: Squib) -> None:
    text = Path(f"/proc/{squib.process.pid}/status").read_text()
    status = {key: value.strip() for key, value in (line.split(":", 1) for line in text.splitlines())}
    assert "0" not in status["Uid"].split()
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_env_names_the_running_squib(squib: Squib) -> None:
    printed = squib.command("env", "--data-dir", str(squib.data_dir))
    assert printed.returncode == 0
    assert f"export AWS_ENDPOINT_URL={squib.url}" in printed.stdout
    assert squib.root_key()[1] in printed.stdout


def test_several_squibs_run_side_by_side(squib: Squib) -> None:
    with Squib() as other:
        assert other.url != squib.url
        assert other.tags != squib.tags
        function = other.deploy("def handler(event, context):\n    return 'other'\n")
        assert function.invoke().value == "other"
        with pytest.raises(botocore.exceptions.ClientError):
            squib.client().get_function(FunctionName=function.name)
    with urllib.request.urlopen(squib.url + "/_squib/health", timeout=5 * PATIENCE) as answer:
        assert answer.status == 200
