"""Traces on disk: put together by id, bounded in size and age, still there after the next start."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness.environments import ACCOUNT, REGION, START_MS
from squib.model.segment import MAX_TRACE_BYTES, Segment
from squib.model.units import EpochMs, MonotonicMs, Region
from squib.store.traces import MAX_WAITING_BYTES, StoredTrace, TraceOptions, TraceRange, Traces

START_S = START_MS // 1000
DAY_MS = 86_400_000
DEFAULTS = TraceOptions()


class SetClock:
    def __init__(self) -> None:
        self.at_ms = START_MS

    def now_ms(self) -> EpochMs:
        return EpochMs(self.at_ms)

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(self.at_ms)


@contextmanager
def opened(path: Path, clock: SetClock, options: TraceOptions = DEFAULTS) -> Iterator[Traces]:
    with ThreadPoolExecutor(1) as thread, ThreadPoolExecutor(1) as readers:
        traces = Traces(
            path,
            thread=thread,
            readers=readers,
            clock=clock,
            loop=asyncio.get_running_loop(),
            flush_interval_ms=60_000,
            options=options,
        )
        yield traces
        traces.stop()
    traces.close()


def trace_id(number: int, at_s: int = START_S) -> str:
    return f"1-{at_s:08x}-{number:024x}"


def segment(number: int, segment_id: str = "a" * 16, document: bytes = b"{}", start_ms: int = 0) -> Segment:
    return Segment(
        trace_id=trace_id(number),
        segment_id=segment_id,
        start_ms=start_ms,
        end_ms=start_ms,
        document=document,
    )


async def read(traces: Traces, *numbers: int) -> list[StoredTrace]:
    ids = [trace_id(number) for number in numbers]
    return list(await traces.get(ACCOUNT, REGION, ids, lambda stored: stored))


def test_segments_of_a_trace_come_together_in_order_and_outlive_the_process(tmp_path: Path) -> None:
    async def play() -> None:
        clock = SetClock()
        with opened(tmp_path / "traces.db", clock) as traces:
            traces.put(ACCOUNT, REGION, segment(1, "b" * 16, b"later", 20))
            traces.put(ACCOUNT, REGION, segment(1, "a" * 16, b"first", 10))
            traces.put(ACCOUNT, REGION, segment(2, "a" * 16, b"other"))
            traces.put(ACCOUNT, REGION, segment(1, "b" * 16, b"again", 20))
            assert await traces.get(ACCOUNT, Region("eu-west-9"), [trace_id(1)], lambda one: one) == []
        with opened(tmp_path / "traces.db", clock) as traces:
            (found,) = await read(traces, 1, 9)
            assert found.documents == (b"first", b"again")
            assert (found.made_at_s, found.revision, found.is_cut) == (START_S, 3, False)

    asyncio.run(play())


def test_traces_of_a_range_are_read_page_by_page(tmp_path: Path) -> None:
    async def play() -> None:
        with opened(tmp_path / "traces.db", SetClock()) as traces:
            for number in range(5):
                traces.put(ACCOUNT, REGION, segment(number))
            for by_event in (False, True):
                wanted = TraceRange(ACCOUNT, REGION, START_S, START_S, by_event)
                seen = []
                while found := await traces.between(wanted, limit=2, digest=lambda stored: stored):
                    seen += [one.trace_id for one in found]
                    after = found[-1].updated_at_ms if by_event else found[-1].made_at_s
                    wanted = wanted._replace(after=after, after_id=seen[-1])
                assert seen == [trace_id(number) for number in range(5)]
                before = TraceRange(ACCOUNT, REGION, 0, START_S - 1, by_event)
                assert await traces.between(before, limit=2, digest=lambda stored: stored) == []

    asyncio.run(play())


def test_trace_is_no_larger_than_it_may_be(tmp_path: Path) -> None:
    async def play() -> None:
        with opened(tmp_path / "traces.db", SetClock()) as traces:
            for number in range(12):
                traces.put(ACCOUNT, REGION, segment(1, f"{number:016x}", b"x" * 60_000, number))
            (found,) = await read(traces, 1)
            assert found.is_cut
            assert len(found.documents) == MAX_TRACE_BYTES // 60_000

    asyncio.run(play())


def test_oldest_traces_make_room_and_old_ones_go(tmp_path: Path) -> None:
    async def play() -> None:
        clock = SetClock()
        options = TraceOptions(kept_days=30, max_bytes=250)
        with opened(tmp_path / "traces.db", clock, options) as traces:
            for number in range(4):
                traces.put(ACCOUNT, REGION, segment(number, document=b"x" * 100))
                clock.at_ms += 1
            assert [one.trace_id for one in await read(traces, 0, 1, 2, 3)] == [trace_id(2), trace_id(3)]
        with opened(tmp_path / "traces.db", clock, options) as traces:
            clock.at_ms += 30 * DAY_MS + 1
            traces.put(ACCOUNT, REGION, segment(5))
            assert [one.trace_id for one in await read(traces, 2, 3, 5)] == [trace_id(5)]

    asyncio.run(play())


def test_what_waits_in_memory_is_bounded(tmp_path: Path) -> None:
    async def play() -> None:
        with opened(tmp_path / "traces.db", SetClock()) as traces:
            large = b"x" * (MAX_WAITING_BYTES // 4)
            taken = [traces.put(ACCOUNT, REGION, segment(number, document=large)) for number in range(5)]
            assert taken == [True, True, True, True, False]
            assert traces.dropped_count == 1
            await read(traces, 1)
            assert traces.put(ACCOUNT, REGION, segment(9))

    asyncio.run(play())
