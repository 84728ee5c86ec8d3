"""What becomes of environments whose snapshot cannot be had, is lost, fails or is wanted no longer."""

import asyncio
from collections.abc import Iterable

import msgspec
import pytest

from harness.environments import World, function
from harness.snapshots import CRASH, ONE, OTHER, kinds, now_ms, script, story
from squib.environment.driver import End, EndCause, TemplateLost
from squib.environment.drivers.fake_script import (
    Exit,
    FailInit,
    FailRestore,
    FakeScript,
    Next,
    Print,
    Register,
    Snapshot,
    Step,
    Wait,
)
from squib.environment.failure import Failure
from squib.environment.template import NoSnapshot
from squib.model.errors import PlatformError, ServiceUnavailable, SnapStartFailed, SnapStartTimeout
from squib.model.function import FunctionVersion
from squib.model.invocation import FunctionFailed, Succeeded
from squib.model.secret import SecretMap

# --- no snapshot can be had


@pytest.mark.parametrize(
    ("of", "given", "reason"),
    [
        (ONE, script(refusal="the function keeps 2 threads running"), "the function keeps 2 threads running"),
        (ONE, script(clones=False), "environments can be cloned with --isolation sandbox only"),
        (ONE, script(Register("inside", ("INVOKE",))), "an internal extension that registers"),
        (
            msgspec.structs.replace(
                ONE, environment_variables=SecretMap({"AWS_LAMBDA_EXEC_WRAPPER": "/opt/w"})
            ),
            script(),
            "a runtime that is started by AWS_LAMBDA_EXEC_WRAPPER",
        ),
        (
            msgspec.structs.replace(ONE, environment_variables=SecretMap({"LD_LIBRARY_PATH": "/opt/lib"})),
            script(),
            "a runtime with an LD_LIBRARY_PATH",
        ),
    ],
)
def test_without_a_snapshot_environments_are_initialized_and_say_why(
    of: FunctionVersion, given: FakeScript, reason: str
) -> None:
    async def body(world: World) -> None:
        taken = await world.pool.templates.take(of)
        assert isinstance(taken, NoSnapshot) and taken.reason.startswith(reason)
        if given.clones:
            world.script.on_start = lambda count: (Wait(0.5), Snapshot(), Next())
        assert isinstance(await world.invoke(of=of), Succeeded)
        await asyncio.sleep(0.01)
        assert world.driver.clone_count == 0 and world.driver.templates == []
        assert kinds(world)[-1] == (False, "snap-start")
        events = [text for _, text in list(world.logs.streams.values())[-1].events]
        assert events[0].startswith(f"SnapStart: this environment starts without a snapshot: {reason}")
        assert events[1].startswith("INIT_START")
        world.pool.retire(lambda version: False)

    world = story(body, given)
    report = [text for _, text in list(world.logs.streams.values())[-1].events][-1]
    assert "\tInit Duration: " in report and "Restore" not in report


def test_external_extensions_cannot_be_cloned() -> None:
    async def body(world: World) -> None:
        taken = await world.pool.templates.take(ONE)
        assert taken == NoSnapshot("processes of external extensions (watch) can't be cloned")

    story(body, script(), extensions=("watch",))


def test_without_a_snapshot_hooks_that_fail_fail_the_initialization() -> None:
    async def body(world: World) -> None:
        outcome = await world.invoke(of=ONE)
        assert isinstance(outcome, FunctionFailed)
        assert outcome.error_type == "Runtime.AfterRestoreError"

    failing = (Snapshot(), FailRestore("Runtime.AfterRestoreError", b'{"errorType":"X"}'), Exit())
    story(body, FakeScript(on_start=lambda count: failing))


# --- the initialization fails


@pytest.mark.parametrize(
    ("steps", "error_type", "status", "after_s"),
    [
        ((FailInit("Runtime.ImportModuleError", b"{}"), Exit()), "Runtime.ImportModuleError", "error", 0),
        ((CRASH,), "Runtime.ExitError", "error", 0),
        ((), "Sandbox.Timedout", "timeout", 130),
    ],
)
def test_initialization_that_fails_leaves_no_template_and_says_how(
    steps: Iterable[Step], error_type: str, status: str, after_s: float
) -> None:
    async def body(world: World) -> None:
        started_ms = await now_ms()
        taken = await world.pool.templates.take(ONE)
        assert isinstance(taken, Failure)
        assert (taken.error_type, taken.status) == (error_type, status)
        assert after_s * 1000 <= await now_ms() - started_ms < after_s * 1000 + 10
        await asyncio.sleep(0.01)
        assert world.driver.sandboxes == []

    world = story(body, FakeScript(clones=True, on_start=lambda count: steps))
    assert f"Status: {status}" in world.events()[-1]
    assert world.events()[-1].startswith("INIT_REPORT")


