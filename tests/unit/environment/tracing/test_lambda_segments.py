"""What Lambda writes of a traced invocation, in environments on scripted sandboxes."""

import msgspec
import pytest

from harness.environments import START_MS, World, function
from squib.environment.drivers.fake import FakeScript
from squib.environment.failure import Failure, posted
from squib.environment.log import platform_events as events
from squib.environment.log.report import Report
from squib.environment.tracing.lambda_segments import Span, Times, function_segment
from squib.model.invocation import FunctionFailed, Succeeded
from squib.model.trace import Trace

TRACE = Trace(
    trace_id=f"1-{START_MS // 1000:08x}-bd862e3fe1be46a994272793",
    parent_id="c" * 16,
    service_id="a" * 16,
    caller_id="a" * 16,
    function_id="b" * 16,
)


def parts(segment: dict[str, object]) -> list[str]:
    below = segment["subsegments"]
    assert isinstance(below, list)
    return [one["name"] for one in below]


def test_first_invocation_shows_its_initialization_and_later_ones_do_not() -> None:
    async def story(world: World) -> None:
        for _ in range(2):
            assert isinstance(await world.invoke(trace=TRACE), Succeeded)
        await world.invoke()

    segments = World().run(story).segments
    assert [parts(one) for one in segments] == [
        ["Initialization", "Invocation", "Overhead"],
        ["Invocation", "Overhead"],
    ]
    first = segments[0]
    assert (first["id"], first["parent_id"], first["trace_id"]) == ("b" * 16, "a" * 16, TRACE.trace_id)
    assert (first["name"], first["origin"]) == ("f", "AWS::Lambda::Function")
    assert [one["aws"]["cold_start"] for one in segments] == [True, False]
    assert "fault" not in first
    for segment in segments:
        spans = segment["subsegments"]
        assert segment["start_time"] == spans[0]["start_time"]
        assert segment["end_time"] == spans[-1]["end_time"]
        assert all(one["start_time"] <= one["end_time"] for one in spans)


def test_timeout_is_a_fault_of_the_function() -> None:
    async def story(world: World) -> None:
        outcome = await world.invoke(of=function(timeout_s=2), trace=TRACE)
        assert isinstance(outcome, FunctionFailed)

    (segment,) = World(FakeScript(on_event=lambda event: ())).run(story).segments
    assert segment["fault"] is True
    (exception,) = segment["cause"]["exceptions"]
    assert (exception["type"], exception["message"]) == (
        "Sandbox.Timedout",
        "Task timed out after 2.00 seconds",
    )
    invocation = next(one for one in segment["subsegments"] if one["name"] == "Invocation")
    assert invocation["end_time"] - invocation["start_time"] == pytest.approx(2, abs=0.01)


def segment_of(failure: Failure | None) -> dict[str, object]:
    found: list[dict[str, object]] = []

    async def story(world: World) -> None:
        invocation = world.invocation(trace=TRACE)
        found.append(function_segment(TRACE, invocation, Times(Span(1.0, 2.0), 2.5), failure, "0" * 48))

    World().run(story)
    return found[0]


def test_error_of_the_handler_comes_with_its_stack() -> None:
    said = {
        "errorType": "ValueError",
        "errorMessage": "no",
        "stackTrace": ['  File "/var/task/app.py", line 3, in handler\n    raise ValueError\n', 7],
    }
    segment = segment_of(posted("ValueError", msgspec.json.encode(said)))
    frame = {"path": "/var/task/app.py", "line": 3, "label": "handler"}
    exception = {"id": "b" * 16, "type": "ValueError", "message": "no", "stack": [frame]}
    assert segment["cause"] == {"working_directory": "/var/task", "exceptions": [exception]}


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"errorType": 3}', b'{"a":' * 5_000])
def test_error_that_says_nothing_is_a_fault_all_the_same(body: bytes) -> None:
    segment = segment_of(posted("Runtime.Unknown", body))
    exception = {"id": "b" * 16, "type": "Runtime.Unknown", "message": ""}
    assert segment["cause"] == {"working_directory": "/var/task", "exceptions": [exception]}


def test_telemetry_of_a_traced_invocation_names_its_segment() -> None:
    tracing = {
        "spanId": "b" * 16,
        "type": "X-Amzn-Trace-Id",
        "value": f"Root={TRACE.trace_id};Parent={'b' * 16};Sampled=1",
    }
    assert events.start("r", "1", TRACE) == {"requestId": "r", "version": "1", "tracing": tracing}
    assert "tracing" not in events.start("r", "1")
    report = Report(request_id="r", duration_ms=1.0, init_duration_ms=None, memory_mib=128, trace=TRACE)
    told = events.report(report, 0)
    assert isinstance(told, dict)
    assert told["tracing"] == tracing
