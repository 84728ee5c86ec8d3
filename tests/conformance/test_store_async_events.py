"""Events of asynchronous invocations in a store: what is acknowledged is there when it is opened again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from squib.clock import SystemClock
from squib.model.async_event import (
    AcceptedEvent,
    Condition,
    Ending,
    Progress,
    StoredEvent,
    Target,
    TargetKind,
    WaitingEvent,
)
from squib.model.function import FunctionKey
from squib.model.units import AccountId, EpochMs, Region, RequestId
from squib.store.async_events import REMOVAL_DELAY_S
from squib.store.base import AsyncEvents, Store
from squib.store.sqlite import StoreOptions, open_store

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]
KEY = FunctionKey(AccountId("000000000000"), Region("us-east-1"), "f")
EVENT = AcceptedEvent(RequestId("r-1"), KEY, "live", EpochMs(5), "Root=1-0-0", '{"a":1}')
ENDING = Ending(
    Condition.RETRIES_EXHAUSTED,
    EpochMs(9),
    "arn:role",
    (Target(TargetKind.DEAD_LETTER, "arn:q"), Target(TargetKind.DESTINATION, "arn:t")),
    200,
    "$LATEST",
    "Unhandled",
    b'{"errorMessage": "no"}',
    "no",
)


def sqlite(data_dir: Path) -> Open:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        async with await open_store(StoreOptions(data_dir=data_dir / "data"), SystemClock()) as store:
            yield store

    return opened


@pytest.fixture(params=[sqlite])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store each time it is called."""
    opened: Open = request.param(tmp_path)
    return opened


def run(story: Coroutine[object, object, None]) -> None:
    asyncio.run(story)


async def accept(events: AsyncEvents, *payloads: bytes) -> list[int]:
    """Accepts events together; gives their keys."""
    keys: list[int] = []
    futures = [events.add(EVENT, payload, keys.append) for payload in payloads]
    assert len(set(map(id, futures))) == 1, "they share one commit"
    assert keys == []
    await futures[0]
    return keys


def test_accepted_events_are_there_in_their_order(opening: Open) -> None:
    async def story() -> None:
        async with opening() as store:
            keys = await accept(store.async_events, b"1", b"2", b"3")
            assert keys == sorted(keys)
            assert store.async_events.kept(keys[1]) == (EVENT, b"2")
        async with opening() as store:
            events = store.async_events
            assert await events.waiting() == [
                WaitingEvent(key, KEY, EpochMs(5), EpochMs(0), Progress(), False) for key in keys
            ]
            assert events.kept(keys[1]) is None
            assert await events.read(keys[1]) == StoredEvent(EVENT, b"2", None)
            [another] = await accept(events, b"4")
            assert another > keys[-1]

    run(story())


def test_progress_and_endings_are_kept(opening: Open) -> None:
    async def story() -> None:
        said: list[str] = []
        async with opening() as store:
            events = store.async_events
            retried, ended = await accept(events, b"1", b"2")
            for due_at_ms, progress in ((70, Progress(1, 1)), (90, Progress(2, 2, 5))):
                await events.put_progress(
                    retried, EpochMs(due_at_ms), progress, lambda: said.append("retried")
                )
            await events.put_ending(ended, EpochMs(9), Progress(3, 3), ENDING, lambda: said.append("ended"))
            await events.put_progress(ended, EpochMs(99), Progress(3, 3, 1), lambda: said.append("again"))
            await asyncio.sleep(0)
        assert said == ["retried", "retried", "ended", "again"]
        async with opening() as store:
            events = store.async_events
            assert await events.waiting() == [
                WaitingEvent(retried, KEY, EpochMs(5), EpochMs(90), Progress(2, 2, 5), False),
                WaitingEvent(ended, KEY, EpochMs(5), EpochMs(99), Progress(3, 3, 1), True),
            ]
            assert await events.read(ended) == StoredEvent(EVENT, b"2", ENDING)

    run(story())


def test_what_is_only_to_be_told_is_never_there_without_its_ending(opening: Open) -> None:
    async def story() -> None:
        keys: list[int] = []
        async with opening() as store:
            await store.async_events.add_ended(EVENT, b"1", ENDING, keys.append)
        async with opening() as store:
            events = store.async_events
            assert await events.waiting() == [
                WaitingEvent(keys[0], KEY, EpochMs(5), ENDING.ended_at_ms, Progress(), True)
            ]
            assert await events.read(keys[0]) == StoredEvent(EVENT, b"1", ENDING)

    run(story())


def test_removed_events_are_gone_with_all_that_was_written(opening: Open) -> None:
    async def story() -> None:
        async with opening() as store:
            events = store.async_events
            first, second, third = await accept(events, b"1", b"2", b"3")
            await events.put_progress(first, EpochMs(1), Progress(1, 1), lambda: None)
            events.remove(first)
            events.remove(second)
            assert events.kept(second) is None
            await asyncio.sleep(2 * REMOVAL_DELAY_S)
            events.remove(third)  # what waits to be removed is, when the store closes
        async with opening() as store:
            assert await store.async_events.waiting() == []
            assert await store.async_events.read(first) is None

    run(story())


def test_payloads_in_memory_are_bounded(opening: Open) -> None:
    async def story() -> None:
        async with opening() as store:
            events = store.async_events
            keys = [key for _ in range(2) for key in await accept(events, *[b"x" * (1 << 20)] * 20)]
            kept = [key for key in keys if events.kept(key) is not None]
            assert kept == keys[:32]
            events.forget(keys[0])
            [more] = await accept(events, b"y" * (1 << 20))
            assert events.kept(more) is not None
            stored = await events.read(keys[-1])
            assert stored is not None and len(stored.payload) == 1 << 20

    run(story())
