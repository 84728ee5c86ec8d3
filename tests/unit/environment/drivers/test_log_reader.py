"""The daemon's end of a sandbox's log pipes, against a function that writes as fast as it is read."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from squib.environment.driver import LogSource
from squib.environment.drivers.log_pipes import MAX_PIPE_BYTES, PIPE_BYTES, READ_BYTES
from squib.environment.drivers.log_reader import LogReader


@contextmanager
def reader(on_log: Callable[[LogSource, bytes], None]) -> Iterator[tuple[LogReader, int]]:
    """A reader, and the end of its output pipe that the function has."""
    made = LogReader()
    output = made.open(LogSource.OUTPUT)
    made.listen(on_log)
    try:
        yield made, output
    finally:
        made.close()
        os.close(output)


def test_draining_ends_although_the_function_goes_on_writing() -> None:
    async def main() -> None:
        taken = 0

        def refill(source: LogSource, data: bytes) -> None:
            nonlocal taken
            taken += len(data)
            assert taken < 10 * MAX_PIPE_BYTES, "draining does not end"
            os.write(output, data)

        with reader(refill) as (made, output):
            os.write(output, b"x" * READ_BYTES)
            made.drain()
            assert taken == PIPE_BYTES
            made.drain_all()
            assert taken == PIPE_BYTES + MAX_PIPE_BYTES

    asyncio.run(main())


def test_a_flood_is_read_to_its_end_with_pauses() -> None:
    async def main() -> None:
        whole = bytes(range(256)) * 1024
        got = b""
        ended = asyncio.Event()

        def take(source: LogSource, data: bytes) -> None:
            nonlocal got
            got += data
            if len(got) < len(whole):
                os.write(output, whole[len(got) : len(got) + READ_BYTES])
            else:
                ended.set()

        with reader(take) as (_, output):
            os.write(output, whole[:READ_BYTES])
            async with asyncio.timeout(10):
                await ended.wait()
        assert got == whole

    asyncio.run(main())
