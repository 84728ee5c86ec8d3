"""The sandbox of one environment: whether it is there, frozen, and what is asked of it, in order.

What is asked goes through one queue, so that a restart follows the kill before it. All on the event loop.
"""

import socket
from collections.abc import Callable, Coroutine
from typing import Any

from squib.environment.driver import Sandbox
from squib.environment.operations import Operations


class Housing:
    """Empty until `sandbox` is set; questions are answered then too."""

    def __init__(
        self, spawn: Callable[[Coroutine[Any, Any, None]], None], on_error: Callable[[Exception], None]
    ) -> None:
        """`on_error` is told what an operation raised."""
        self.sandbox: Sandbox | None = None
        self.is_frozen = False
        """Its processes do not run."""
        self._operations = Operations(spawn, on_error)
        self.add = self._operations.add

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

    async def kill(self) -> None:
        """Ends every process."""
        if self.sandbox is not None:
            self.is_frozen = False
            await self.sandbox.kill()