def test_failed_one_is_tried_again_after_a_while() -> None:
    async def body(world: World) -> None:
        world.script.on_start = lambda count: (CRASH,)
        assert isinstance(await world.pool.templates.take(ONE), Failure)
        world.script.on_start = lambda count: (Snapshot(), Next())
        assert isinstance(await world.pool.templates.take(ONE), Failure)
        await asyncio.sleep(60)
        assert await world.pool.templates.take(ONE) is None

    story(body, script())


def test_machine_that_cannot_start_a_template_is_no_fault_of_the_function() -> None:
    async def body(world: World) -> None:
        with pytest.raises(PlatformError, match="full"):
            await world.pool.templates.take(ONE)
        world.script.create_error = None
        assert await world.pool.templates.take(ONE) is None

    story(body, script(create_error=PlatformError("the machine is full")))


# --- it is lost


def test_lost_template_is_made_anew_and_nobody_is_told() -> None:
    async def body(world: World) -> None:
        await world.pool.templates.take(ONE)
        world.driver.templates[0].end(End(cause=EndCause.OUT_OF_MEMORY))
        assert isinstance(await world.invoke(of=ONE), Succeeded)
        assert [one for one, _ in kinds(world)] == [True, True]

    story(body, script())


def test_template_lost_while_it_is_cloned_is_made_anew_once_then_the_environment_is_initialized() -> None:
    async def lose(world: World) -> None:
        for _ in range(10_000):
            await asyncio.sleep(0.001)
            for template in world.driver.templates:
                if world.driver.clone_count:
                    template.end(End(cause=EndCause.LOST))

    async def body(world: World) -> None:
        losing = asyncio.create_task(lose(world))
        outcome = await world.invoke(of=ONE)
        losing.cancel()
        assert isinstance(outcome, Succeeded)
        assert [one for one, _ in kinds(world)] == [True, True, False]
        lines = next(iter(world.logs.streams.values())).lines
        assert [line.split(" ")[0] for line in lines][:5] == [
            *("RESTORE_START", "RESTORE_START", "SnapStart:", "INIT_START", "START"),
        ]

    story(body, script(clone_delay_s=0.05))


def test_environment_that_cannot_be_cloned_is_initialized_and_the_template_stays() -> None:
    async def body(world: World) -> None:
        await world.pool.templates.take(ONE)
        world.script.clone_error = PlatformError("no clone could be made in time")
        world.script.on_start = lambda count: (Next(),)
        assert isinstance(await world.invoke(of=ONE), Succeeded)
        await asyncio.sleep(0.01)
        assert [one for one, _ in kinds(world)] == [True, False]
        assert world.states() == ["idle", "template"]
        lines = list(world.logs.streams.values())[-1].lines
        assert (
            "SnapStart: this environment starts without a snapshot: no clone could be made in time"
            in lines[1]
        )
        assert [line.split(" ")[0] for line in lines][2:4] == ["INIT_START", "START"]

    story(body, script())


# --- an environment fails


@pytest.mark.parametrize(
    ("steps", "error", "line"),
    [
        (
            (FailRestore("Runtime.AfterRestoreError", b"{}"), Exit(End(cause=EndCause.EXITED, status=65))),
            SnapStartFailed,
            "Status: error\tError Type: Runtime.AfterRestoreError",
        ),
        ((CRASH,), SnapStartFailed, "Status: error\tError Type: Runtime.ExitError"),
        ((), SnapStartTimeout, "Status: timeout"),
    ],
)
def test_environment_that_does_not_come_out_ends_and_its_caller_is_told(
    steps: Iterable[Step], error: type[Exception], line: str
) -> None:
    async def body(world: World) -> None:
        world.script.on_clone = lambda count: steps if count == 1 else (Next(),)
        await world.pool.templates.take(ONE)
        started_ms = await now_ms()
        with pytest.raises(error):
            await world.invoke(of=ONE)
        assert await now_ms() - started_ms < 10_010
        assert isinstance(await world.invoke(of=ONE), Succeeded)
        await asyncio.sleep(0.01)
        assert world.states() == ["idle", "template"]
        events = [text for _, text in list(world.logs.streams.values())[1].events]
        assert events[-1].startswith("RESTORE_REPORT Restore Duration: ")
        assert line in events[-1]

    story(body, script())


