"""SIGKILL at any moment: no message that was acknowledged is lost, none that was deleted comes back, what was
in flight stays hidden, and receives stay counted."""

import asyncio
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from conformance.crashing_queues import DEAD, FIFO, STANDARD, VISIBILITY_S
from squib.clock import SystemClock
from squib.model.queue import ReceivedMessage
from squib.model.units import EpochMs
from squib.store.sqlite import StoreOptions, open_store

CHILD = Path(__file__).with_name("crashing_queues.py")
TESTS = CHILD.parents[1]
KILLED_AFTER_LINES = (1, 7, 40, 150, 400, 900)


class LaterClock(SystemClock):
    """The system's clock, put forward."""

    def __init__(self, ahead_s: int) -> None:
        self._ahead_ms = ahead_s * 1000

    def now_ms(self) -> EpochMs:
        return EpochMs(super().now_ms() + self._ahead_ms)


def run_and_kill(data_dir: Path, number: int, line_count: int) -> list[list[str]]:
    """Every line that the child wrote before it was killed, in words."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(data_dir), str(number)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert child.stdout is not None
    with child.stdout:
        lines = [child.stdout.readline() for _ in range(line_count)]
        child.kill()
        lines += child.stdout.readlines()
    assert child.wait(10) == -9
    assert all(lines)
    return [line.split() for line in lines if line.endswith("\n")]


async def drain(data_dir: Path, ahead_s: int) -> list[ReceivedMessage]:
    """Receives and deletes all that can be received of the three queues."""
    options = StoreOptions(data_dir=data_dir)
    found: list[ReceivedMessage] = []
    async with await open_store(options, LaterClock(ahead_s)) as store:
        for key in (STANDARD, FIFO, DEAD):
            while some := await store.queues.receive(key, max_count=100):
                found += some
                await store.queues.delete(key, [one.receipt_handle for one in some])
    return found


@pytest.mark.slow
def test_queues_outlive_sigkill(tmp_path: Path) -> None:
    sent: set[str] = set()
    deleting: set[str] = set()
    deleted: set[str] = set()
    counts: dict[str, int] = defaultdict(int)
    hidden: set[str] = set()
    for number, line_count in enumerate(KILLED_AFTER_LINES):
        for what, queue, name, *count in run_and_kill(tmp_path, number, line_count):
            name = f"{queue} {name}"
            match what:
                case "sent":
                    assert name not in sent, "a message id came twice"
                    sent.add(name)
                case "received":
                    assert name not in hidden, "a message came back before its visibility ended"
                    assert name not in deleted
                    counts[name] = max(counts[name], int(count[0]))
                    hidden.add(name)
                case "deleting":
                    deleting.add(name)
                    hidden.discard(name)
                case "deleted":
                    deleted.add(name)
    assert len(sent) > 300 and len(deleted) > 30 and len(hidden) > 30
    now = asyncio.run(drain(tmp_path, 0))
    in_order(now)
    assert hidden.isdisjoint(map(named, now))
    later = asyncio.run(drain(tmp_path, VISIBILITY_S + 60))
    in_order(later)
    found = {named(one): one for one in (*now, *later)}
    assert len(found) == len(now) + len(later)
    assert sent - deleting <= found.keys()
    assert deleted.isdisjoint(found.keys())
    for name, one in found.items():
        assert one.receive_count > counts[name]


def named(message: ReceivedMessage) -> str:
    """A message of the dead-letter queue goes by the queue that it comes from."""
    queue = FIFO if message.group_id else STANDARD
    return f"{queue.name} {message.message_id}"


def in_order(messages: list[ReceivedMessage]) -> None:
    """The bodies of each group count up."""
    groups: dict[str, list[str]] = defaultdict(list)
    for message in messages:
        if message.group_id:
            groups[message.group_id].append(message.body[:30])
    assert groups or messages
    for bodies in groups.values():
        assert bodies == sorted(bodies)
