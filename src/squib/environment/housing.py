"""The sandbox of one environment: whether it is there, frozen, and what is asked of it, in order.

What is asked goes through one queue, so that a restart follows the kill before it. All on the event loop.
"""

import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

from squib.environment.driver import Sandbox
from squib.environment.operations import Operations
from squib.environment.tracing.trace_daemon import TraceDaemon
from squib.model.errors import PlatformError, SquibError
from squib.model.units import EnvironmentId

_log: Final = logging.getLogger("squib.environment")


class Housing:
    """Empty until `sandbox` is set; questions are answered then too."""

    def __init__(
        self,
        environment_id: EnvironmentId,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        on_failure: Callable[[SquibError], None],
    ) -> None:
        """`on_failure` is told that an operation could not be carried out."""
        self._environment_id, self._on_failure = environment_id, on_failure
        self.sandbox: Sandbox | None = None
        self._trace_daemon: TraceDaemon | None = None
        self.is_frozen = False
        """Its processes do not run."""
        self._operations = Operations(spawn, self._failed)
        self.add = self._operations.add

    def _failed(self, error: Exception) -> None:
        _log.error("environment_failed environment_id=%s", self._environment_id, exc_info=error)
        if not isinstance(error, SquibError):
            error = PlatformError(f"an execution environment failed: {type(error).__name__}")
        self._on_failure(error)

    def freeze(self) -> None:
        """Stops what runs in it. Only when it is there."""
        assert self.sandbox is not None, "a sandbox is frozen"
        self.is_frozen = True
        self.sandbox.freeze()

    def thaw(self) -> bool:
        """Undoes `freeze`; False when there is nothing to undo."""
        if not self.is_frozen or self.sandbox is None:
            return False
        self.is_frozen = False
        self.sandbox.thaw()
        return True

    def drain_logs(self) -> None:
        """Brings in what the processes have written up to now."""
        if self.sandbox is not None:
            self.sandbox.drain_logs()

    def memory_peak_bytes(self) -> int:
        """The most memory it has used so far."""
        return 0 if self.sandbox is None else self.sandbox.memory_peak_bytes()

    async def open_socket(self) -> socket.socket:
        """In the sandbox's own network. Raises OSError."""
        if self.sandbox is None:
            raise OSError("the sandbox is not there")
        return await self.sandbox.open_socket()

    def take_segments(self, take: Callable[[bytes], None]) -> None:
        """Once it is there, `take` gets what its processes send to the X-Ray daemon."""

        async def listen() -> None:
            if self.sandbox is None:
                return
            try:
                self._trace_daemon = TraceDaemon(await self.sandbox.trace_socket(), take)
            except OSError as error:
                _log.warning("segments_not_taken environment_id=%s reason=%s", self._environment_id, error)

        self.add(listen)

    async def destroy(self) -> None:
        """Ends it, if it is there."""
        if self._trace_daemon is not None:
            self._trace_daemon.close()
        if self.sandbox is not None:
            await self.sandbox.destroy()

    async def kill(self) -> None:
        """Ends every process."""
        if self.sandbox is not None:
            self.is_frozen = False
            await self.sandbox.kill()
