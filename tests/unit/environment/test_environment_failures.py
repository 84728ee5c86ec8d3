"""How an environment fails: timeouts, crashes, failed initializations, answers that cannot be passed on."""

import asyncio
import json
from collections.abc import Iterable

import msgspec
import pytest

from harness.environments import World, function
from squib.environment.driver import End, EndCause
from squib.environment.drivers.fake_script import (
    Exit,
    Fail,
    FailInit,
    FakeEvent,
    FakeScript,
    Next,
    Print,
    Respond,
    Step,
    Wait,
)
from squib.model.errors import PlatformError
from squib.model.invocation import FunctionFailed, InvokeOutcome, Succeeded
from squib.model.limits import MAX_SYNC_RESPONSE_BYTES

IMPORT_ERROR = (
    b"{\"errorMessage\": \"Unable to import module 'app': No module named 'app'\", "
    b'"errorType": "Runtime.ImportModuleError", "requestId": "", "stackTrace": []}'
)


def failed(outcome: InvokeOutcome, error_type: str) -> str:
    assert isinstance(outcome, FunctionFailed), outcome
    assert outcome.error_type == error_type
    body = json.loads(outcome.payload)
    assert body["errorType"] == error_type
    message = body["errorMessage"]
    assert isinstance(message, str)
    return message


def echoed(outcome: InvokeOutcome) -> bytes:
    assert isinstance(outcome, Succeeded), outcome
    return outcome.payload


def by_payload(**steps: Iterable[Step]) -> FakeScript:
    """A runtime whose behaviour the event chooses by name; any other event is echoed."""

    def behave(event: FakeEvent) -> Iterable[Step]:
        return steps.get(event.body.decode(), (Respond(), Next()))

    return FakeScript(on_event=behave)


# --- timeouts


def test_timeout_ends_the_runtime_and_the_next_invocation_starts_another() -> None:
    async def story(world: World) -> None:
        await world.invoke(b"first")
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        message = failed(await world.invoke(b"hang"), "Sandbox.Timedout")
        assert message.endswith(" Error: Task timed out after 3.00 seconds")
        assert 2.99 < loop.time() - started_s < 3.02
        await asyncio.sleep(0.005)
        assert not world.sandbox.is_running
        assert echoed(await world.invoke(b"after")) == b"after"
        assert world.sandbox.calls == ["kill", "restart"]

    world = World(by_payload(hang=())).run(story)
    events = world.events()
    timed_out = events[4:8]
    assert timed_out[0].startswith("START ")
    assert timed_out[1].endswith(" Task timed out after 3.00 seconds\n\n")
    assert timed_out[2].startswith("END ")
    assert "\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\t" in timed_out[3]
    assert timed_out[3].endswith("\tStatus: timeout\n")
    assert "Init Duration" not in events[-1]


def test_late_answer_after_the_timeout_changes_nothing() -> None:
    async def story(world: World) -> None:
        failed(await world.invoke(b"late"), "Sandbox.Timedout")
        await asyncio.sleep(5)
        assert echoed(await world.invoke(b"after")) == b"after"

    World(by_payload(late=(Wait(3.001), Respond(b"too late"), Next()))).run(story)


def test_time_of_a_new_runtime_counts_against_the_timeout() -> None:
    """After a crash the next invocation initializes: 2 s of it, and 2 s of work, are over 3 s together."""

    def start(number: int) -> Iterable[Step]:
        return (Wait(2.0), Next()) if number > 1 else (Next(),)

    script = by_payload(crash=(Exit(End(cause=EndCause.EXITED, status=1)),), work=(Wait(2.0), Respond()))
    script.on_start = start

    async def story(world: World) -> None:
        failed(await world.invoke(b"crash"), "Runtime.ExitError")
        failed(await world.invoke(b"work"), "Sandbox.Timedout")

    World(script).run(story)


def test_runtime_restarted_for_an_invocation_that_timed_out_meanwhile_serves_nobody_else() -> None:
    """The restarted runtime hangs in its initialization, and a further invocation follows at once."""
    script = by_payload(crash=(Exit(),))
    script.on_start = lambda number: () if number == 2 else (Next(),)

    async def story(world: World) -> None:
        failed(await world.invoke(b"crash"), "Runtime.ExitError")
        async with asyncio.TaskGroup() as tasks:
            hanging = tasks.create_task(world.invoke(b"hanging"))
            await asyncio.sleep(1)
            following = tasks.create_task(world.invoke(b"following"))
        failed(hanging.result(), "Sandbox.Timedout")
        assert echoed(following.result()) == b"following"
        assert echoed(await world.invoke(b"last")) == b"last"

    World(script, max_environments=1).run(story)


