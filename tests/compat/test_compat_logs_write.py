"""Log groups, streams and events written through the CloudWatch Logs API, with the AWS SDK."""

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.machine import eventually
from harness.squib import Squib, new_data_dir, unique_name

DAY_MS = 24 * 3600 * 1000


def now_ms() -> int:
    return int(time.time() * 1000)


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def texts(logs: Any, group: str, stream: str) -> list[str]:
    page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in page["events"]]


def test_a_group_and_its_streams_live_and_die(squib: Squib) -> None:
    logs, group = squib.client("logs"), unique_name("/own/group")
    logs.create_log_group(logGroupName=group, tags={"team": "blue"}, logGroupClass="STANDARD")
    assert refusal(logs.create_log_group, logGroupName=group) == (
        "ResourceAlreadyExistsException",
        "The specified log group already exists",
    )
    logs.create_log_stream(logGroupName=group, logStreamName="a")
    assert refusal(logs.create_log_stream, logGroupName=group, logStreamName="a") == (
        "ResourceAlreadyExistsException",
        "The specified log stream already exists",
    )
    no_group = ("ResourceNotFoundException", "The specified log group does not exist.")
    no_stream = ("ResourceNotFoundException", "The specified log stream does not exist.")
    assert refusal(logs.create_log_stream, logGroupName="/none", logStreamName="a") == no_group
    assert refusal(logs.delete_log_stream, logGroupName=group, logStreamName="b") == no_stream
    [stream] = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert stream["logStreamName"] == "a"
    logs.delete_log_stream(logGroupName=group, logStreamName="a")
    assert logs.describe_log_streams(logGroupName=group)["logStreams"] == []
    logs.delete_log_group(logGroupName=group)
    assert refusal(logs.delete_log_group, logGroupName=group) == no_group
    code, text = refusal(logs.create_log_group, logGroupName="bad name!")
    assert code == "InvalidParameterException"
    assert text.startswith("1 validation error detected: Value 'bad name!' at 'logGroupName'")
    code, text = refusal(logs.create_log_group, logGroupName=group, kmsKeyId="key")
    assert "kmsKeyId of CreateLogGroup" in text


def test_events_put_are_read_and_found(squib: Squib) -> None:
    logs, group, now = squib.client("logs"), unique_name("/own/events"), now_ms()
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    answer = logs.put_log_events(
        logGroupName=group,
        logStreamName="s",
        logEvents=[
            {"timestamp": now - 15 * DAY_MS, "message": "too old"},
            {"timestamp": now - 1000, "message": "ümläut ✓"},
            {"timestamp": now, "message": '{"level": "error"}'},
            {"timestamp": now + DAY_MS, "message": "too new"},
        ],
    )
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 3}
    assert answer["nextSequenceToken"]
    assert texts(logs, group, "s") == ["ümläut ✓", '{"level": "error"}']
    found = logs.filter_log_events(logGroupName=group, filterPattern='{ $.level = "error" }')
    assert [event["timestamp"] for event in found["events"]] == [now]
    unordered = [{"timestamp": now, "message": "b"}, {"timestamp": now - 1, "message": "a"}]
    assert refusal(logs.put_log_events, logGroupName=group, logStreamName="s", logEvents=unordered) == (
        "InvalidParameterException",
        "Log events in a single PutLogEvents request must be in chronological order.",
    )
    large = [{"timestamp": now, "message": "x" * (1 << 20)}]
    assert refusal(logs.put_log_events, logGroupName=group, logStreamName="s", logEvents=large) == (
        "InvalidParameterException",
        "Log event too large: 1048602 bytes exceeds limit of 1048576",
    )
    many = [{"timestamp": now, "message": str(number)} for number in range(10_000)]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=many)
    found = [
        event["message"]
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    ]
    assert len(found) == 10_002
    code, text = refusal(
        logs.put_log_events, logGroupName=group, logStreamName="s", logEvents=[*many, many[0]]
    )
    assert code == "InvalidParameterException"
    assert "Member must have length less than or equal to 10000" in text


def test_retention_is_shown_and_holds_at_once(squib: Squib) -> None:
    logs, group, now = squib.client("logs"), unique_name("/own/retention"), now_ms()
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    for at, message in ((now - 2 * DAY_MS, "old"), (now, "new")):
        event = {"timestamp": at, "message": message}
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[event])
    assert texts(logs, group, "s") == ["old", "new"]
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    assert texts(logs, group, "s") == ["new"]
    [found] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found["retentionInDays"] == 1
    expired = [{"timestamp": now - 2 * DAY_MS, "message": "old"}]
    answer = logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=expired)
    assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    code, text = refusal(logs.put_retention_policy, logGroupName=group, retentionInDays=2)
    assert (code, "'retentionInDays'" in text) == ("InvalidParameterException", True)
    logs.delete_retention_policy(logGroupName=group)
    [found] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert "retentionInDays" not in found


def test_tags_by_arn_and_by_name(squib: Squib) -> None:
    logs, group = squib.client("logs"), unique_name("/own/tags")
    logs.create_log_group(logGroupName=group, tags={"a": "1"})
    [found] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    arn = found["logGroupArn"]
    logs.tag_resource(resourceArn=arn, tags={"b": "2"})
    logs.tag_log_group(logGroupName=group, tags={"c": "3"})
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"a": "1", "b": "2", "c": "3"}
    logs.untag_resource(resourceArn=arn, tagKeys=["a"])
    logs.untag_log_group(logGroupName=group, tags=["b"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"c": "3"}
    assert refusal(logs.list_tags_for_resource, resourceArn=found["arn"]) == (
        "ValidationException",
        "Invalid resourceArn",
    )


def test_a_warm_environment_makes_its_deleted_group_again(squib: Squib) -> None:
    function = squib.deploy(
        "def handler(event, context):\n    print(event)\n    return context.log_stream_name\n"
    )
    logs, group = squib.client("logs"), f"/aws/lambda/{function.name}"
    stream = function.invoke("before").value
    eventually(lambda: "before\n" in texts(logs, group, stream), what="the line before is there")
    logs.delete_log_group(logGroupName=group)
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"] == []
    assert function.invoke("after").value == stream

    def lines() -> list[str]:
        found = logs.filter_log_events(logGroupName=group)["events"]
        return [event["message"] for event in found]

    eventually(
        lambda: logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"], what="the group is back"
    )
    eventually(lambda: "after\n" in lines(), what="the line after is there")
    assert "before\n" not in lines()


def test_what_was_answered_survives_a_kill() -> None:
    with Squib("--isolation", "plain", data_dir=new_data_dir()) as squib:
        squib.owns_data = True
        for turn in range(3):
            logs = squib.client("logs")
            group = f"/killed/{turn}"
            logs.create_log_group(logGroupName=group, tags={"turn": str(turn)})
            logs.put_retention_policy(logGroupName=group, retentionInDays=7)
            logs.create_log_stream(logGroupName=group, logStreamName="s")
            for number in range(20):
                event = {"timestamp": now_ms(), "message": f"event {number}"}
                logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[event])
            squib.kill()
            squib.start()
            logs = squib.client("logs")
            assert texts(logs, group, "s") == [f"event {number}" for number in range(20)]
            assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"turn": str(turn)}
            [found] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
            assert found["retentionInDays"] == 7
