"""CloudWatch Logs: groups, streams, events, tags and retention as they are written."""

import asyncio
from pathlib import Path

from logs_harness import ARN, GROUP, NAME, NO_GROUP, NO_STREAM, NOW, REGION, client, messages

from squib.control_plane.logs.retention import RetentionLoop
from squib.model.log import RETENTION_DAYS
from squib.model.units import EpochMs, MonotonicMs

DAY = 24 * 3600 * 1000


class SetClock:
    """A clock that says what it is told."""

    def __init__(self) -> None:
        self.at_ms = NOW

    def now_ms(self) -> EpochMs:
        return self.at_ms

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(float(self.at_ms))


def files(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "logs").rglob("*.log"))


# --- groups and streams


def test_a_group_is_created_once_and_deleted_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            assert await logs.call("CreateLogGroup", logGroupName=NAME, tags={"a": "1"}) == {}
            assert await logs.refusal("CreateLogGroup", logGroupName=NAME) == (
                "ResourceAlreadyExistsException",
                400,
                "The specified log group already exists",
            )
        async with client(tmp_path) as logs:
            [found] = (await logs.call("DescribeLogGroups"))["logGroups"]
            assert (found["logGroupName"], found["creationTime"]) == (NAME, NOW)
            assert await logs.call("ListTagsForResource", resourceArn=ARN) == {"tags": {"a": "1"}}
            assert await logs.call("DeleteLogGroup", logGroupName=NAME) == {}
            assert await logs.refusal("DeleteLogGroup", logGroupName=NAME) == NO_GROUP

    asyncio.run(main())


def test_groups_that_squib_cannot_keep_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            for name, value in (
                ("kmsKeyId", "k"),
                ("logGroupClass", "INFREQUENT_ACCESS"),
                ("deletionProtectionEnabled", True),
            ):
                code, status, text = await logs.refusal("CreateLogGroup", logGroupName="g", **{name: value})
                assert (code, status) == ("NotImplementedException", 501)
                assert name in text
            reserved = await logs.refusal("CreateLogGroup", logGroupName="aws/x")
            assert reserved[2] == "Log groups starting with AWS/ are reserved for AWS."
            assert (await logs.call("DescribeLogGroups"))["logGroups"] == []

    asyncio.run(main())


