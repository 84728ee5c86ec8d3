"""Usage on disk: added up, read by range, kept for as long as said, still there when the disk was full."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness.environments import ACCOUNT, REGION, START_MS, function
from squib.model.invocation import Invocation
from squib.model.units import EpochMs, MonotonicMs, Region, RequestId
from squib.model.usage import HOUR_S, MINUTE_S
from squib.store.usage import KEPT_S, Range, Usage

START_S = START_MS // 1000
ALL = Range(ACCOUNT, MINUTE_S, 0, 1 << 40)


class SetClock:
    def __init__(self) -> None:
        self.at_ms = START_MS

    def now_ms(self) -> EpochMs:
        return EpochMs(self.at_ms)

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(self.at_ms)


@contextmanager
def opened(path: Path, clock: SetClock) -> Iterator[Usage]:
    with ThreadPoolExecutor(1) as thread, ThreadPoolExecutor(1) as readers:
        usage = Usage(
            path,
            thread=thread,
            readers=readers,
            clock=clock,
            loop=asyncio.get_running_loop(),
            flush_interval_ms=60_000,
        )
        yield usage
        usage.flush()
    usage.close()


def count(usage: Usage, at_ms: int = START_MS) -> None:
    called = function()
    one = Invocation(
        request_id=RequestId("r"),
        function=called,
        invoked_arn=called.key.arn(),
        payload=b"",
        trace_id="",
        received_at_ms=EpochMs(at_ms),
    )
    usage.meter.invoked(one, duration_ms=1.5, init_ms=None, billed_ms=2, is_error=False)


def test_counts_of_several_flushes_and_processes_add_up(tmp_path: Path) -> None:
    async def story() -> None:
        with opened(tmp_path / "usage.db", SetClock()) as usage:
            count(usage)
            assert [span.tally.invocations for span in await usage.read(ALL)] == [1]
            count(usage)
            count(usage, START_MS + 60_000)
        with opened(tmp_path / "usage.db", SetClock()) as usage:
            count(usage)
            minutes = await usage.read(ALL)
            assert [span.tally.invocations for span in minutes] == [3, 1]
            (hour,) = await usage.read(ALL._replace(span_s=HOUR_S))
            assert (hour.start_s, hour.tally.billed_ms) == (START_S // HOUR_S * HOUR_S, 8)

    asyncio.run(story())


def test_a_range_takes_its_account_region_function_and_time(tmp_path: Path) -> None:
    async def story() -> None:
        with opened(tmp_path / "usage.db", SetClock()) as usage:
            count(usage)
            minute_s = START_S // MINUTE_S * MINUTE_S
            for found, wanted in (
                (1, ALL._replace(region=REGION, function="f")),
                (1, ALL._replace(from_s=minute_s, to_s=minute_s + 1)),
                (0, ALL._replace(to_s=minute_s)),
                (0, ALL._replace(function="g")),
                (0, ALL._replace(region=Region("eu-west-1"))),
                (0, ALL._replace(account_id="111111111111")),
            ):
                assert len(await usage.read(wanted)) == found

    asyncio.run(story())


def test_minutes_go_before_hours_do(tmp_path: Path) -> None:
    async def story() -> None:
        clock = SetClock()
        with opened(tmp_path / "usage.db", clock) as usage:
            count(usage)
            clock.at_ms += (KEPT_S[MINUTE_S] + 60) * 1000
            count(usage, clock.at_ms)
            assert len(await usage.read(ALL)) == 1
            assert len(await usage.read(ALL._replace(span_s=HOUR_S))) == 2

    asyncio.run(story())


def test_what_the_disk_refuses_is_written_with_what_comes_next(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "usage.db"
        with opened(path, SetClock()) as usage:
            other = sqlite3.connect(path)
            other.execute("CREATE TRIGGER full BEFORE INSERT ON usage BEGIN SELECT RAISE(FAIL, 'full'); END")
            count(usage)
            assert await usage.read(ALL) == []
            other.execute("DROP TRIGGER full")
            other.close()
            count(usage)
            assert [span.tally.invocations for span in await usage.read(ALL)] == [2]

    asyncio.run(story())
