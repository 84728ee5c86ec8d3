"""What subscribers of one environment are sent: by type, schema and time of the subscription."""

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from harness.environments import LoopClock, VirtualLoop
from squib.environment.apis.telemetry import Telemetry
from squib.environment.apis.telemetry_subscription import LOGS, TELEMETRY, Subscription
from squib.environment.log import platform_events as events
from squib.environment.log.report import Report
from squib.model.units import EpochMs

DEEP = '{"a": ' + "[" * 10_000
NOW = EpochMs(1_769_862_896_789)
REPORT = Report(request_id="r", duration_ms=1.5, init_duration_ms=None, memory_mib=128)


async def nowhere() -> socket.socket:
    raise OSError("there is no network here")


def subscription(api: str = TELEMETRY, version: str = "2022-12-13", *types: str) -> Subscription:
    return Subscription(
        api=api,
        schema_version=version,
        types=types or ("platform", "function", "extension"),
        protocol="HTTP",
        port=8080,
    )


def run(story: Callable[[Callable[..., Telemetry]], Awaitable[None]]) -> None:
    async def main() -> None:
        made: list[Telemetry] = []
        async with asyncio.TaskGroup() as tasks:

            def spawn(work: Coroutine[Any, Any, None]) -> None:
                tasks.create_task(work)

            def make(*, is_json: bool = False) -> Telemetry:
                made.append(Telemetry(LoopClock(), spawn, nowhere, is_json=is_json))
                return made[-1]

            await story(make)
            for telemetry in made:
                telemetry.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def waiting(telemetry: Telemetry, name: str = "one") -> list[Any]:
    """What has not been delivered, which here is all."""
    return [json.loads(event) for event in telemetry._couriers[name].buffer.batch()]


def kinds(telemetry: Telemetry, name: str = "one") -> list[str]:
    return [event["type"].removeprefix("platform.") for event in waiting(telemetry, name)]


def tell_all(telemetry: Telemetry) -> None:
    telemetry.tell(NOW, "platform.initStart", events.init_start("python:3.12", "arn"))
    telemetry.tell(NOW, "platform.start", events.start("r", "$LATEST"))
    telemetry.tell(NOW, "function", "line\n")
    telemetry.tell(NOW, "extension", "other\n")
    done = events.runtime_done(NOW, request_id="r", duration_ms=1, produced_bytes=2, status="success")
    telemetry.tell(NOW, "platform.runtimeDone", done)
    telemetry.tell(NOW, "platform.fault", events.fault("it broke"))
    telemetry.tell(NOW, "platform.end", {"requestId": "r"})
    telemetry.tell(NOW, "platform.report", events.report(REPORT, 0))


def test_each_api_has_its_events() -> None:
    async def story(make: Callable[..., Telemetry]) -> None:
        for api, version, expected in (
            (
                TELEMETRY,
                "2022-12-13",
                ["initStart", "start", "function", "extension", "runtimeDone", "report"],
            ),
            (LOGS, "2020-08-15", ["start", "function", "extension", "fault", "end", "report"]),
            (LOGS, "2021-03-18", ["start", "function", "extension", "runtimeDone", "fault", "end", "report"]),
        ):
            telemetry = make()
            telemetry.subscribe("one", subscription(api, version))
            tell_all(telemetry)
            assert kinds(telemetry) == expected
            if api == LOGS:
                assert set(waiting(telemetry)[-1]["record"]) == {"requestId", "metrics"}

    run(story)


def test_types_are_chosen() -> None:
    async def story(make: Callable[..., Telemetry]) -> None:
        telemetry = make()
        telemetry.subscribe("one", subscription(TELEMETRY, "2022-07-01", "extension"))
        tell_all(telemetry)
        (event,) = waiting(telemetry)
        assert event == {"time": "2026-01-31T12:34:56.789Z", "type": "extension", "record": "other"}

    run(story)


def test_who_subscribes_within_the_initialization_hears_what_was_before_and_nobody_later() -> None:
    async def story(make: Callable[..., Telemetry]) -> None:
        telemetry = make()
        tell_all(telemetry)
        telemetry.subscribe("one", subscription())
        assert kinds(telemetry)[0] == "initStart"
        telemetry.initialized()
        telemetry.subscribe("two", subscription())
        assert kinds(telemetry, "two") == []

    run(story)


def test_what_is_kept_for_late_subscribers_is_bounded() -> None:
    async def story(make: Callable[..., Telemetry]) -> None:
        telemetry = make()
        for _ in range(100):
            telemetry.tell(NOW, "function", "x" * 10_000)
        telemetry.subscribe("one", subscription())
        assert len(telemetry._couriers["one"].buffer) == 25

    run(story)


def test_objects_in_lines_are_shown_as_such_by_newer_schemas_of_functions_that_log_json() -> None:
    async def story(make: Callable[..., Telemetry]) -> None:
        for version, is_json, line, record in (
            ("2022-12-13", True, '{"a": 1}\n', {"a": 1}),
            ("2022-12-13", True, "{not json\n", "{not json"),
            ("2022-12-13", True, DEEP + "\n", DEEP),
            ("2022-12-13", False, '{"a": 1}\n', '{"a": 1}'),
            ("2022-07-01", True, '{"a": 1}\n', '{"a": 1}'),
        ):
            telemetry = make(is_json=is_json)
            telemetry.subscribe("one", subscription(TELEMETRY, version))
            telemetry.tell(NOW, "function", line)
            assert waiting(telemetry)[0]["record"] == record

    run(story)


def test_second_api_is_refused_and_a_second_subscription_replaces_the_first() -> None:
    async def story(make: Callable[..., Telemetry]) -> None:
        telemetry = make()
        assert telemetry.subscribe("one", subscription()) == ""
        assert "Telemetry API already" in telemetry.subscribe("two", subscription(LOGS, "2020-08-15"))
        telemetry.tell(NOW, "function", "line\n")
        assert telemetry.subscribe("one", subscription(TELEMETRY, "2022-12-13", "platform")) == ""
        telemetry.initialized()
        telemetry.tell(NOW, "function", "line\n")
        assert kinds(telemetry) == []

    run(story)


def test_nothing_is_tried_while_the_sandbox_is_frozen() -> None:
    attempts: list[float] = []

    async def story(make: Callable[..., Telemetry]) -> None:
        telemetry = make()

        async def open_socket() -> socket.socket:
            attempts.append(asyncio.get_running_loop().time())
            raise OSError("refused")

        telemetry._open_socket = open_socket
        telemetry.subscribe("one", subscription())
        telemetry.pause()
        telemetry.tell(NOW, "function", "line\n")
        await asyncio.sleep(5)
        assert attempts == []
        telemetry.resume()
        await asyncio.sleep(1)
        assert attempts and attempts[0] == 5

    run(story)
    waits = [round(later - earlier, 3) for earlier, later in itertools.pairwise(attempts)]
    assert waits == [0.1, 0.2, 0.4]
