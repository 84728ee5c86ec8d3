"""What waits in memory for the disk: bounded in number and size, and written one flush at a time."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from squib.clock import SystemClock
from squib.model.log import LogGroupKey
from squib.model.units import AccountId, EpochMs, Region
from squib.store.log_flusher import Flush, Flusher
from squib.store.log_segments import Segments
from squib.store.log_streams import MAX_BUFFERED_CHARACTERS, OpenStream
from squib.store.logs import FileLogs

GROUP = LogGroupKey(AccountId("123456789012"), Region("us-east-1"), "g")


def test_a_stream_keeps_no_more_than_its_share_of_characters() -> None:
    marked: list[OpenStream] = []
    stream = OpenStream(GROUP, "s", EpochMs(0), marked.append)
    for _ in range(100):
        stream.append(EpochMs(1), "x" * (1 << 20))
    assert len(stream.events) == MAX_BUFFERED_CHARACTERS >> 20
    assert stream.dropped_count == 100 - len(stream.events)
    stream.events = []
    stream.append(EpochMs(2), "y")
    assert stream.events == [(2, "y")]
    assert marked == [stream, stream]


def test_while_a_flush_is_under_way_no_other_is_queued(tmp_path: Path) -> None:
    class SlowFlusher(Flusher):
        def flush(self, batch: Sequence[Flush]) -> None:
            flushed.append([part.events for part in batch])
            release.wait(10)

    flushed: list[Any] = []
    release = threading.Event()

    async def main() -> None:
        nothing: Any = None
        with ThreadPoolExecutor(1) as readers:
            logs = FileLogs(
                Segments(tmp_path, segment_bytes=1),
                writer=nothing,
                look=nothing,
                readers=readers,
                clock=SystemClock(),
                loop=asyncio.get_running_loop(),
                flush_interval_ms=60_000,  # only the ticks of this test
            )
            logs._flusher = SlowFlusher(nothing, nothing, nothing, SystemClock())
            stream = logs.open_stream(GROUP, "s", now_ms=EpochMs(0))
            logs._tick()
            stream.append(EpochMs(1), "a")
            logs._tick()
            stream.append(EpochMs(2), "b")
            logs._tick()
            assert stream.events == [(1, "a"), (2, "b")]
            release.set()
            await logs.flush()
            assert flushed == [[[]], [[(1, "a"), (2, "b")]]]
            await logs.close()

    asyncio.run(main())
