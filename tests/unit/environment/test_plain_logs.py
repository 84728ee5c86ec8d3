"""The plain driver's end of a log pipe, against a function that writes as fast as it is read."""

import asyncio
import os
from pathlib import Path
from typing import Any

from squib.environment.driver import LogSource, SandboxSpec, Wiring
from squib.environment.drivers.log_pipes import PIPE_BYTES, READ_BYTES
from squib.environment.drivers.plain import PlainSandbox
from squib.model.units import ArchiveDigest, EnvironmentId

SPEC = SandboxSpec(
    environment_id=EnvironmentId("0" * 32),
    runtime="python3.12",
    memory_mib=128,
    ephemeral_mib=512,
    code=ArchiveDigest("00" * 32),
    handler="f.h",
    variables={},
)


def test_draining_ends_although_the_function_goes_on_writing(tmp_path: Path) -> None:
    async def main() -> None:
        taken = 0

        def refill(source: LogSource, data: bytes) -> None:
            nonlocal taken
            assert source is LogSource.OUTPUT
            taken += len(data)
            assert taken < 10 * PIPE_BYTES, "draining does not end"
            os.write(output, data)

        wiring = Wiring(
            runtime_api=asyncio.Protocol,
            endpoint=asyncio.Protocol,
            on_log=refill,
            on_start=lambda: None,
            on_end=lambda end: None,
        )
        nothing: Any = None
        sandbox = PlainSandbox(nothing, SPEC, wiring, nothing, tmp_path, None, tmp_path)
        sandbox._output, output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(sandbox._output, False)
        sandbox._pipes.add(sandbox._output, LogSource.OUTPUT)
        os.write(output, b"x" * READ_BYTES)
        sandbox.drain_logs()
        assert taken == PIPE_BYTES
        os.close(output)
        sandbox._close_fds()

    asyncio.run(main())
