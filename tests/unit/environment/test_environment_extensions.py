"""The life of an environment with extensions, on scripted sandboxes and in a time of their own."""

import asyncio
import json
from collections.abc import Iterable

import msgspec
import pytest

from harness.environments import World, function
from squib.environment.driver import End, EndCause
from squib.environment.drivers.fake_script import (
    Call,
    Exit,
    FakeEvent,
    FakeScript,
    Next,
    NextEvent,
    Register,
    Respond,
    Step,
    Wait,
)
from squib.model.invocation import FunctionFailed, InvokeOutcome, Succeeded

CRASHED = Exit(End(cause=EndCause.EXITED, status=2))


def now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000


def failed(outcome: InvokeOutcome, error_type: str) -> str:
    assert isinstance(outcome, FunctionFailed), outcome
    body = json.loads(outcome.payload)
    assert body["errorType"] == error_type
    return str(body["errorMessage"])


def watching(seen: list[tuple[str, str, float]], **work_s: float) -> FakeScript:
    """Extensions note their events, and work on invocations for so many seconds; they end when told to."""

    def on_event(name: str, event: bytes) -> Iterable[Step]:
        content = json.loads(event)
        seen.append((name, content.get("shutdownReason", content["eventType"]), now_ms()))
        if content["eventType"] == "SHUTDOWN":
            return (Exit(),)
        return (Wait(work_s.get(name, 0)), NextEvent())

    return FakeScript(on_extension_event=on_event)


# --- initialization


def test_runtime_begins_when_all_extensions_have_registered_and_init_ends_when_all_wait() -> None:
    def on_extension(name: str) -> Iterable[Step]:
        return (
            (Wait(1), Register(name), Wait(2), NextEvent()) if name == "b" else (Register(name), NextEvent())
        )

    async def story(world: World) -> None:
        waiting = asyncio.create_task(world.invoke())
        await asyncio.sleep(0.9)
        assert "begin_runtime" not in world.sandbox.calls
        await asyncio.sleep(0.2)
        assert "begin_runtime" in world.sandbox.calls
        assert world.states() == ["init"]
        await waiting
        assert 2900 < now_ms() < 3200

    world = World(FakeScript(on_extension=on_extension), extensions=("a", "b")).run(story)
    kinds = [line.split("\t")[0].split()[0] for line in world.events()]
    assert kinds == ["INIT_START", "EXTENSION", "EXTENSION", "START", "END", "REPORT"]
    assert world.events()[1] == "EXTENSION\tName: a\tState: Ready\tEvents: [INVOKE,SHUTDOWN]\n"


def test_init_over_ten_seconds_is_done_again_in_the_invocation_under_the_functions_timeout() -> None:
    async def story(world: World) -> None:
        outcome = await world.invoke()
        assert failed(outcome, "Sandbox.Timedout").endswith("Task timed out after 3.00 seconds")
        assert 15_000 <= now_ms() < 15_100  # 10 s, 2 s for the extension to end, 3 s
        assert world.sandbox.calls.count("restart") == 1

    slow = FakeScript(on_extension=lambda name: (Register(name), Wait(60)))
    world = World(slow, extensions=("a",)).run(story)
    reports = [line for line in world.events() if line.startswith("INIT_REPORT")]
    assert [line.split("\t")[1] for line in reports] == ["Phase: init", "Phase: invoke"]
    assert "10000.00 ms" in reports[0]


@pytest.mark.parametrize(
    ("steps", "error_type", "message"),
    [
        ((CRASHED,), "Extension.Crash", "exit status 2"),
        ((Register("a"), Exit()), "Extension.Crash", "exit code 0"),
        (
            (
                Register("a"),
                Call(
                    "POST",
                    "/2020-01-01/extension/init/error",
                    b"{}",
                    {"Lambda-Extension-Function-Error-Type": "Own.Why"},
                ),
                Exit(),
            ),
            "Extension.InitError",
            "exit code 0",
        ),
        (
            (
                Register("a"),
                NextEvent(),
            ),
            "",
            "",
        ),
        (
            (Exit(End(cause=EndCause.NOT_STARTED, status=13)),),
            "Extension.LaunchError",
            "fork/exec /opt/extensions/a: permission denied",
        ),
        ((Exit(End(cause=EndCause.SIGNALED, status=9)),), "Extension.Crash", "signal: killed"),
    ],
)
def test_extension_that_fails_to_initialize(steps: tuple[Step, ...], error_type: str, message: str) -> None:
    async def story(world: World) -> None:
        outcome = await world.invoke()
        if not error_type:
            assert isinstance(outcome, Succeeded)
            return
        assert failed(outcome, error_type).endswith(f"Error: {message}")
        assert world.states() == ["broken"]

    World(FakeScript(on_extension=lambda name: steps), extensions=("a",)).run(story)


