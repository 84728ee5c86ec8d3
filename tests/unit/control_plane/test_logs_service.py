"""CloudWatch Logs operations over a real store: pages, tokens, order, errors."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squib.clock import SystemClock
from squib.control_plane.logs import LogsService
from squib.control_plane.logs import events as log_events
from squib.control_plane.pagination import marker
from squib.model.errors import ApiError
from squib.model.identity import root_principal
from squib.model.log import LogGroupKey
from squib.model.operation import AuthorizedCall
from squib.model.units import AccountId, EpochMs, Region, RequestId
from squib.store.base import Store
from squib.store.sqlite import StoreOptions, open_store

ACCOUNT = AccountId("000000000000")
REGION = Region("us-east-1")
NAME = "/aws/lambda/f"
GROUP = LogGroupKey(ACCOUNT, REGION, NAME)
NOW = EpochMs(1_700_000_000_000)
ARN = f"arn:aws:logs:us-east-1:000000000000:log-group:{NAME}"


class Client:
    """Calls handlers as the gateway would."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._handlers = LogsService(store.logs).handlers()

    async def call(self, operation: str, **parameters: object) -> Mapping[str, Any]:
        call = AuthorizedCall(
            service="logs",
            operation=operation,
            input={name: value for name, value in parameters.items() if value is not None},
            principal=root_principal(ACCOUNT),
            access_key_id="AKIA",
            account_id=ACCOUNT,
            region=REGION,
            request_id=RequestId("0"),
            received_at_ms=NOW,
            base_url="http://127.0.0.1:1",
        )
        return (await self._handlers[operation](call)).output

    async def refusal(self, operation: str, **parameters: object) -> tuple[str, int, str]:
        with pytest.raises(ApiError) as refused:
            await self.call(operation, **parameters)
        return refused.value.code, refused.value.status, refused.value.message

    def write(self, stream: str, *events: tuple[int, str]) -> None:
        writer = self.store.logs.open_stream(GROUP, stream, now_ms=NOW)
        for at, message in events:
            writer.append(EpochMs(NOW + at), message)


@asynccontextmanager
async def client(data_dir: Path) -> AsyncIterator[Client]:
    async with await open_store(StoreOptions(data_dir=data_dir), SystemClock()) as store:
        yield Client(store)


def messages(output: Mapping[str, Any]) -> list[str]:
    return [event["message"] for event in output["events"]]


NO_GROUP = ("ResourceNotFoundException", 400, "The specified log group does not exist.")
NO_STREAM = ("ResourceNotFoundException", 400, "The specified log stream does not exist.")
BAD_TOKEN = ("InvalidParameterException", 400, "The specified nextToken is invalid.")


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


def marker_of_another_operation() -> str:
    return marker(log_events._Gap(EpochMs(1), 1))


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


# --- GetLogEvents


