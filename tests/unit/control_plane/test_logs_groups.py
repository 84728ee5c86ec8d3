"""CloudWatch Logs: describing groups and streams."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from logs_harness import (
    ACCOUNT,
    ARN,
    BAD_TOKEN,
    GROUP,
    NAME,
    NO_GROUP,
    NOW,
    REGION,
    client,
    marker_of_another_operation,
)

from squib.model.log import LogGroupKey

# --- DescribeLogGroups


def test_groups_have_the_shape_of_the_model(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            await logs.store.logs.create_group(GROUP, now_ms=NOW)
            assert await logs.call("DescribeLogGroups") == {
                "logGroups": [
                    {
                        "logGroupName": NAME,
                        "creationTime": NOW,
                        "arn": f"{ARN}:*",
                        "logGroupArn": ARN,
                        "metricFilterCount": 0,
                        "storedBytes": 0,
                        "logGroupClass": "STANDARD",
                    }
                ]
            }
            found = await logs.call("DescribeLogGroups", logGroupNamePattern="lambda")
            assert found == {"logGroups": [{"logGroupName": NAME, "creationTime": NOW, "arn": f"{ARN}:*"}]}
            assert await logs.call("DescribeLogGroups", logGroupClass="DELIVERY") == {"logGroups": []}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({}, ["/A", "/aws/lambda/a", "/aws/lambda/b", "/aws/lambda/c", "/b/lambda"]),
        ({"logGroupNamePrefix": "/aws/lambda/"}, ["/aws/lambda/a", "/aws/lambda/b", "/aws/lambda/c"]),
        (
            {"logGroupNamePattern": "lambda"},
            ["/aws/lambda/a", "/aws/lambda/b", "/aws/lambda/c", "/b/lambda"],
        ),
        ({"logGroupNamePattern": "LAMBDA"}, []),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 50])
def test_groups_are_paged_by_name(
    tmp_path: Path, search: Mapping[str, str], expected: Sequence[str], limit: int
) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            for name in ("/b/lambda", "/aws/lambda/c", "/aws/lambda/a", "/A", "/aws/lambda/b"):
                await logs.store.logs.create_group(LogGroupKey(ACCOUNT, REGION, name), now_ms=NOW)
            found: list[str] = []
            token = None
            while True:
                page = await logs.call("DescribeLogGroups", limit=limit, nextToken=token, **search)
                assert len(page["logGroups"]) <= limit
                found += [group["logGroupName"] for group in page["logGroups"]]
                if (token := page.get("nextToken")) is None:
                    break
            assert found == expected

    asyncio.run(main())


def test_bad_searches_for_groups_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            both = await logs.refusal("DescribeLogGroups", logGroupNamePrefix="a", logGroupNamePattern="b")
            assert both[2] == (
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
            )
            for token in ("x", "%%%", "aGVsbG8", marker_of_another_operation()):
                assert await logs.refusal("DescribeLogGroups", nextToken=token) == BAD_TOKEN
            refused = await logs.refusal("DescribeLogGroups", includeLinkedAccounts=True)
            assert refused[1] == 501
            assert "includeLinkedAccounts of DescribeLogGroups" in refused[2]

    asyncio.run(main())


# --- DescribeLogStreams


def test_streams_have_the_shape_of_the_model(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            logs.write("2025/01/01/[$LATEST]ab", (1, "x"), (7, "y"))
            logs.write("empty")
            [stream, empty] = (await logs.call("DescribeLogStreams", logGroupName=NAME))["logStreams"]
            assert stream["storedBytes"] > 0
            assert stream["lastIngestionTime"] >= NOW
            assert {k: v for k, v in stream.items() if k not in ("storedBytes", "lastIngestionTime")} == {
                "logStreamName": "2025/01/01/[$LATEST]ab",
                "creationTime": NOW,
                "firstEventTimestamp": NOW + 1,
                "lastEventTimestamp": NOW + 7,
                "arn": f"{ARN}:log-stream:2025/01/01/[$LATEST]ab",
            }
            assert empty == {
                "logStreamName": "empty",
                "creationTime": NOW,
                "arn": f"{ARN}:log-stream:empty",
                "storedBytes": 0,
            }

    asyncio.run(main())


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({}, "abcde"),
        ({"descending": True}, "edcba"),
        ({"orderBy": "LogStreamName"}, "abcde"),
        ({"orderBy": "LastEventTime"}, "eacdb"),
        ({"orderBy": "LastEventTime", "descending": True}, "bdcae"),
        ({"logStreamNamePrefix": "c"}, "c"),
        ({"logStreamNamePrefix": "x"}, ""),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 50])
def test_streams_are_paged_by_name_or_time(
    tmp_path: Path, order: Mapping[str, object], expected: str, limit: int
) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            for name, at in {"b": 9, "a": 1, "c": 5, "d": 5}.items():
                logs.write(name, (at, "x"))
            logs.write("e")
            found = ""
            token = None
            while True:
                page = await logs.call(
                    "DescribeLogStreams", logGroupIdentifier=ARN, limit=limit, nextToken=token, **order
                )
                found += "".join(stream["logStreamName"] for stream in page["logStreams"])
                if (token := page.get("nextToken")) is None:
                    break
            assert found == expected

    asyncio.run(main())


def test_bad_searches_for_streams_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            operation = "DescribeLogStreams"
            assert await logs.refusal(operation, logGroupName=NAME) == NO_GROUP
            logs.write("s")
            assert await logs.refusal(operation, logGroupName=NAME, nextToken="x") == BAD_TOKEN
            refused = await logs.refusal(
                operation, logGroupName=NAME, orderBy="LastEventTime", logStreamNamePrefix="s"
            )
            assert refused[2] == "Cannot order by LastEventTime with a logStreamNamePrefix."

    asyncio.run(main())


@pytest.mark.parametrize("operation", ["DescribeLogStreams", "GetLogEvents", "FilterLogEvents"])
def test_a_group_is_named_once_by_name_or_arn(tmp_path: Path, operation: str) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            logs.write("s", (1, "x"))
            more = {"logStreamName": "s"} if operation == "GetLogEvents" else {}
            for named in (
                {"logGroupName": NAME},
                {"logGroupIdentifier": NAME},
                {"logGroupIdentifier": ARN},
                {"logGroupIdentifier": f"{ARN}:*"},
            ):
                output = await logs.call(operation, **named, **more)
                assert len(output["logStreams" if operation == "DescribeLogStreams" else "events"]) == 1
            for elsewhere in (
                ARN.replace("us-east-1", "eu-west-1"),
                ARN.replace("000000000000", "111111111111"),
                f"{ARN}x",
                "other",
            ):
                assert await logs.refusal(operation, logGroupIdentifier=elsewhere, **more) == NO_GROUP
            for bad in ({}, {"logGroupName": NAME, "logGroupIdentifier": ARN}):
                refused = await logs.refusal(operation, **bad, **more)
                assert refused[0] == "InvalidParameterException"
            no_arn = await logs.refusal(operation, logGroupIdentifier="arn:aws:s3:::bucket", **more)
            assert no_arn[0] == "InvalidParameterException"

    asyncio.run(main())