def test_more_than_ten_are_refused() -> None:
    async def story(world: World) -> None:
        outcome = await world.invoke()
        assert failed(outcome, "Extension.TooManyExtensions").endswith("Extension limit (10) reached")

    World(extensions=tuple(f"e{n}" for n in range(11))).run(story)


def test_files_in_a_layer_do_not_widen_what_an_environment_may_have_open() -> None:
    """Ten extensions are started, however many files there are."""

    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(world.invoke(b"x"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            [environment] = world.pool._roster.environments.values()
            assert environment._api._http.limits.max_connections <= 64

    World(extensions=tuple(f"e{n}" for n in range(1_000))).run(story)


# --- invocations


def test_reply_goes_out_at_once_and_the_environment_is_free_when_all_have_asked_for_more() -> None:
    seen: list[tuple[str, str, float]] = []

    async def story(world: World) -> None:
        await world.invoke()
        assert now_ms() < 10
        assert world.states() == ["finishing"]
        await asyncio.sleep(0.9)
        assert world.states() == ["finishing"]
        await asyncio.sleep(0.2)
        assert world.states() == ["idle"]

    world = World(watching(seen, slow=1), extensions=("slow", "quick")).run(story)
    assert [(name, kind) for name, kind, _ in seen[:2]] == [("slow", "INVOKE"), ("quick", "INVOKE")]
    (report,) = [line for line in world.events() if line.startswith("REPORT")]
    assert "\tDuration: 1000.00 ms\t" in report


def test_json_log_tells_what_subscribers_are_told() -> None:
    logging = msgspec.structs.replace(function().logging, log_format="JSON", system_log_level="DEBUG")

    async def story(world: World) -> None:
        await world.invoke(of=function(logging=logging))

    world = World(watching([], slow=1), extensions=("slow",)).run(story)
    records = [json.loads(line) for line in world.events()]
    kinds = [record["type"].removeprefix("platform.") for record in records]
    init = ["initStart", "initRuntimeDone", "initReport", "extension"]
    assert kinds == [*init, "start", "runtimeDone", "report"]
    by_kind = dict(zip(kinds, (record["record"] for record in records), strict=True))
    assert by_kind["extension"]["events"] == ["INVOKE", "SHUTDOWN"]
    assert [span["name"] for span in by_kind["runtimeDone"]["spans"]] == [
        "responseLatency",
        "responseDuration",
    ]
    assert by_kind["report"]["spans"] == [
        {"name": "extensionOverhead", "start": "2026-01-31T12:34:56.000Z", "durationMs": 1000.0}
    ]
    assert by_kind["report"]["metrics"]["durationMs"] == 1000.0


def test_next_invocation_waits_for_the_extensions_of_the_one_before_where_no_other_can_start() -> None:
    async def story(world: World) -> None:
        await world.invoke()
        blocked = asyncio.create_task(world.invoke())
        await asyncio.sleep(0)
        assert len(world.driver.sandboxes) == 1
        await blocked
        assert 1000 <= now_ms() < 1100

    World(watching([], slow=1), extensions=("slow",), max_environments=1).run(story)


def test_extension_that_is_not_done_within_the_timeout_is_ended_with_the_runtime() -> None:
    seen: list[tuple[str, str, float]] = []

    async def story(world: World) -> None:
        assert isinstance(await world.invoke(), Succeeded)
        await asyncio.sleep(4)
        assert world.states() == ["resetting"]
        await asyncio.sleep(1.1)
        assert world.states() == ["broken"]
        assert "terminate_runtime" in world.sandbox.calls

    world = World(watching(seen, stuck=60), extensions=("stuck", "good")).run(story)
    assert ("good", "TIMEOUT") in [(name, kind) for name, kind, _ in seen]
    assert any("Task timed out after 3.00 seconds" in line for line in world.events())
    (report,) = [line for line in world.events() if line.startswith("REPORT")]
    assert "Duration: 3000.00 ms" in report and "Status: timeout" in report


def test_extension_that_did_not_ask_for_invocations_is_not_waited_for() -> None:
    script = FakeScript(on_extension=lambda name: (Register(name, ("SHUTDOWN",)), NextEvent()))

    async def story(world: World) -> None:
        await world.invoke()
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert world.states() == ["idle"]

    World(script, extensions=("a",)).run(story)


def test_crash_of_an_extension_in_an_invocation_fails_it_and_the_next_starts_everything_anew() -> None:
    seen: list[str] = []

    def on_event(name: str, event: bytes) -> Iterable[Step]:
        kind = json.loads(event)["eventType"]
        seen.append(f"{name} {kind}")
        return (CRASHED,) if name == "bad" and len(seen) < 3 else (NextEvent(),)

    def hang_once(event: FakeEvent) -> Iterable[Step]:
        return () if event.body == b"hang" else (Respond(), Next())

    async def story(world: World) -> None:
        outcome = await world.invoke(b"hang")
        assert failed(outcome, "Extension.Crash").endswith("exit status 2")
        await asyncio.sleep(3)
        assert isinstance(await world.invoke(b"{}"), Succeeded)
        assert world.sandbox.calls.count("restart") == 1

    world = World(
        FakeScript(on_event=hang_once, on_extension_event=on_event), extensions=("bad", "good")
    ).run(story)
    assert seen[:3] == ["bad INVOKE", "good INVOKE", "good SHUTDOWN"]
    error = "EXTENSION\tName: bad\tState: Exited\tEvents: [INVOKE,SHUTDOWN]\tError Type: Extension.Crash\n"
    assert error in world.events()


def test_crash_while_idle_takes_the_environment_away_until_it_is_shut_down() -> None:
    async def story(world: World) -> None:
        await world.invoke()
        await asyncio.sleep(0.001)
        assert world.states() == ["idle"]
        world.sandbox.ended(world.sandbox.extensions[0], End(cause=EndCause.EXITED, status=1))
        assert world.states() == ["resetting"]
        assert isinstance(await world.invoke(), Succeeded)  # in another
        await asyncio.sleep(5)
        assert sorted(world.states()) == ["broken", "idle"]

    script = FakeScript(on_terminate=lambda: ())
    World(script, extensions=("a", "b")).run(story)


# --- shutdown


def test_shutdown_asks_the_runtime_first_and_then_tells_extensions() -> None:
    seen: list[tuple[str, str, float]] = []

    async def story(world: World) -> None:
        await world.invoke()
        await asyncio.sleep(1)
        sandbox = world.sandbox
        world.pool.retire(lambda function: False)
        await asyncio.sleep(0.01)
        assert sandbox.calls[-2:] == ["terminate_runtime", "destroy"]

    World(watching(seen), extensions=("a",)).run(story)
    assert [kind for _, kind, _ in seen] == ["INVOKE", "SPINDOWN"]


@pytest.mark.parametrize(
    ("events", "expected_ms"), [(("INVOKE", "SHUTDOWN"), 2000), (("INVOKE",), 300), (("SHUTDOWN",), 2000)]
)
def test_who_does_not_end_in_time_is_killed(events: tuple[str, ...], expected_ms: float) -> None:
    def stubborn(name: str, event: bytes) -> Iterable[Step]:
        return () if b"SHUTDOWN" in event else (NextEvent(),)

    script = FakeScript(
        on_extension=lambda name: (Register(name, events), NextEvent()),
        on_extension_event=stubborn,
        on_terminate=lambda: (),
    )

    async def story(world: World) -> None:
        await world.invoke()
        await asyncio.sleep(1)
        began_ms, sandbox = now_ms(), world.sandbox
        world.pool.retire(lambda function: False)
        while "destroy" not in sandbox.calls:
            await asyncio.sleep(0.01)
        assert expected_ms <= now_ms() - began_ms < expected_ms + 50
        assert sandbox.calls[-3:] == ["terminate_runtime", "kill_runtime", "destroy"]

    World(script, extensions=("a",)).run(story)


def internal(*more: Step) -> FakeScript:
    return FakeScript(
        on_start=lambda count: (Register("inner", ("INVOKE",)), *more, Next()), on_terminate=lambda: ()
    )


def test_internal_extension_gives_the_runtime_half_a_second() -> None:
    async def story(world: World) -> None:
        waiting = asyncio.create_task(world.invoke())
        await asyncio.sleep(0.5)
        assert world.states() == ["init"]  # for the extension, which does not ask for its next event
        began_ms, sandbox = now_ms(), world.sandbox
        world.pool.retire(lambda function: False)
        for environment in list(world.pool._roster.environments.values()):
            environment.retire()
        while "destroy" not in sandbox.calls:
            await asyncio.sleep(0.01)
        assert 500 <= now_ms() - began_ms < 550
        waiting.cancel()

    World(internal()).run(story)


def test_without_extensions_nobody_is_asked_to_end() -> None:
    async def story(world: World) -> None:
        await world.invoke()
        sandbox = world.sandbox
        world.pool.retire(lambda function: False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sandbox.calls == ["destroy"]

    World().run(story)


def test_internal_extension_may_not_register_later() -> None:
    def late(event: FakeEvent) -> Iterable[Step]:
        return (Register("late", ("INVOKE",)), Respond(), Next())

    async def story(world: World) -> None:
        assert isinstance(await world.invoke(), Succeeded)
        await asyncio.sleep(0.001)
        assert world.states() == ["idle"]
        status, body = world.sandbox.answers[0]
        assert (status, json.loads(body)["errorType"]) == (403, "Extension.RegistrationClosed")
        assert isinstance(await world.invoke(), Succeeded)

    World(FakeScript(on_event=late)).run(story)


def test_pool_that_closes_lets_extensions_end() -> None:
    seen: list[tuple[str, str, float]] = []

    async def story(world: World) -> None:
        await world.invoke()

    World(watching(seen), extensions=("a", "b")).run(story)
    assert sorted(seen)[1][1] == sorted(seen)[3][1] == "SPINDOWN"