# --- crashes


@pytest.mark.parametrize(
    ("cause", "status", "error_type", "reason"),
    [
        (EndCause.EXITED, 0, "Runtime.ExitError", "Runtime exited without providing a reason"),
        (EndCause.EXITED, 7, "Runtime.ExitError", "Runtime exited with error: exit status 7"),
        (EndCause.SIGNALED, 9, "Runtime.ExitError", "Runtime exited with error: signal: killed"),
        (EndCause.OUT_OF_MEMORY, 9, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"),
    ],
)
def test_crash_is_told_and_the_next_invocation_starts_a_runtime(
    cause: EndCause, status: int, error_type: str, reason: str
) -> None:
    end = End(cause=cause, status=status)

    async def story(world: World) -> None:
        assert failed(await world.invoke(b"crash"), error_type).endswith(f" Error: {reason}")
        assert echoed(await world.invoke(b"after")) == b"after"
        assert world.sandbox.calls[-1] == "restart"

    world = World(by_payload(crash=(Print(b"last words"), Exit(end)))).run(story)
    events = world.events()
    assert events[2] == "last words"
    assert events[3].endswith(f"Error: {reason}\n{error_type}\n")
    report = events[5]
    assert report.endswith(f"\tStatus: error\tError Type: {error_type}\n")
    used = 128 if error_type == "Runtime.OutOfMemory" else 40
    assert f"Max Memory Used: {used} MB" in report


def test_runtime_that_exits_between_invocations_is_replaced_unnoticed() -> None:
    script = by_payload(leave=(Respond(), Wait(1.0), Exit()))

    async def story(world: World) -> None:
        assert echoed(await world.invoke(b"leave")) == b"leave"
        await asyncio.sleep(2)
        assert world.states() == ["broken"]
        assert echoed(await world.invoke(b"after")) == b"after"

    World(script).run(story)


def test_runtime_that_exits_before_it_got_the_invocation_does_not_fail_it() -> None:
    script = by_payload(leave=(Respond(), Wait(1.0), Exit(End(cause=EndCause.EXITED, status=1))))

    async def story(world: World) -> None:
        await world.invoke(b"leave")
        await asyncio.sleep(0.9)
        assert echoed(await world.invoke(b"after")) == b"after"
        assert len(world.driver.specs) == 1

    World(script).run(story)


def test_lost_sandbox_fails_the_invocation_as_our_fault_and_is_replaced() -> None:
    async def story(world: World) -> None:
        with pytest.raises(PlatformError):
            await world.invoke(b"vanish")
        assert echoed(await world.invoke(b"after")) == b"after"
        assert len(world.driver.specs) == 2

    World(by_payload(vanish=(Exit(End(cause=EndCause.LOST)),))).run(story)


# --- initialization


def test_init_error_is_retried_in_the_invocation_and_then_told_as_posted() -> None:
    starts: list[int] = []

    def start(number: int) -> Iterable[Step]:
        starts.append(number)
        return (Print(b"cannot import\n"), FailInit("Runtime.ImportModuleError", IMPORT_ERROR), Exit())

    async def story(world: World) -> None:
        outcome = await world.invoke()
        assert failed(outcome, "Runtime.ImportModuleError")
        assert isinstance(outcome, FunctionFailed) and outcome.payload == IMPORT_ERROR
        assert starts == [1, 2]
        await world.invoke()
        assert starts == [1, 2, 3]  # each invocation tries once more

    world = World(FakeScript(on_start=start)).run(story)
    heads = [event.split(" Init Duration")[0].split(" RequestId")[0].rstrip("\n") for event in world.events()]
    assert heads[1:9] == [
        "cannot import", "INIT_REPORT", "START", "cannot import", "INIT_REPORT", "END", "REPORT", "START",
    ]  # fmt: skip
    assert "\tPhase: init\tStatus: error\tError Type: Runtime.ImportModuleError\n" in world.events()[2]
    assert "\tPhase: invoke\tStatus: error\t" in world.events()[5]
    assert world.events()[7].endswith("\tStatus: error\tError Type: Runtime.ImportModuleError\n")


def test_exit_in_init_without_a_word() -> None:
    async def story(world: World) -> None:
        message = failed(await world.invoke(), "Runtime.ExitError")
        assert message.endswith("Error: Runtime exited with error: exit status 5")

    World(FakeScript(on_start=lambda number: (Exit(End(cause=EndCause.EXITED, status=5)),))).run(story)


def test_init_over_ten_seconds_is_started_again_in_the_invocation() -> None:
    def start(number: int) -> Iterable[Step]:
        return (Wait(60.0), Next()) if number == 1 else (Wait(1.0), Next())

    async def story(world: World) -> None:
        assert echoed(await world.invoke(b"x")) == b"x"
        assert 10.99 < asyncio.get_running_loop().time() < 11.1

    world = World(FakeScript(on_start=start)).run(story)
    assert world.events()[1] == "INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout\n"
    assert "\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\t" in world.events()[-1]
    assert "Init Duration" not in world.events()[-1]


def test_init_over_ten_seconds_and_then_over_the_timeout() -> None:
    async def story(world: World) -> None:
        message = failed(await world.invoke(b"x"), "Sandbox.Timedout")
        assert "Task timed out after 3.00 seconds" in message
        assert 12.9 < asyncio.get_running_loop().time() < 13.1

    World(FakeScript(on_start=lambda number: (Wait(60.0), Next()))).run(story)


def test_waiting_for_the_machine_is_no_initialization() -> None:
    async def story(world: World) -> None:
        assert echoed(await world.invoke(b"x")) == b"x"

    world = World(FakeScript(create_delay_s=15.0)).run(story)
    assert "\tInit Duration: 0.00 ms\t" in world.events()[-1]


def test_cold_start_bills_its_initialization_once() -> None:
    async def story(world: World) -> None:
        await world.invoke()
        await world.invoke()

    script = FakeScript(
        on_start=lambda number: (Wait(0.2345), Next()),
        on_event=lambda event: (Wait(0.0102), Respond(), Next()),
    )
    world = World(script).run(story)
    first, second = (event for event in world.events() if event.startswith("REPORT"))
    assert "\tDuration: 10.20 ms\tBilled Duration: 245 ms\t" in first
    assert first.endswith("\tMax Memory Used: 40 MB\tInit Duration: 234.50 ms\t\n")
    assert "\tDuration: 10.20 ms\tBilled Duration: 11 ms\t" in second
    assert second.endswith("\tMax Memory Used: 40 MB\t\n")


# --- answers


def test_error_of_the_function_is_passed_on_as_posted() -> None:
    body = b'{"errorMessage": "no", "errorType": "ValueError", "requestId": "x", "stackTrace": ["a"]}'

    async def story(world: World) -> None:
        outcome = await world.invoke(b"raise")
        assert failed(outcome, "ValueError") == "no"
        assert isinstance(outcome, FunctionFailed) and outcome.payload == body
        assert echoed(await world.invoke(b"next")) == b"next"
        assert world.sandbox.answers[0][0] == 202

    world = World(by_payload(**{"raise": (Fail("ValueError", body), Next())})).run(story)
    assert "Status" not in world.events()[3]


@pytest.mark.parametrize("over", [0, 1])
def test_response_up_to_the_limit_passes_and_one_over_it_does_not(over: int) -> None:
    big = b"x" * (MAX_SYNC_RESPONSE_BYTES + over)

    async def story(world: World) -> None:
        outcome = await world.invoke(b"big")
        if over:
            assert failed(outcome, "Function.ResponseSizeTooLarge") == (
                "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
            )
            assert world.sandbox.answers[0][0] == 413
        else:
            assert echoed(outcome) == big

    World(by_payload(big=(Respond(big), Next()))).run(story)


def test_answers_for_another_request_and_twice_are_refused_and_change_nothing() -> None:
    steps = (
        Respond(b"?", request_id="00000000-0000-4000-8000-00000000ffff"),
        Respond(b"!"),
        Respond(b"#"),
        Next(),
    )

    async def story(world: World) -> None:
        assert echoed(await world.invoke(b"odd")) == b"!"
        assert echoed(await world.invoke(b"next")) == b"next"
        assert [status for status, _ in world.sandbox.answers][:3] == [400, 202, 403]

    World(by_payload(odd=steps)).run(story)


def test_what_is_not_json_is_passed_on() -> None:
    async def story(world: World) -> None:
        assert echoed(await world.invoke(b"odd")) == b"\xff not json"

    World(by_payload(odd=(Respond(b"\xff not json"), Next()))).run(story)


def test_streamed_response_is_passed_on_whole_and_an_unknown_mode_is_not() -> None:
    mode = "Lambda-Runtime-Function-Response-Mode"
    steps = {
        "stream": (Respond(b"whole", {mode: "streaming"}), Next()),
        "odd": (Respond(b"?", {mode: "telepathy"}), Next()),
    }

    async def story(world: World) -> None:
        assert echoed(await world.invoke(b"stream")) == b"whole"
        failed(await world.invoke(b"odd"), "Runtime.InvalidResponseModeHeader")
        assert world.sandbox.answers[1][0] == 400

    World(by_payload(**steps)).run(story)


# --- what the runtime is told, and the log


def test_runtime_gets_lambdas_headers() -> None:
    seen: list[FakeEvent] = []

    def look(event: FakeEvent) -> Iterable[Step]:
        seen.append(event)
        return (Respond(), Next())

    async def story(world: World) -> None:
        await world.invoke(b'{"a": 1}', client_context='{"custom":{}}')
        await world.invoke(b"{}")

    World(FakeScript(on_event=look)).run(story)
    first, second = seen
    assert first.body == b'{"a": 1}'
    assert first.headers["lambda-runtime-aws-request-id"] == "00000000-0000-4000-8000-000000000001"
    assert first.headers["lambda-runtime-deadline-ms"] == str(1_769_862_896_000 + 3000)
    assert first.headers["lambda-runtime-invoked-function-arn"] == function().key.arn()
    assert first.headers["lambda-runtime-trace-id"].startswith("Root=")
    assert first.headers["lambda-runtime-client-context"] == '{"custom":{}}'
    assert "lambda-runtime-client-context" not in second.headers


def test_output_of_the_function_lies_between_start_and_end() -> None:
    noisy = (Print(b"one\ntwo\n"), Print(b"no newline"), Respond(), Next())

    async def story(world: World) -> None:
        await world.invoke(b"noisy")
        await world.invoke(b"noisy")

    world = World(by_payload(noisy=noisy)).run(story)
    each = ["START", "one", "two", "no newline", "END", "REPORT"]
    assert world.lines[1:] == each + each


def test_tail_is_this_invocations_log_and_no_longer_than_4_kb() -> None:
    steps = {"short": (Print(b"hi\n"), Respond(), Next()), "long": (Print(b"x" * 9000), Respond(), Next())}

    async def story(world: World) -> None:
        await world.invoke(b"short")
        short = await world.invoke(b"short", wants_log_tail=True)
        lines = short.log_tail.decode().splitlines()
        assert [line.split()[0] for line in lines] == ["START", "hi", "END", "REPORT"]
        long = await world.invoke(b"long", wants_log_tail=True)
        assert len(long.log_tail) == 4096
        assert b"REPORT RequestId" in long.log_tail
        failure = await world.invoke(b"hang", wants_log_tail=True)
        assert b"Task timed out" in failure.log_tail

    World(by_payload(hang=(), **steps)).run(story)


def test_json_format_logs_platform_records() -> None:
    logging = function().logging
    json_function = function(logging=msgspec.structs.replace(logging, log_format="JSON"))

    async def story(world: World) -> None:
        await world.invoke(of=json_function)

    world = World().run(story)
    kinds = [json.loads(event)["type"] for event in world.events()]
    assert kinds == ["platform.initStart", "platform.start", "platform.report"]


def test_environment_gets_credentials_that_end_with_it() -> None:
    async def story(world: World) -> None:
        await world.invoke()
        (spec,) = world.driver.specs
        assert spec.variables["AWS_ACCESS_KEY_ID"] == world.minted[0]
        assert world.revoked == []
        world.pool.retire(lambda _: False)
        await asyncio.sleep(0.1)
        assert world.revoked == world.minted

    World().run(story)
