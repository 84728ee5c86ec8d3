"""The pool with real runtimes in plain processes, and real log streams behind it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from harness.environments import ACCOUNT, MemoryLogs, code_lies_ready, function
from squib.clock import SystemClock, SystemEntropy
from squib.environment.drivers.plain import PlainDriver, PlainOptions
from squib.environment.pool import Pool
from squib.environment.pool_options import PoolOptions
from squib.environment.runtimes import RuntimeSearch, discover
from squib.model.function import FunctionVersion
from squib.model.identity import AccessKey, root_principal
from squib.model.invocation import FunctionFailed, Invocation, InvokeOutcome, Succeeded

pytestmark = pytest.mark.slow

HANDLER = """
import os, sys, time
count = 0
def handler(event, context):
    global count
    count += 1
    what = event.get("do")
    print("doing", what)
    if what == "raise":
        raise ValueError("no")
    if what == "exit":
        sys.exit(3)
    if what == "sleep":
        time.sleep(event["seconds"])
    if what == "big":
        return "x" * event["size"]
    return {"count": count, "remaining": context.get_remaining_time_in_millis(), "pid": os.getpid()}
"""
RUNTIMES = {name: one for name, one in discover(RuntimeSearch()).items() if name == "python3.11"}
Invoke = Callable[..., Awaitable[InvokeOutcome]]


def run(
    tmp_path: Path, story: Callable[[Pool, Invoke], Awaitable[None]], logs: MemoryLogs | None = None
) -> None:
    if not RUNTIMES:
        pytest.skip("python3.11 is not ready on this machine")
    code = tmp_path / "code" / function().code.digest
    code.mkdir(parents=True)
    (code / "app.py").write_text(HANDLER)
    entropy, clock = SystemEntropy(), SystemClock()
    streams: Any = logs or MemoryLogs()

    async def main() -> None:
        driver = PlainDriver(
            RUNTIMES, {}, PlainOptions(code_dir=tmp_path / "code", work_dir=tmp_path / "plain")
        )
        pool = Pool(
            driver=driver,
            ensure_code=code_lies_ready,
            logs=streams,
            clock=clock,
            entropy=entropy,
            mint=lambda version, environment_id: AccessKey(
                access_key_id="ASIA", secret_access_key="s", principal=root_principal(ACCOUNT)
            ),
            revoke=lambda access_key_id: None,
            endpoint=lambda exchange: exchange.respond(404, ()),
            options=PoolOptions(max_environments=4),
        )

        async def invoke(event: object, of: FunctionVersion | None = None, **more: Any) -> InvokeOutcome:
            version = of or function()
            return await pool.invoke(
                Invocation(
                    request_id=entropy.request_id(),
                    function=version,
                    invoked_arn=version.key.arn(),
                    payload=json.dumps(event).encode(),
                    trace_id="Root=1-0-0",
                    received_at_ms=clock.now_ms(),
                    **more,
                )
            )

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pool.run())
            await asyncio.sleep(0)
            await story(pool, invoke)
            await pool.close(5)
        await driver.close()

    uvloop.run(main())


def value(outcome: InvokeOutcome) -> Any:
    assert isinstance(outcome, Succeeded), outcome
    return json.loads(outcome.payload)


def failure(outcome: InvokeOutcome) -> Any:
    assert isinstance(outcome, FunctionFailed), outcome
    return json.loads(outcome.payload)


def test_cold_warm_concurrent_and_the_log(tmp_path: Path) -> None:
    logs = MemoryLogs()

    async def story(pool: Pool, invoke: Invoke) -> None:
        first, second = value(await invoke({})), value(await invoke({}))
        assert (first["count"], second["count"]) == (1, 2)
        assert first["pid"] == second["pid"]
        assert 2000 < second["remaining"] <= 3000
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(_sleep(invoke, 0.3)) for _ in range(2)]
        assert len({value(one.result())["pid"] for one in both}) == 2
        tail = (await invoke({"do": "tail"}, wants_log_tail=True)).log_tail.decode().splitlines()
        assert [line.split()[0] for line in tail] == ["START", "doing", "END", "REPORT"]

    run(tmp_path, story, logs)
    lines = max((stream.lines for stream in logs.streams.values()), key=len)
    assert lines[1:5] == ["START", "doing None", "END", "REPORT"]


async def _sleep(invoke: Invoke, seconds: float) -> InvokeOutcome:
    return await invoke({"do": "sleep", "seconds": seconds})


def test_failures_of_a_real_runtime(tmp_path: Path) -> None:
    async def story(pool: Pool, invoke: Invoke) -> None:
        raised = failure(await invoke({"do": "raise"}))
        assert (raised["errorType"], raised["errorMessage"]) == ("ValueError", "no")
        assert raised["stackTrace"]
        left = failure(await invoke({"do": "exit"}))
        assert left["errorType"] == "Runtime.ExitError"
        assert left["errorMessage"].endswith(" Error: Runtime exited with error: exit status 3")
        assert value(await invoke({}))["count"] == 1
        short = function(timeout_s=1, content_id="short")
        late = failure(await invoke({"do": "sleep", "seconds": 5}, of=short))
        assert late["errorType"] == "Sandbox.Timedout"
        assert late["errorMessage"].endswith(" Error: Task timed out after 1.00 seconds")
        assert value(await invoke({}, of=short))["count"] == 1
        big = failure(await invoke({"do": "big", "size": 6_291_556}))
        assert big["errorType"] == "Function.ResponseSizeTooLarge"
        assert value(await invoke({}))["count"] == 1
        absent = function(handler="absent.handler", content_id="absent")
        missing = failure(await invoke({}, of=absent))
        assert missing["errorType"] == "Runtime.ImportModuleError"
        assert missing["requestId"] == ""

    run(tmp_path, story)


def test_six_megabytes_come_back(tmp_path: Path) -> None:
    async def story(pool: Pool, invoke: Invoke) -> None:
        assert len(value(await invoke({"do": "big", "size": 6_000_000}))) == 6_000_000

    run(tmp_path, story)
