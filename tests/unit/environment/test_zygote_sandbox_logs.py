"""The daemon's end of a sandbox's log pipes, against a function that writes as fast as it is read."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from squib.environment.driver import LogSource, Wiring
from squib.environment.fork_server import ReadySlot
from squib.environment.log_pipes import MAX_PIPE_BYTES, PIPE_BYTES, READ_BYTES
from squib.environment.zygote_sandbox import ZygoteSandbox


class Driver:
    """What a sandbox asks of its driver, doing nothing."""

    cgroups = None
    cpu_quota = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@contextmanager
def sandbox(on_log: Callable[[LogSource, bytes], None]) -> Iterator[tuple[Any, int]]:
    """A sandbox without processes, and the end of its output pipe that the function has."""
    slot = ReadySlot(0, socket.socket(), socket.socket(), -1)
    made: Any = ZygoteSandbox(Driver(), "python3.12", slot)  # type: ignore[arg-type]  # takes any call
    made._wiring = Wiring(
        runtime_api=asyncio.Protocol,
        endpoint=asyncio.Protocol,
        on_log=on_log,
        on_start=lambda: None,
        on_end=lambda end: None,
    )
    try:
        yield made, made._init_output
    finally:
        made.give_up()


def test_draining_ends_although_the_function_goes_on_writing() -> None:
    async def main() -> None:
        taken = 0

        def refill(source: LogSource, data: bytes) -> None:
            nonlocal taken
            taken += len(data)
            assert taken < 10 * MAX_PIPE_BYTES, "draining does not end"
            os.write(output, data)

        with sandbox(refill) as (made, output):
            os.write(output, b"x" * READ_BYTES)
            made.drain_logs()
            assert taken == PIPE_BYTES
            made._drain(MAX_PIPE_BYTES)
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

        with sandbox(take) as (made, output):
            os.write(output, whole[:READ_BYTES])
            loop = asyncio.get_running_loop()
            loop.add_reader(made._output, made._read, made._output, LogSource.OUTPUT)
            async with asyncio.timeout(10):
                await ended.wait()
        assert got == whole

    asyncio.run(main())
