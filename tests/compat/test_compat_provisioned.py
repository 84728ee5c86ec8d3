"""Provisioned concurrency on a live squib: ahead of calls, moved with its alias, failing, replaced."""

import time
from typing import Any

import pytest

from harness.functions import Function
from harness.machine import eventually
from harness.squib import Squib

pytestmark = pytest.mark.slow

HANDLER = """
import os, time
STARTED = time.time()
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    if event.get("exit"):
        os._exit(1)
    return {"started": STARTED, "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], "pid": os.getpid(),
            "version": context.function_version}
"""
BROKEN = 'raise ValueError("not today")\ndef handler(event, context): pass\n'


def provision(function: Function, qualifier: str, count: int) -> None:
    function.client.put_provisioned_concurrency_config(
        FunctionName=function.name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )


def wait_until(function: Function, qualifier: str, status: str) -> dict[str, Any]:
    """What is shown once it has a status."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = function.client.get_provisioned_concurrency_config(
            FunctionName=function.name, Qualifier=qualifier
        )
        return found if found["Status"] == status else None

    found = eventually(look, within_s=30, what=f"provisioned concurrency is {status}")
    assert found is not None
    return found


def published(squib: Squib, code: str, **more: Any) -> Function:
    function = squib.deploy({"app.py": code}, **more)
    function.client.publish_version(FunctionName=function.name)
    return function


def messages(squib: Squib, function: Function) -> list[str]:
    group = {"logGroupName": f"/aws/lambda/{function.name}"}
    return [event["message"] for event in squib.client("logs").filter_log_events(**group)["events"]]


def test_calls_find_environments_that_have_been_initialized(squib: Squib) -> None:
    function = published(squib, HANDLER)
    provision(function, "1", 2)
    found = wait_until(function, "1", "READY")
    assert found["AllocatedProvisionedConcurrentExecutions"] == 2
    assert found["AvailableProvisionedConcurrentExecutions"] == 2
    assert found["RequestedProvisionedConcurrentExecutions"] == 2
    called = time.time()
    result = function.invoke({}, Qualifier="1")
    assert result.value["type"] == "provisioned-concurrency" and result.value["started"] < called
    assert "Init Duration" in result.log
    assert function.invoke({}).value["type"] == "on-demand"
    assert sum(line.startswith("INIT_REPORT Init Duration: ") for line in messages(squib, function)) == 2


def test_environments_move_with_their_alias(squib: Squib) -> None:
    function = published(squib, HANDLER)
    alias = {"FunctionName": function.name, "Name": "live"}
    function.client.create_alias(**alias, FunctionVersion="1")
    provision(function, "live", 1)
    wait_until(function, "live", "READY")
    first = function.invoke({}, Qualifier="live").value
    assert (first["type"], first["version"]) == ("provisioned-concurrency", "1")
    function.configure(MemorySize=320)
    function.client.publish_version(FunctionName=function.name)
    function.client.get_waiter("published_version_active").wait(
        FunctionName=function.name, Qualifier="2", WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
    )
    function.client.update_alias(**alias, FunctionVersion="2")
    wait_until(function, "live", "READY")
    second = function.invoke({}, Qualifier="live").value
    assert (second["type"], second["version"]) == ("provisioned-concurrency", "2")
    assert function.invoke({}, Qualifier="1").value["type"] == "on-demand"


def test_what_does_not_initialize_is_told(squib: Squib) -> None:
    function = published(squib, BROKEN)
    provision(function, "1", 1)
    found = wait_until(function, "1", "FAILED")
    assert found["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert found["AllocatedProvisionedConcurrentExecutions"] == 0
    lines = messages(squib, function)
    assert any("Status: error" in line and line.startswith("INIT_REPORT") for line in lines)
    function.client.delete_provisioned_concurrency_config(FunctionName=function.name, Qualifier="1")


def test_what_crashes_is_replaced_ahead_of_the_next_call(squib: Squib) -> None:
    function = published(squib, HANDLER)
    provision(function, "1", 1)
    wait_until(function, "1", "READY")
    assert function.invoke({"exit": True}, Qualifier="1").error == "Unhandled"
    wait_until(function, "1", "READY")
    called = time.time()
    again = function.invoke({}, Qualifier="1").value
    assert again["type"] == "provisioned-concurrency" and again["started"] < called


def test_initialization_ahead_of_calls_may_take_longer_than_on_demand(squib: Squib) -> None:
    function = published(squib, f"import time\ntime.sleep(10.5)\n{HANDLER}")
    provision(function, "1", 1)
    wait_until(function, "1", "READY")
    result = function.invoke({}, Qualifier="1")
    assert result.value["type"] == "provisioned-concurrency"
    billed_ms = int(result.log.split("Billed Duration: ")[1].split(" ")[0])
    assert billed_ms < 1_000, "the initialization is not billed with the first call"
