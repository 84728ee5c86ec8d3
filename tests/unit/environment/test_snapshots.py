"""Environments that come out of a snapshot: what is taken, written, billed and told."""

import asyncio
import json
from typing import Any

import msgspec

from harness.environments import World, function
from harness.snapshots import ONE, kinds, now_ms, script, story, streams
from squib.environment.drivers.fake_script import (
    Call,
    Next,
    Snapshot,
)
from squib.model.function import LoggingConfig
from squib.model.invocation import Succeeded

# --- taking and using it


def test_version_is_initialized_once_and_each_environment_goes_on_from_there() -> None:
    async def body(world: World) -> None:
        assert await world.pool.templates.take(ONE) is None
        started_ms = await now_ms()
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(world.invoke(b"%d" % number, of=ONE)) for number in range(3)]
        assert [call.result() for call in calls] == [
            Succeeded(payload=b"%d" % number, executed_version="1") for number in range(3)
        ]
        assert await now_ms() - started_ms < 10
        assert kinds(world) == [(True, "snap-start")]
        assert world.driver.clone_count == 3

    world = story(body, script())
    template, *clones = streams(world)
    assert template == ["INIT_START", "INIT_REPORT"]
    assert clones == [["RESTORE_START", "RESTORE_REPORT", "START", "END", "REPORT"]] * 3


def test_lines_and_bill_tell_what_coming_out_of_the_snapshot_took() -> None:
    async def body(world: World) -> None:
        await world.pool.templates.take(ONE)
        await world.invoke(of=ONE)
        await world.invoke(of=ONE)

    world = story(body, script(clone_delay_s=0.006))
    template, clone = ([text for _, text in one.events] for one in world.logs.streams.values())
    assert template[1] == "INIT_REPORT Init Duration: 1000.00 ms\tPhase: init\tStatus: success\n"
    assert clone[0].startswith("RESTORE_START Runtime Version: python:3.12\tRuntime Version ARN: arn:aws:")
    assert clone[1] == "RESTORE_REPORT Restore Duration: 10.00 ms\n"
    first, second = (text for text in clone if text.startswith("REPORT"))
    assert "\tBilled Duration: 4 ms\t" in first and "Init Duration" not in first
    assert "\tRestore Duration: 10.00 ms\tBilled Restore Duration: 4 ms\t" in first
    assert "Restore" not in second
    taking, serving = world.meter.take().values()
    assert (taking.invocations, taking.cold_starts, taking.billed_ms, taking.init_10us) == (
        0,
        0,
        1_000,
        100_000,
    )
    assert (serving.invocations, serving.cold_starts, serving.billed_ms, serving.init_10us) == (
        2,
        1,
        4,
        1_000,
    )


def test_json_log_and_subscribers_have_the_platforms_events() -> None:
    logging = LoggingConfig(log_format="JSON", log_group="/aws/lambda/f", system_log_level="DEBUG")
    of = msgspec.structs.replace(ONE, logging=logging)

    async def body(world: World) -> None:
        await world.pool.templates.take(of)
        await world.invoke(of=of)

    world = story(body, script())
    template, clone = ([json.loads(text) for _, text in one.events] for one in world.logs.streams.values())
    assert [one["record"]["initializationType"] for one in template] == ["snap-start"] * 3
    by_kind = {one["type"]: one["record"] for one in clone}
    assert list(by_kind)[:4] == [
        "platform.restoreStart",
        "platform.restoreRuntimeDone",
        "platform.restoreReport",
        "platform.start",
    ]
    assert by_kind["platform.restoreStart"] | {"runtimeVersionArn": ""} == {
        "functionName": "f",
        "functionVersion": "1",
        "runtimeVersion": "python:3.12",
        "runtimeVersionArn": "",
    }
    assert by_kind["platform.restoreReport"] == {"status": "success", "metrics": {"durationMs": 4.0}}
    metrics = by_kind["platform.report"]["metrics"]
    assert (metrics["restoreDurationMs"], metrics["billedRestoreDurationMs"]) == (4.0, 4)


def test_latest_and_versions_without_snap_start_have_no_template() -> None:
    async def body(world: World) -> None:
        for of in (function(snap_start="PublishedVersions"), function(version="2")):
            await world.invoke(of=of)
        assert kinds(world) == [(False, "on-demand")] * 2

    story(body, script())


def test_first_need_makes_a_template_and_everyone_waits_for_the_same_one() -> None:
    """As after a restart: what was published before has no template yet."""

    async def body(world: World) -> None:
        started_ms = await now_ms()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(70):  # more than may be made at once
                tasks.create_task(world.invoke(of=ONE))
            other = tasks.create_task(world.invoke(of=function()))
        assert isinstance(other.result(), Succeeded)
        assert await now_ms() - started_ms < 1_100
        assert [one for one in kinds(world) if one[0]] == [(True, "snap-start")]
        assert world.driver.clone_count == 70

    story(body, script())


def test_waiting_for_a_place_on_the_machine_is_not_restoring() -> None:
    async def body(world: World) -> None:
        await world.pool.templates.take(ONE)
        assert isinstance(await world.invoke(of=ONE), Succeeded)

    world = story(body, script(clone_delay_s=12))
    clone = [text for _, text in list(world.logs.streams.values())[-1].events]
    assert clone[1] == "RESTORE_REPORT Restore Duration: 12004.00 ms\n"
    assert "\tBilled Restore Duration: 4 ms\t" in clone[-1]


# --- credentials


def asked(world: World, sandbox: Any) -> list[dict[str, Any]]:
    return [json.loads(text) for status, text in sandbox.answers if status == 200 and text]


def test_each_environment_is_told_credentials_of_its_own_by_the_token_of_all() -> None:
    def ask(token: str) -> Call:
        return Call("GET", "/2021-04-23/credentials", headers={"Authorization": token})

    async def body(world: World) -> None:
        await world.pool.templates.take(ONE)
        (template,) = world.driver.sandboxes
        variables = template.spec.variables
        assert (
            variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == "http://127.0.0.1:9001/2021-04-23/credentials"
        )
        assert not variables.keys() & {
            *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
            *("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"),
        }
        token = variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        world.script.on_clone = lambda count: (ask(token), ask("a guess"), Call("GET", "/"), Next())
        await world.invoke(of=ONE)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(world.invoke(of=ONE))
        clones = [one for one in world.driver.sandboxes if one is not template]
        keys = [json.loads(one.answers[0][1])["AccessKeyId"] for one in clones]
        assert len(set(keys)) == len(clones) == 2
        assert set(keys) < set(world.minted)
        assert [status for status, _ in clones[1].answers[:3]] == [200, 403, 404]
        told = json.loads(clones[0].answers[0][1])
        assert told.keys() == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}

    story(body, script())


def test_what_a_snapshot_is_taken_of_is_told_that_its_credentials_end_soon() -> None:
    told: list[dict[str, Any]] = []

    async def body(world: World) -> None:
        world.script.on_start = lambda count: (
            Call("GET", "/2021-04-23/credentials", headers={"Authorization": token(world)}),
            Snapshot(),
        )
        await world.pool.templates.take(ONE)
        (template,) = world.driver.templates
        told.append(json.loads(template.answers[0][1]))
        assert told[0]["AccessKeyId"] == world.minted[0]
        assert world.revoked == []
        await asyncio.sleep(0)
        world.pool.retire(lambda version: False)
        await asyncio.sleep(0.01)
        assert world.revoked == world.minted

    def token(world: World) -> str:
        return world.driver.specs[0].variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]

    story(body, script())
    assert told[0]["Expiration"] == "2026-01-31T12:39:56Z"  # five minutes from the start of every story
