"""What squib asks of anything that can hold an execution environment: a sandbox, a process, a micro-VM.

The conversation with the runtime is HTTP connections, log bytes, and an end. A driver on this kernel
brings accepted sockets; a micro-VM driver brings streams multiplexed by its guest agent: neither shows.
"""

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from squib.model.errors import PlatformError
from squib.model.units import ArchiveDigest, EnvironmentId


class RuntimeUnavailable(PlatformError):
    """This machine cannot run the runtime. The message is for the function's owner: what to install."""


class LogSource(StrEnum):
    """Which pipe log bytes came from."""

    OUTPUT = "output"  # stdout and stderr: lines end at a newline
    TELEMETRY = "telemetry"  # the runtime's framed log records


class EndCause(StrEnum):
    """Why the runtime's process ended."""

    EXITED = "exited"  # by itself, with `status` as exit code
    SIGNALED = "signaled"  # by signal `status`
    OUT_OF_MEMORY = "out-of-memory"  # killed for passing its memory limit
    NOT_STARTED = "not-started"  # its program could not be executed: `status` is the errno
    LOST = "lost"  # the sandbox itself is gone


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How the runtime ended."""

    cause: EndCause
    status: int = 0


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What one environment needs. Strings that clients wrote are only in `variables` and `handler`."""

    environment_id: EnvironmentId
    runtime: str
    code: ArchiveDigest
    """Names the unpacked directory in the code cache."""
    opt: ArchiveDigest | None = None
    """Names the directory there that shows at /opt: the function's layers. None: it has none."""
    handler: str
    variables: Mapping[str, str]
    memory_mib: int
    ephemeral_mib: int
    cpu_ratio: float | None = None
    """Cores as a hard quota; None means a weight by memory and no quota."""


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sandbox delivers what comes out of it. All are called on the event loop."""

    runtime_api: Callable[[], asyncio.Protocol]
    """Makes the protocol for one connection to the Runtime API."""
    endpoint: Callable[[], asyncio.Protocol]
    """Makes the protocol for one connection to squib's own API."""
    on_start: Callable[[], None]
    """Called when the first runtime is told to start; `restart` has no need of it."""
    on_log: Callable[[LogSource, bytes], None]
    on_end: Callable[[End], None]
    """Called once for each start of the runtime, after the last on_log of that runtime."""


class Sandbox(Protocol):
    """One live sandbox. Methods without `async` never block."""

    def freeze(self) -> None:
        """Stops every process; idempotent."""

    def thaw(self) -> None:
        """Undoes `freeze`; idempotent."""

    def drain_logs(self) -> None:
        """Delivers to on_log what the runtime has written up to now."""

    def memory_peak_bytes(self) -> int:
        """The most memory the environment has used so far, shared pages included."""

    async def restart(self) -> None:
        """Kills every process in it, delivers the end, and starts the runtime anew; /tmp is kept."""

    async def kill(self) -> None:
        """Kills every process in it and delivers the end; the sandbox stays, with /tmp, until `destroy`."""

    async def destroy(self) -> None:
        """Ends everything and gives all resources back. No on_end afterwards. Idempotent."""


class SandboxDriver(Protocol):
    """Makes sandboxes."""

    name: str

    async def create(self, spec: SandboxSpec, wiring: Wiring) -> Sandbox:
        """Starts an environment; returns when its runtime process has been started, not when it is ready.

        Raises PlatformError when the machine cannot."""

    async def prepare(self, runtime: str) -> None:
        """Makes the next `create` of this runtime fast. Raises RuntimeUnavailable."""

    async def close(self) -> None:
        """Destroys every sandbox and ends the driver's own processes."""