def test_a_stream_is_created_in_a_group_that_exists(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            named = {"logGroupName": NAME, "logStreamName": "s"}
            for operation in ("CreateLogStream", "DeleteLogStream"):
                assert await logs.refusal(operation, **named) == NO_GROUP
            await logs.call("CreateLogGroup", logGroupName=NAME)
            assert await logs.refusal("DeleteLogStream", **named) == NO_STREAM
            assert await logs.call("CreateLogStream", **named) == {}
            assert await logs.refusal("CreateLogStream", **named) == (
                "ResourceAlreadyExistsException",
                400,
                "The specified log stream already exists",
            )
            [stream] = (await logs.call("DescribeLogStreams", logGroupName=NAME))["logStreams"]
            assert (stream["logStreamName"], stream["creationTime"]) == ("s", NOW)
            assert await logs.call("DeleteLogStream", **named) == {}
            assert (await logs.call("DescribeLogStreams", logGroupName=NAME))["logStreams"] == []

    asyncio.run(main())


def test_an_open_writer_makes_its_deleted_group_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            writer = logs.store.logs.open_stream(GROUP, "s", now_ms=NOW)
            writer.append(NOW, "old")
            await logs.call("DeleteLogGroup", logGroupName=NAME)
            put = {"logGroupName": NAME, "logStreamName": "s", "logEvents": [event(0, "x")]}
            assert await logs.refusal("PutLogEvents", **put) == NO_GROUP
            await logs.call("CreateLogGroup", logGroupName=NAME)
            assert await logs.refusal("PutLogEvents", **put) == NO_STREAM
            writer.append(NOW, "new")
            await logs.call("PutLogEvents", **put)
            read = await logs.call("GetLogEvents", logGroupName=NAME, logStreamName="s")
            assert messages(read) == ["new", "x"]

    asyncio.run(main())


# --- events


def event(at: int, message: str) -> dict[str, object]:
    return {"timestamp": NOW + at, "message": message}


def test_events_are_read_as_they_were_put(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            named = {"logGroupName": NAME, "logStreamName": "s"}
            await logs.call("CreateLogGroup", logGroupName=NAME)
            await logs.call("CreateLogStream", **named)
            long = "y" * (600 * 1024)
            answer = await logs.call("PutLogEvents", **named, logEvents=[event(5, "b"), event(6, long)])
            token = answer["nextSequenceToken"]
            assert set(answer) == {"nextSequenceToken"}
            answer = (
                await logs.call(  # an earlier batch after a later one keeps its times; tokens are ignored
                    "PutLogEvents",
                    **named,
                    logEvents=[event(0, "a"), event(9_000_000, "c")],
                    sequenceToken="1",
                )
            )
            assert answer == {
                "nextSequenceToken": token,
                "rejectedLogEventsInfo": {"tooNewLogEventStartIndex": 1},
            }
        async with client(tmp_path) as logs:
            found = await logs.call("GetLogEvents", **named, startFromHead=True)
            assert [(e["timestamp"] - NOW, e["message"]) for e in found["events"]] == [
                (0, "a"),
                (5, "b"),
                (6, long),
            ]
            [group] = (await logs.call("DescribeLogGroups"))["logGroups"]
            assert group["storedBytes"] > 600 * 1024
            nothing = await logs.call("PutLogEvents", **named, logEvents=[event(-30 * DAY, "z")])
            assert nothing["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
            entity = await logs.call("PutLogEvents", **named, logEvents=[event(7, "d")], entity={})
            assert entity["rejectedEntityInfo"] == {"errorType": "UnsupportedLogGroupType"}
            for at in (0, -30 * DAY):
                missing = {"logGroupName": NAME, "logStreamName": "none", "logEvents": [event(at, "x")]}
                assert await logs.refusal("PutLogEvents", **missing) == NO_STREAM
            assert len((await logs.call("DescribeLogStreams", logGroupName=NAME))["logStreams"]) == 1

    asyncio.run(main())


def test_a_stream_deleted_and_made_again_holds_only_what_is_put_then(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            named = {"logGroupName": NAME, "logStreamName": "s"}
            await logs.call("CreateLogGroup", logGroupName=NAME)
            for message in ("first", "second"):
                await logs.call("CreateLogStream", **named)
                await logs.call("PutLogEvents", **named, logEvents=[event(0, message)])
                assert messages(await logs.call("GetLogEvents", **named)) == [message]
                await logs.call("DeleteLogStream", **named)
                refused = await logs.refusal("PutLogEvents", **named, logEvents=[event(0, "x")])
                assert refused == NO_STREAM

    asyncio.run(main())


def test_more_streams_than_are_kept_open_hold_all_their_events(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            await logs.call("CreateLogGroup", logGroupName=NAME)
            names = [f"s{number:03}" for number in range(140)]
            async with asyncio.TaskGroup() as tasks:
                for name in names:
                    tasks.create_task(logs.call("CreateLogStream", logGroupName=NAME, logStreamName=name))
            for turn in range(2):
                async with asyncio.TaskGroup() as tasks:
                    for name in names:
                        put = {"logStreamName": name, "logEvents": [event(turn, f"{name} {turn}")]}
                        tasks.create_task(logs.call("PutLogEvents", logGroupName=NAME, **put))
            found = await logs.call("FilterLogEvents", logGroupName=NAME)
            assert messages(found) == [f"{name} {turn}" for turn in range(2) for name in names]

    asyncio.run(main())


# --- tags


def test_tags_are_changed_by_arn_and_by_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            await logs.call("CreateLogGroup", logGroupName=NAME)
            assert await logs.call("ListTagsLogGroup", logGroupName=NAME) == {"tags": {}}
            await logs.call("TagResource", resourceArn=ARN, tags={"a": "1", "b": "2"})
            await logs.call("TagLogGroup", logGroupName=NAME, tags={"b": "3", "c": ""})
            expected = {"tags": {"a": "1", "b": "3", "c": ""}}
            assert await logs.call("ListTagsForResource", resourceArn=ARN) == expected
            await logs.call("UntagResource", resourceArn=ARN, tagKeys=["a", "x"])
            await logs.call("UntagLogGroup", logGroupName=NAME, tags=["c"])
            assert await logs.call("ListTagsLogGroup", logGroupName=NAME) == {"tags": {"b": "3"}}

    asyncio.run(main())


def test_bad_tags_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            assert await logs.refusal("ListTagsLogGroup", logGroupName=NAME) == NO_GROUP
            assert await logs.refusal("TagResource", resourceArn=ARN, tags={"a": "b"}) == NO_GROUP
            await logs.call("CreateLogGroup", logGroupName=NAME)
            for arn in (f"{ARN}:*", "arn:aws:s3:::bucket", NAME):
                refused = await logs.refusal("ListTagsForResource", resourceArn=arn)
                assert refused == ("ValidationException", 400, "Invalid resourceArn")
            elsewhere = ARN.replace(REGION, "eu-west-1")
            assert await logs.refusal("ListTagsForResource", resourceArn=elsewhere) == NO_GROUP
            for number in range(50):
                await logs.call("TagResource", resourceArn=ARN, tags={str(number): ""})
            refused = await logs.refusal("TagResource", resourceArn=ARN, tags={"one": "more"})
            assert refused[0] == "TooManyTagsException"
            refused = await logs.refusal("TagResource", resourceArn=ARN, tags={"aws:x": ""})
            assert refused[0] == "InvalidParameterException"
            assert len((await logs.call("ListTagsLogGroup", logGroupName=NAME))["tags"]) == 50

    asyncio.run(main())


# --- retention


def test_a_retention_policy_is_kept_shown_and_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            policy = {"logGroupName": NAME, "retentionInDays": 3}
            assert await logs.refusal("PutRetentionPolicy", **policy) == NO_GROUP
            assert await logs.refusal("DeleteRetentionPolicy", logGroupName=NAME) == NO_GROUP
            await logs.call("CreateLogGroup", logGroupName=NAME, tags={"a": "1"})
            code, _, text = await logs.refusal("PutRetentionPolicy", logGroupName=NAME, retentionInDays=2)
            assert code == "InvalidParameterException"
            assert text.startswith("1 validation error detected: Value '2' at 'retentionInDays'")
            for days in RETENTION_DAYS:
                await logs.call("PutRetentionPolicy", logGroupName=NAME, retentionInDays=days)
        async with client(tmp_path) as logs:
            [group] = (await logs.call("DescribeLogGroups"))["logGroups"]
            assert group["retentionInDays"] == 3653
            await logs.call("DeleteRetentionPolicy", logGroupName=NAME)
            [group] = (await logs.call("DescribeLogGroups"))["logGroups"]
            assert "retentionInDays" not in group
            assert await logs.call("ListTagsLogGroup", logGroupName=NAME) == {"tags": {"a": "1"}}

    asyncio.run(main())


def test_expired_events_are_hidden_at_once_and_removed_by_the_sweep(tmp_path: Path) -> None:
    async def main() -> None:
        clock = SetClock()
        async with client(tmp_path, clock) as logs:
            store = logs.store.logs
            logs.write("old", (-2 * DAY, "old"))
            logs.write("both", (-2 * DAY, "early"), (0, "late"))
            closed = store.open_stream(GROUP, "closed", now_ms=NOW)
            closed.append(EpochMs(NOW - 2 * DAY), "closed")
            closed.close()
            await store.flush()
            assert len(files(tmp_path)) == 3
            assert await store.expire() == 0
            await logs.call("PutRetentionPolicy", logGroupName=NAME, retentionInDays=1)
            for start_ms in (None, 0, NOW - 3 * DAY):
                found = await logs.call("FilterLogEvents", logGroupName=NAME, startTime=start_ms)
                assert messages(found) == ["late"]
            found = await logs.call("GetLogEvents", logGroupName=NAME, logStreamName="old")
            assert found["events"] == []
            streams = (await logs.call("DescribeLogStreams", logGroupName=NAME))["logStreams"]
            assert ["lastEventTimestamp" in stream for stream in streams] == [True, False, False]

            assert await store.expire() == 2
            assert len(files(tmp_path)) == 1
            logs.write("old", (0, "new"))
            assert messages(await logs.call("FilterLogEvents", logGroupName=NAME)) == ["late", "new"]
            clock.at_ms = EpochMs(NOW + 2 * DAY)
            assert await store.expire() == 2
            assert await store.expire() == 0
            assert files(tmp_path) == []
            [group] = (await logs.call("DescribeLogGroups"))["logGroups"]
            assert group["storedBytes"] == 0
            await logs.call("DeleteRetentionPolicy", logGroupName=NAME)
            assert (await logs.call("FilterLogEvents", logGroupName=NAME))["events"] == []
            streams = (await logs.call("DescribeLogStreams", logGroupName=NAME))["logStreams"]
            assert [stream["logStreamName"] for stream in streams] == ["both", "closed", "old"]
            logs.write("old", (2 * DAY, "numbers go on"))
            [last] = await store.events(GROUP, ["old"])
            assert last.sequence == 2

    asyncio.run(main())


def test_the_loop_sweeps_at_once_and_again_after_a_failure() -> None:
    async def main() -> None:
        outcomes: list[int | Exception] = [OSError("disk"), 3, 0]
        swept = asyncio.Event()

        async def expire() -> int:
            if not outcomes:
                swept.set()
                return 0
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(RetentionLoop(expire, interval_s=0).run())
            await asyncio.wait_for(swept.wait(), 10)
            task.cancel()
        assert outcomes == []

    asyncio.run(main())