@pytest.mark.parametrize("event", [b"crash", b"hang"])
def test_environment_that_fails_an_invocation_ends_and_the_next_is_another_clone(event: bytes) -> None:
    behaviour: dict[bytes, Iterable[Step]] = {b"crash": (CRASH,), b"hang": ()}

    async def body(world: World) -> None:
        given = world.script.on_event
        world.script.on_event = lambda one: (
            behaviour.get(one.body) or (() if one.body == b"hang" else given(one))
        )
        await world.pool.templates.take(ONE)
        assert isinstance(await world.invoke(event, of=ONE), FunctionFailed)
        assert isinstance(await world.invoke(b"fine", of=ONE), Succeeded)
        assert world.driver.clone_count == 2
        await asyncio.sleep(0.01)
        assert world.states() == ["idle", "template"]
        assert all("restart" not in one.calls for one in world.driver.sandboxes)

    story(body, script())


def test_idle_environment_that_dies_is_gone() -> None:
    async def body(world: World) -> None:
        await world.invoke(of=ONE)
        (clone,) = [one for one in world.driver.sandboxes if not one.has_snapshot]
        clone.end(End(cause=EndCause.OUT_OF_MEMORY))
        await asyncio.sleep(0.01)
        assert world.states() == ["template"]
        assert isinstance(await world.invoke(of=ONE), Succeeded)

    story(body, script())


# --- it is wanted no longer


def test_deleted_version_ends_its_template_and_gets_no_other() -> None:
    async def body(world: World) -> None:
        await world.pool.templates.take(ONE)
        await world.pool.templates.take(OTHER)
        world.pool.retire(lambda version: version.key == OTHER.key)
        await asyncio.sleep(0.01)
        assert [one.spec.variables["AWS_LAMBDA_FUNCTION_NAME"] for one in world.driver.templates] == ["other"]
        with pytest.raises(TemplateLost):
            await world.pool.templates.take(ONE)
        assert len(kinds(world)) == 2

    story(body, script())


def test_version_deleted_while_its_snapshot_is_taken_leaves_nothing() -> None:
    async def body(world: World) -> None:
        taking = asyncio.create_task(world.pool.templates.take(ONE))
        await asyncio.sleep(0.5)
        world.pool.retire(lambda version: False)
        with pytest.raises(TemplateLost):
            await taking
        await asyncio.sleep(0.01)
        assert world.driver.sandboxes == []

    story(body, script())


def test_pool_that_closes_waits_for_no_initialization() -> None:
    async def body(world: World) -> None:
        waiting = asyncio.create_task(world.invoke(of=ONE))
        await asyncio.sleep(0.5)
        started_ms = await now_ms()
        await world.pool.close(0)
        assert await now_ms() - started_ms < 100
        with pytest.raises(ServiceUnavailable):
            await waiting

    story(body, script(Wait(120), Print(b"late")))


def test_template_makes_room_when_memory_is_short_and_comes_back_when_it_is_needed() -> None:
    async def body(world: World) -> None:
        await world.pool.templates.take(ONE)
        await asyncio.sleep(1)
        await world.pool.templates.take(OTHER)
        await asyncio.sleep(1)
        await world.invoke(of=function())
        await asyncio.sleep(0.01)
        assert [one.spec.variables["AWS_LAMBDA_FUNCTION_NAME"] for one in world.driver.templates] == ["other"]
        assert isinstance(await world.invoke(of=ONE), Succeeded)

    story(body, script(), memory_budget_bytes=25 << 20)


def test_number_of_environments_is_not_a_templates_affair() -> None:
    async def body(world: World) -> None:
        await world.pool.templates.take(ONE)
        await world.invoke(of=function())
        await world.invoke(of=OTHER)
        await asyncio.sleep(0.01)
        assert len(world.driver.templates) == 2
        assert world.states() == ["idle", "template", "template"]

    story(body, script(), max_environments=1)
