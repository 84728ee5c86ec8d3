"""What squib asks of anything that can hold an execution environment: a sandbox, a process, a micro-VM.

The conversation with the runtime is HTTP connections, log bytes, and an end. A driver on this kernel
brings accepted sockets; a micro-VM driver brings streams multiplexed by its guest agent: neither shows.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from squib.model.errors import PlatformError
from squib.model.units import ArchiveDigest, EnvironmentId


class RuntimeUnavailable(PlatformError):
    """This machine cannot run the runtime. The message is for the function's owner: what to install."""


class TemplateLost(PlatformError):
    """A template can't be cloned any more: its process is gone. The next one has to be made anew."""


NO_CLONES: Final = (
    "environments can be cloned with --isolation sandbox only, on a machine where squib has root and cgroups"
)
"""Said where the driver makes no clones."""

NO_EXTENSIONS: Final = (
    "a layer of this function brings external extensions, which are started with --isolation sandbox only"
)
"""Said where the driver does not start them."""


class LogSource(StrEnum):
    """Which pipe log bytes came from."""

    OUTPUT = "output"  # stdout and stderr: lines end at a newline
    TELEMETRY = "telemetry"  # the runtime's framed log records
    EXTENSION = "extension"  # stdout and stderr of extensions


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
    wrapper: str | None = None
    """AWS_LAMBDA_EXEC_WRAPPER: a program inside that is given the runtime's command and runs it."""
    extensions: tuple[str, ...] = ()
    """Files in /opt/extensions to start before the runtime, which then waits for `begin_runtime`."""
    extension_variables: Mapping[str, str] = {}
    is_traced: bool = False
    """`Sandbox.trace_socket` will be asked for."""
    is_template: bool = False
    """The runtime stops where its snapshot would be taken; it is then cloned, and never invoked."""


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
    on_extension_end: Callable[[int, End], None] = lambda index, end: None
    """The same for the extension of that index; not for those that `kill` or `restart` ended."""
    on_snapshot: Callable[[str | None], None] = lambda refusal: None
    """Of templates, at most once for each: it can be cloned from now on; or a text for the function's owner
    that says why it never can be."""


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

    def begin_runtime(self) -> None:
        """Starts the runtime, where there are extensions; after `create` and `restart`, once."""

    def terminate_runtime(self) -> None:
        """SIGTERM for the runtime's own process, if it runs."""

    def kill_runtime(self) -> None:
        """SIGKILL for the runtime's own process, if it runs; extensions stay. The end is delivered."""

    async def open_socket(self) -> socket.socket:
        """A TCP socket, not connected and not blocking, in the sandbox's own network. Raises OSError."""

    async def trace_socket(self) -> socket.socket:
        """A UDP socket, not blocking, that gets what is sent to AWS_XRAY_DAEMON_ADDRESS inside; once. Raises
        OSError."""

    async def restart(self) -> None:
        """Kills every process in it, delivers the runtime's end, and starts extensions or the runtime anew;
        /tmp is kept."""

    async def kill(self) -> None:
        """Kills every process in it and delivers the end; the sandbox stays, with /tmp, until `destroy`."""

    async def destroy(self) -> None:
        """Ends everything and gives all resources back. No on_end afterwards. Idempotent."""


class SandboxDriver(Protocol):
    """Makes sandboxes."""

    name: str
    starts_extensions: bool
    """`SandboxSpec.extensions` may be given."""

    @property
    def clones(self) -> bool:
        """`SandboxSpec.is_template` may be set, and templates be cloned."""

    async def create(self, spec: SandboxSpec, wiring: Wiring) -> Sandbox:
        """Starts an environment; returns when its runtime process has been started, not when it is ready.

        Raises PlatformError when the machine cannot."""

    async def clone(self, template: Sandbox, environment_id: EnvironmentId, wiring: Wiring) -> Sandbox:
        """An environment that goes on from a template's snapshot; returns when its runtime goes on. It has
        the template's limits and variables, what initialization wrote to /tmp, and a network of its own. It
        can't `restart`: what it needs instead is another clone.

        Raises TemplateLost when no clone can be made of this template any more, else PlatformError."""

    async def prepare(self, runtime: str) -> None:
        """Makes the next `create` of this runtime fast. Raises RuntimeUnavailable."""

    def memory_bytes(self) -> int | None:
        """What all sandboxes together hold now, page cache and what they share with fork servers not counted;
        None where that can't be told."""

    async def close(self) -> None:
        """Destroys every sandbox and ends the driver's own processes."""