def test_a_stream_is_read_from_its_end_or_its_head(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            logs.write("s", *((n, str(n)) for n in range(10)))

            async def get(**parameters: object) -> Mapping[str, Any]:
                return await logs.call("GetLogEvents", logGroupName=NAME, logStreamName="s", **parameters)

            assert messages(await get()) == list("0123456789")
            assert messages(await get(limit=3)) == list("789")
            assert messages(await get(limit=3, startFromHead=True)) == list("012")
            window = {"startTime": NOW + 2, "endTime": NOW + 5}
            assert messages(await get(**window)) == list("234")
            assert messages(await get(**window, limit=2)) == list("34")
            [event] = (await get(limit=1))["events"]
            assert event == {"timestamp": NOW + 9, "message": "9", "ingestionTime": event["ingestionTime"]}

    asyncio.run(main())


def test_tokens_walk_both_ways_and_repeat_at_the_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            logs.write("s", *((0, str(n)) for n in range(6)))  # all in one millisecond

            async def get(**parameters: object) -> Mapping[str, Any]:
                return await logs.call("GetLogEvents", logGroupName=NAME, logStreamName="s", **parameters)

            first = await get(limit=2)
            assert messages(first) == list("45")
            second = await get(limit=2, nextToken=first["nextBackwardToken"])
            assert messages(second) == list("23")
            assert messages(await get(limit=9, nextToken=second["nextBackwardToken"])) == list("01")
            assert messages(await get(limit=9, nextToken=second["nextForwardToken"])) == list("45")
            back_again = await get(limit=1, nextToken=second["nextForwardToken"])
            assert messages(back_again) == ["4"]
            assert messages(await get(nextToken=back_again["nextBackwardToken"])) == list("0123")

            end = await get(nextToken=first["nextForwardToken"])
            assert messages(end) == []
            assert end["nextForwardToken"] == first["nextForwardToken"]
            assert messages(await get(limit=1, nextToken=end["nextBackwardToken"])) == ["5"]
            logs.write("s", (0, "6"))
            assert messages(await get(nextToken=end["nextForwardToken"])) == ["6"]

            head = await get(limit=1, startFromHead=True)
            before = await get(nextToken=head["nextBackwardToken"])
            assert messages(before) == []
            assert before["nextBackwardToken"] == head["nextBackwardToken"]
            assert messages(await get(limit=1, nextToken=before["nextForwardToken"])) == ["0"]

    asyncio.run(main())


def test_a_follower_of_an_empty_stream_sees_its_first_event(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            logs.write("s")
            named = {"logGroupName": NAME, "logStreamName": "s"}
            page = await logs.call("GetLogEvents", **named)
            assert page["events"] == []
            logs.write("s", (1, "first"))
            page = await logs.call("GetLogEvents", nextToken=page["nextForwardToken"], **named)
            assert messages(page) == ["first"]

    asyncio.run(main())


def test_a_line_stamped_before_what_a_follower_has_seen_is_not_passed_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            named = {"logGroupName": NAME, "logStreamName": "s"}
            logs.write("s", (5, "START"))
            page = await logs.call("GetLogEvents", **named)
            logs.write("s", (4, "from the runtime"))
            page = await logs.call("GetLogEvents", nextToken=page["nextForwardToken"], **named)
            assert messages(page) == ["from the runtime"]

    asyncio.run(main())


def test_bad_reads_of_a_stream_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            logs.write("s", (1, "x"))
            operation, named = "GetLogEvents", {"logGroupName": NAME, "logStreamName": "s"}
            assert await logs.refusal(operation, logGroupName="/other", logStreamName="s") == NO_GROUP
            assert await logs.refusal(operation, logGroupName=NAME, logStreamName="S") == NO_STREAM
            groups = marker_of_another_operation()
            for token in ("x", "f/", "f/x", "x/" + groups, groups, "b/" + groups + "x"):
                assert await logs.refusal(operation, nextToken=token, **named) == BAD_TOKEN

    asyncio.run(main())


def test_a_page_holds_at_most_a_mebibyte(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            logs.write("s", *((n, "x" * 200_000) for n in range(12)))
            named = {"logGroupName": NAME, "logStreamName": "s"}
            page = await logs.call("GetLogEvents", startFromHead=True, **named)
            assert len(page["events"]) == 5
            found = await logs.call("FilterLogEvents", logGroupName=NAME, filterPattern="x" * 200_000)
            assert len(found["events"]) == 5
            rest = await logs.call("FilterLogEvents", logGroupName=NAME, nextToken=found["nextToken"])
            assert [event["timestamp"] for event in rest["events"]] == [NOW + n for n in range(5, 10)]

    asyncio.run(main())


TIMES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=25)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TIMES, st.integers(1, 8), st.booleans())
def test_pages_of_any_size_give_each_event_once(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, int]], limit: int, from_head: bool
) -> None:
    async def main() -> None:
        async with client(tmp_path_factory.mktemp("store")) as logs:
            for name in "abc":
                logs.write(name)
            for number, (name, at) in enumerate(written):
                logs.write(name, (at, str(number)))
                if number % 5 == 0:
                    await logs.store.logs.flush()
            for name in "abc":
                expected = [str(n) for n, (stream, _) in enumerate(written) if stream == name]
                assert await walk(logs, name, limit, from_head) == expected
            found = await search(logs, limit, from_head)
            assert sorted(messages({"events": found}), key=int) == [str(n) for n in range(len(written))]
            times = [event["timestamp"] for event in found]
            assert times == sorted(times, reverse=not from_head)
            assert len({event["eventId"] for event in found}) == len(found)

    asyncio.run(main())


