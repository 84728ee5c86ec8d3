"""CloudWatch Logs: reading and searching events: pages, tokens, order, errors."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs_harness import (
    BAD_TOKEN,
    NAME,
    NO_GROUP,
    NO_STREAM,
    NOW,
    Client,
    client,
    marker_of_another_operation,
    messages,
)

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
