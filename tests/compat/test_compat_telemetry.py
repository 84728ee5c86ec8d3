"""Telemetry API and Logs API in live environments: over HTTP and TCP, what is told and what is dropped."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.extensions import HANDLER, SUBSCRIBER, deploy, is_over, messages, wait_for
from harness.squib import Squib

pytestmark = pytest.mark.slow

TELL = """
while True:
    event = next_event()
    if event["eventType"] == "SHUTDOWN":
        break
    time.sleep(0.4)
    say("received", json.dumps([one for one in received if one["type"] != "extension"]))
"""


def received(lines: list[str], name: str = "subscriber") -> list[Any]:
    start = f"{name} received "
    (last,) = [line.removeprefix(start) for line in lines if line.startswith(start)][-1:]
    events: list[Any] = json.loads(last)
    return events


def told(count: int) -> Callable[[list[str]], bool]:
    return lambda found: sum(line.startswith("subscriber received") for line in found) == count


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_platform_events_and_lines_arrive_in_order(squib: Squib, protocol: str) -> None:
    start = f"\nPROTOCOL = '{protocol}'\nlisten_{protocol.lower()}()\nregister()\nsay(*subscribe())\n"
    function = deploy(squib, {"subscriber": SUBSCRIBER + start + TELL}, Timeout=5)
    function.invoke()
    wait_for(squib, function, is_over(1))
    function.invoke()
    lines = wait_for(squib, function, told(2))
    events = received(lines)
    kinds = [event["type"] for event in events]
    each = ["platform.start", "function", "platform.runtimeDone"]
    initialization = ["initStart", "telemetrySubscription", "initRuntimeDone", "initReport", "extension"]
    assert kinds == [f"platform.{name}" for name in initialization] + [*each, "platform.report", *each]
    by_kind = {event["type"]: event["record"] for event in reversed(events)}
    assert by_kind["function"] == "handling"
    assert by_kind["platform.initStart"]["phase"] == "init"
    assert by_kind["platform.telemetrySubscription"] == {
        "name": "subscriber", "state": "Subscribed", "types": ["platform", "function"]
    }  # fmt: skip
    assert by_kind["platform.extension"] == {
        "name": "subscriber", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]
    }  # fmt: skip
    done = by_kind["platform.runtimeDone"]
    assert (done["status"], done["metrics"]["producedBytes"]) == ("success", len(b'"done"'))
    metrics = by_kind["platform.report"]["metrics"]
    assert metrics["memorySizeMB"] == 512 and metrics["initDurationMs"] > 0
    assert metrics["durationMs"] > max(400, done["metrics"]["durationMs"])
    (line,) = [line for line in lines if line.startswith("TELEMETRY")]
    assert line == "TELEMETRY\tName: subscriber\tState: Subscribed\tTypes: [Platform, Function]\n"
    report = next(line for line in lines if line.startswith("REPORT"))
    assert f"Duration: {metrics['durationMs']:.2f} ms" in report


def test_logs_api_has_its_own_events(squib: Squib) -> None:
    start = "\nlisten_http()\nregister()\nsay(*subscribe('2020-08-15/logs', '2021-03-18'))\n"
    function = deploy(squib, {"subscriber": SUBSCRIBER + start + TELL}, Timeout=5)
    function.invoke()
    wait_for(squib, function, is_over(1))
    function.invoke()
    events = received(wait_for(squib, function, told(2)))
    kinds = [event["type"].removeprefix("platform.") for event in events]
    each = ["start", "function", "runtimeDone"]
    assert kinds == ["logsSubscription", "extension", *each, "end", "report", *each]
    done = next(event["record"] for event in events if event["type"] == "platform.runtimeDone")
    assert set(done) == {"requestId", "status"}


def test_a_subscriber_that_does_not_answer_disturbs_nobody_and_hears_what_it_has_lost(squib: Squib) -> None:
    start = """
import socket
server = socket.create_server(("0.0.0.0", PORT))
register()
subscribe(types=["function", "platform"])
event = next_event()
stalled, _ = server.accept()  # and nothing is read from it
event = next_event()
stalled.close()
server.close()
listen_http()
while not any(one["type"] == "platform.logsDropped" for one in received):
    time.sleep(0.01)
dropped = next(one for one in received if one["type"] == "platform.logsDropped")
say("dropped", json.dumps(dropped["record"]), len(received))
next_event()
"""
    noisy = "def handler(event, context):\n    for n in range(4000):\n        print(n, 'x' * 500)\n"
    function = deploy(squib, {"subscriber": SUBSCRIBER + start}, noisy, Timeout=20)
    for _ in range(2):
        assert function.invoke().value is None
    lines = wait_for(squib, function, lambda found: any("subscriber dropped" in line for line in found))
    (line,) = [line for line in lines if line.startswith("subscriber dropped")]
    record, count = line.removeprefix("subscriber dropped ").rsplit(" ", 1)
    dropped = json.loads(record)
    assert dropped["droppedRecords"] > 1000 and dropped["droppedBytes"] > 500_000
    assert "fallen behind" in dropped["reason"]
    assert int(count) > 100


REFUSED = """
register()
say("answers", json.dumps([
    subscribe(destination={"protocol": "HTTP", "URI": "http://10.0.0.1:80"})[::2],
    subscribe(destination={"protocol": "HTTP", "URI": "http://sandbox.localdomain:9001"})[::2],
    subscribe(types=[], destination={"protocol": "HTTP", "URI": "http://sandbox.localdomain"})[::2],
    subscribe()[::2],
    subscribe("2020-08-15/logs", "2021-03-18")[::2],
], default=bytes.decode))
next_event()
say("late", subscribe()[0])
next_event()
"""


def test_what_cannot_be_subscribed_to_is_refused(squib: Squib) -> None:
    function = deploy(squib, {"subscriber": SUBSCRIBER + REFUSED}, HANDLER)
    function.invoke()
    lines = wait_for(squib, function, lambda found: any("subscriber late" in line for line in found))
    (line,) = [line for line in lines if line.startswith("subscriber answers")]
    answers = json.loads(line.removeprefix("subscriber answers "))
    assert [status for status, _ in answers] == [400, 400, 400, 200, 400]
    assert answers[3][1] == '"OK"'
    assert json.loads(answers[2][1]) == {
        "errorType": "ValidationError",
        "errorMessage": "URI port is not provided; types should not be empty",
    }
    assert "subscriber late 403\n" in messages(squib, function)
