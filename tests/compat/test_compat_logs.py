"""What functions print, read through the CloudWatch Logs API."""

import json
import time

import pytest
from botocore.exceptions import ClientError

from harness.machine import eventually
from harness.squib import Squib

SOURCE = """
def handler(event, context):
    for line in event:
        print(line)
    return context.log_stream_name
"""


def test_streams_events_and_filters(squib: Squib) -> None:
    function = squib.deploy(SOURCE)
    logs = squib.client("logs")
    before = int(time.time() * 1000)
    stream = function.invoke(["alpha one", "beta", '{"level": "warn", "code": 7}', "ümläut ✓"]).value
    function.invoke(["alpha two"])
    group = f"/aws/lambda/{function.name}"

    (found,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found["logGroupName"] == group
    assert found["arn"] == f"arn:aws:logs:eu-west-1:000000000000:log-group:{group}:*"
    streams = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)[
        "logStreams"
    ]
    assert [row["logStreamName"] for row in streams] == [stream]

    def events() -> list[str]:
        page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        return [event["message"].rstrip("\n") for event in page["events"]]

    eventually(lambda: "alpha two" in events(), what="all lines are there")
    texts = events()
    assert texts[0].startswith("INIT_START")
    assert [text for text in texts if not text.startswith(("INIT_START", "START", "END", "REPORT"))] == [
        "alpha one",
        "beta",
        '{"level": "warn", "code": 7}',
        "ümläut ✓",
        "alpha two",
    ]

    def matching(pattern: str) -> list[str]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, filterPattern=pattern, startTime=before - 1000
        )
        return [event["message"].rstrip("\n") for page in pages for event in page["events"]]

    assert matching("alpha") == ["alpha one", "alpha two"]
    assert matching('"alpha one"') == ["alpha one"]
    assert matching("?beta ?two") == ["beta", "alpha two"]
    assert matching("alpha -two") == ["alpha one"]
    assert matching("{ $.code = 7 }") == ['{"level": "warn", "code": 7}']
    later = logs.filter_log_events(logGroupName=group, startTime=int(time.time() * 1000) + 60_000)
    assert later["events"] == []


def test_pages_of_log_events_hold_every_line_once(squib: Squib) -> None:
    function = squib.deploy(SOURCE)
    stream = function.invoke([f"n{number}" for number in range(300)]).value
    logs = squib.client("logs")
    group = f"/aws/lambda/{function.name}"
    seen: list[str] = []
    token = None
    while True:
        more: dict[str, str] = {"nextToken": token} if token else {}
        page = logs.get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=True, limit=100, **more
        )
        seen += [event["message"].rstrip("\n") for event in page["events"]]
        if page["nextForwardToken"] == token:
            break
        token = page["nextForwardToken"]
    assert [text for text in seen if text.startswith("n")] == [f"n{number}" for number in range(300)]


def test_a_follower_sees_every_line_once(squib: Squib) -> None:
    """As `aws logs tail --follow` does it: ask from the last time seen on, drop the events known by id."""
    function = squib.deploy(SOURCE)
    logs = squib.client("logs")
    since, known, seen = int(time.time() * 1000) - 60_000, set(), []

    def look() -> None:
        nonlocal since
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=f"/aws/lambda/{function.name}", startTime=since, interleaved=True
        )
        for page in pages:
            for event in page["events"]:
                if event["eventId"] not in known:
                    known.add(event["eventId"])
                    seen.append(event["message"].rstrip("\n"))
                since = max(since, event["timestamp"])

    for number in range(5):
        function.invoke([f"round {number}", f"round {number} again"])
        look()
    expected = [line for number in range(5) for line in (f"round {number}", f"round {number} again")]
    assert [line for line in seen if line.startswith("round")] == expected
    assert len([line for line in seen if line.startswith("REPORT")]) == 5


def test_each_environment_has_a_stream(squib: Squib) -> None:
    function = squib.deploy(SOURCE)
    first = function.invoke([]).value
    function.configure(Description="new environments")
    second = function.invoke([]).value
    assert first != second
    streams = squib.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{function.name}")[
        "logStreams"
    ]
    assert {row["logStreamName"] for row in streams} == {first, second}


def test_a_group_of_its_own_choice(squib: Squib) -> None:
    function = squib.deploy(SOURCE, LoggingConfig={"LogGroup": "/shared/group"})
    stream = function.invoke(["to the shared group"]).value
    logs = squib.client("logs")
    page = eventually(
        lambda: logs.filter_log_events(logGroupName="/shared/group", filterPattern="shared")["events"]
    )
    assert page[0]["logStreamName"] == stream


def test_json_format_gives_json_records(squib: Squib) -> None:
    source = """
import logging
log = logging.getLogger()
def handler(event, context):
    log.warning("careful")
    log.debug("unseen")
"""
    function = squib.deploy(source, LoggingConfig={"LogFormat": "JSON"})
    result = function.invoke()
    records = [json.loads(line) for line in result.log.splitlines()]
    kinds = [record.get("type") for record in records if "type" in record]
    assert kinds == ["platform.initStart", "platform.start", "platform.report"] or "platform.report" in kinds
    (warning,) = [record for record in records if record.get("message") == "careful"]
    assert warning["level"] == "WARN" or warning["level"] == "WARNING"
    assert warning["requestId"] == result.request_id
    assert "unseen" not in result.log


def test_what_is_not_there_is_not_found(squib: Squib) -> None:
    logs = squib.client("logs")
    with pytest.raises(ClientError) as missing:
        logs.get_log_events(logGroupName="/none", logStreamName="none")
    assert missing.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert missing.value.response["Error"]["Message"] == "The specified log group does not exist."


def test_objects_below_the_application_log_level_are_left_out(squib: Squib) -> None:
    levels = {"LogFormat": "JSON", "ApplicationLogLevel": "WARN", "SystemLogLevel": "INFO"}
    function = squib.deploy(SOURCE, LoggingConfig=levels)
    lines = [
        json.dumps({"level": level, "n": n}) for n, level in enumerate(("debug", "info", "WARN", "error"))
    ]
    tail = function.invoke([*lines, "plain text", '{"n": "no level"}']).log
    assert [line for line in tail.splitlines() if "platform." not in line] == [*lines[2:], "plain text"]
    assert '"type":"platform.report"' in tail
