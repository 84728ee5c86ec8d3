"""SIGKILL at any moment: what was acknowledged is there afterwards, and what was half done does no harm."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from squib.clock import SystemClock
from squib.model.function import FunctionKey
from squib.model.log import LogGroupKey
from squib.model.units import AccountId, ArchiveDigest, Region
from squib.store.sqlite import SqliteStore, StoreOptions, open_store

CHILD = Path(__file__).with_name("crashing_store.py")
ACCOUNT = AccountId("000000000000")
REGION = Region("us-east-1")
GROUP = LogGroupKey(ACCOUNT, REGION, "/aws/lambda/f")
KILLED_AFTER_LINES = (1, 2, 5, 13, 40, 90, 150, 260)


def run_and_kill(data_dir: Path, number: int, line_count: int) -> list[str]:
    """Everything that the child acknowledged before it was killed."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(data_dir), str(number)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        lines = [child.stdout.readline() for _ in range(line_count)]
        child.kill()
        lines += child.stdout.readlines()
    assert child.wait(10) == -9
    assert all(lines)
    return [line.strip() for line in lines if line.endswith("\n")]


async def check(store: SqliteStore, number: int, acknowledged: list[str]) -> None:
    logged = 0
    for line in acknowledged:
        match line.split():
            case ["function", name]:
                assert store.functions.peek(FunctionKey(ACCOUNT, REGION, name)) is not None
            case ["blob", digest]:
                await store.blobs.read(ArchiveDigest(digest))
            case ["logged", count]:
                logged = int(count)
            case _:
                raise AssertionError(line)
    name = f"stream {number}"
    events = await store.logs.events(GROUP, [name])
    assert len(events) >= logged
    assert [event.message for event in events] == [f"event {n}" for n in range(len(events))]
    if events:
        [stream] = await store.logs.streams(GROUP, prefix=name)
        assert stream.first_event_at_ms == events[0].timestamp_ms
        assert stream.last_event_at_ms == events[-1].timestamp_ms
        assert stream.last_ingestion_at_ms == events[-1].ingestion_ms


@pytest.mark.slow
def test_no_acknowledged_write_is_lost_by_sigkill(tmp_path: Path) -> None:
    async def reopen() -> None:
        async with await open_store(StoreOptions(data_dir=tmp_path), SystemClock()) as store:
            for number, acknowledged in enumerate(rounds):
                await check(store, number, acknowledged)

    rounds: list[list[str]] = []
    for number, line_count in enumerate(KILLED_AFTER_LINES):
        rounds.append(run_and_kill(tmp_path, number, line_count))
        if number % 2:  # otherwise the next child is the first to mend what this one left
            asyncio.run(reopen())
    assert sum(map(len, rounds)) >= sum(KILLED_AFTER_LINES)
    assert any(line.startswith("logged") for lines in rounds for line in lines)