async def walk(logs: Client, stream: str, limit: int, from_head: bool) -> list[str]:
    """Every event of a stream, in order, by the tokens of one direction."""
    name = "nextForwardToken" if from_head else "nextBackwardToken"
    found: list[str] = []
    token = None
    while True:
        page = await logs.call(
            "GetLogEvents",
            logGroupName=NAME,
            logStreamName=stream,
            limit=limit,
            startFromHead=from_head,
            nextToken=token,
        )
        found = found + messages(page) if from_head else messages(page) + found
        if page[name] == token or (token is None and not page["events"]):
            return found
        token = page[name]


async def search(logs: Client, limit: int, from_head: bool, **more: object) -> list[Mapping[str, Any]]:
    """Every event that FilterLogEvents gives, page by page."""
    found: list[Mapping[str, Any]] = []
    token = None
    while True:
        page = await logs.call(
            "FilterLogEvents",
            logGroupName=NAME,
            limit=limit,
            startFromHead=from_head,
            nextToken=token,
            **more,
        )
        assert len(page["events"]) <= limit
        assert page["searchedLogStreams"] == []
        found += page["events"]
        if (token := page.get("nextToken")) is None:
            return found


# --- FilterLogEvents


def test_a_search_interleaves_streams_and_filters(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            logs.write("a1", (1, "ERROR one"), (3, "fine"), (5, "ERROR three"))
            logs.write("a2", (2, "ERROR two"), (4, "fine"))
            logs.write("b", (2, "ERROR b"))

            async def texts(**parameters: object) -> list[str]:
                return [event["message"] for event in await search(logs, 2, True, **parameters)]

            everything = ["ERROR one", "ERROR two", "ERROR b", "fine", "fine", "ERROR three"]
            assert await texts() == everything
            assert await texts(interleaved=False) == everything
            assert await texts(filterPattern="ERROR") == [
                "ERROR one",
                "ERROR two",
                "ERROR b",
                "ERROR three",
            ]
            assert await texts(filterPattern="ERROR -one", logStreamNamePrefix="a") == [
                "ERROR two",
                "ERROR three",
            ]
            assert await texts(logStreamNames=["a2", "b"]) == ["ERROR two", "ERROR b", "fine"]
            assert await texts(startTime=NOW + 2, endTime=NOW + 3) == ["ERROR two", "ERROR b", "fine"]
            assert await texts(logStreamNamePrefix="x") == []
            newest = await search(logs, 4, False, filterPattern="fine")
            assert [event["logStreamName"] for event in newest] == ["a2", "a1"]
            [event] = (await logs.call("FilterLogEvents", logGroupName=NAME, limit=1))["events"]
            assert event == {
                "logStreamName": "a1",
                "timestamp": NOW + 1,
                "message": "ERROR one",
                "ingestionTime": event["ingestionTime"],
                "eventId": event["eventId"],
            }
            assert len(event["eventId"]) == 56
            assert event["eventId"].isdigit()

    asyncio.run(main())


def test_a_rare_match_is_found_behind_many_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            logs.write("s", *((n // 10, "needle" if n % 9_000 == 8_999 else "hay") for n in range(27_000)))
            found = await search(logs, 2, True, filterPattern="needle")
            assert [event["timestamp"] for event in found] == [NOW + 899, NOW + 1799, NOW + 2699]

    asyncio.run(main())


def test_bad_searches_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as logs:
            operation = "FilterLogEvents"
            assert await logs.refusal(operation, logGroupName=NAME) == NO_GROUP
            logs.write("s", (1, "x"))
            assert await logs.refusal(operation, logGroupName=NAME, nextToken="x") == BAD_TOKEN
            named = {"logGroupName": NAME, "logStreamNames": ["s", "t"]}
            assert await logs.refusal(operation, **named) == NO_STREAM
            both = await logs.refusal(operation, logStreamNamePrefix="s", **named)
            assert both[0] == "InvalidParameterException"
            bad = await logs.refusal(operation, logGroupName=NAME, filterPattern="a-b")
            assert bad == ("InvalidParameterException", 400, "Invalid character(s) in term 'a-b'")

    asyncio.run(main())
