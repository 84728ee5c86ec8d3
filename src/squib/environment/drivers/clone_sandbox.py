"""One clone of a template as the daemon sees it: its life socket, log pipes, listeners, cgroup.

The clone's first process is the function's own: what it says on the life socket is shown, never relied upon.
That it is there, and that it has ended, the kernel says.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import Final, Protocol

from squib.environment.driver import End, EndCause, LogSource, Wiring
from squib.environment.drivers.log_reader import LogReader
from squib.environment.drivers.sandbox_group import SandboxGroup
from squib.environment.isolation.sandbox_protocol import (
    CLONE_ENDED,
    CLONE_WORD,
    FORKED,
    GO_ON,
    PLACED,
    PRESENT,
    SIGNAL,
)
from squib.environment.tracing.trace_daemon import TraceSocket
from squib.model.errors import PlatformError

KILL_PATIENCE_S: Final = 0.25
KILL_ATTEMPTS: Final = 40
_MAX_DESCRIPTORS: Final = 4
_LAST_WORDS: Final = 16  # read at the end of a clone, which should have one


class CloneKeeper(Protocol):
    """What a clone needs of the driver."""

    def end_clone(self, slot: int) -> None: ...

    async def open_socket(self, slot: int, *, udp: bool = False) -> socket.socket: ...

    def clone_gone(self, clone: "CloneSandbox") -> None: ...


class CloneSandbox:
    """Implements driver.Sandbox. Ordered first, then present, adopted, ready, and at last started."""

    def __init__(self, driver: CloneKeeper, slot: int) -> None:
        """Raises OSError; the slot is still the caller's then."""
        self._driver, self.slot = driver, slot
        self.on_gone: Callable[[], None] = lambda: None
        """Called when everything has been given up."""
        self._loop = asyncio.get_running_loop()
        self._logs = LogReader()
        self._traces = TraceSocket()
        self._given: list[int] = []
        """Descriptors for the clone, until it has been ordered."""
        try:
            self._given += [self._logs.open(LogSource.OUTPUT), self._logs.open(LogSource.TELEMETRY)]
            self._life, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            self._close_given()
            self._logs.close()
            raise
        self._given.append(theirs.detach())
        self._life.setblocking(False)
        self._present: asyncio.Future[int] = self._loop.create_future()
        self._forked: asyncio.Future[None] = self._loop.create_future()
        self._gone = asyncio.Event()
        self._process = -1
        self._group: SandboxGroup | None = None
        self._listeners: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._resident_bytes = 0
        self._wiring: Wiring | None = None
        self._status: int | None = None  # as the clone says
        self._end_was_told = False
        self._frozen = False
        self._destroyed = False

    # --- making

    def order(self, orders: socket.socket, command: bytes) -> None:
        """Has the template make it. Raises OSError."""
        try:
            socket.send_fds(orders, [command], self._given)
        finally:
            self._close_given()
        self._loop.add_reader(self._life.fileno(), self._read_present)

    def _close_given(self) -> None:
        for fd in self._given:
            os.close(fd)
        self._given.clear()

    async def present(self) -> int:
        """A descriptor that, the clone says, is that of its first process; for the launcher to check. Raises
        PlatformError when the clone has closed its end."""
        self._process = await self._present
        return self._process

    def adopt(self, group: SandboxGroup, listeners: list[socket.socket], resident_bytes: int) -> None:
        """The launcher has found it to be a clone, and has made a place for it."""
        self._group, self._listeners, self._resident_bytes = group, listeners, resident_bytes
        self._loop.add_reader(self._process, self._process_ended)
        self._loop.add_reader(self._life.fileno(), self._read_forked)
        self._say(PLACED, 0)

    async def ready(self) -> None:
        """Returns when it says that its runtime waits to go on, which nothing relies on. Raises PlatformError
        when it ends instead."""
        await self._forked

    async def start(self, wiring: Wiring) -> None:
        """Lets the runtime go on. Raises PlatformError when it is gone."""
        if self.is_gone:
            raise PlatformError("a clone has ended before its use")
        self._wiring = wiring
        self._logs.listen(wiring.on_log)
        factories = (wiring.runtime_api, wiring.endpoint)
        for listener, factory in zip(self._listeners, factories, strict=True):
            self._servers.append(await self._loop.create_server(factory, sock=listener))
        wiring.on_start()
        self.thaw()
        self._say(GO_ON, 0)

    @property
    def is_gone(self) -> bool:
        """Its processes have ended."""
        return self._destroyed or self._gone.is_set()

    # --- what it says, and what the kernel says

    def _read_present(self) -> None:
        """Its first word. It is listened to for one word at a time, and only when one is due."""
        letter, _, fds = self._hear()
        if letter is None:
            return
        self._loop.remove_reader(self._life.fileno())
        if letter == PRESENT and len(fds) == 1:
            self._present.set_result(fds.pop())
        else:
            self._present.set_exception(PlatformError("the template has made no clone"))
        for fd in fds:
            os.close(fd)

    def _read_forked(self) -> None:
        letter, _, fds = self._hear()
        if letter is None:
            return
        self._loop.remove_reader(self._life.fileno())
        for fd in fds:
            os.close(fd)
        if not self._forked.done():
            if letter == FORKED:
                self._forked.set_result(None)
            else:
                self._forked.set_exception(PlatformError("the clone has ended"))

    def _hear(self) -> tuple[bytes | None, int, list[int]]:
        """One message: letter, number, descriptors. None: there is none now; empty: there never will be."""
        try:
            message, fds, _, _ = socket.recv_fds(self._life, CLONE_WORD.size + 1, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return None, 0, []
        except OSError:
            return b"", 0, []
        letter, number = CLONE_WORD.unpack(message) if len(message) == CLONE_WORD.size else (b"", 0)
        return letter, number, fds

    def _process_ended(self) -> None:
        self._loop.remove_reader(self._process)
        for _ in range(_LAST_WORDS):
            letter, number, fds = self._hear()
            for fd in fds:
                os.close(fd)
            if letter == CLONE_ENDED:
                self._status = number
            if not letter:
                break
        self._gone.set()
        self._tell_end()

    def _tell_end(self) -> None:
        if self._wiring is None or self._end_was_told or self._destroyed:
            return
        self._end_was_told = True
        self._logs.drain_all()
        self._wiring.on_end(self._why())

    def _why(self) -> End:
        status = self._status
        if self._group is not None and self._group.ran_out_of_memory():
            return End(cause=EndCause.OUT_OF_MEMORY, status=signal.SIGKILL)
        if status is None:
            return End(cause=EndCause.SIGNALED, status=signal.SIGKILL)
        if os.WIFSIGNALED(status):
            return End(cause=EndCause.SIGNALED, status=os.WTERMSIG(status))
        return End(cause=EndCause.EXITED, status=os.WEXITSTATUS(status))

    # --- control

    def freeze(self) -> None:
        """See driver.Sandbox."""
        if not self._frozen and not self._destroyed and self._group is not None:
            self._frozen = True
            self._group.freeze(True)

    def thaw(self) -> None:
        """See driver.Sandbox."""
        if self._frozen and self._group is not None:
            self._frozen = False
            self._group.freeze(False)

    def drain_logs(self) -> None:
        """See driver.Sandbox."""
        self._logs.drain()

    def memory_peak_bytes(self) -> int:
        """See driver.Sandbox. What is shared with the template is charged to that, and counted here."""
        return self._resident_bytes + (0 if self._group is None else self._group.peak_bytes())

    def begin_runtime(self) -> None:
        """See driver.Sandbox. Clones have no extensions to wait for."""

    def terminate_runtime(self) -> None:
        """See driver.Sandbox."""
        self._say(SIGNAL, signal.SIGTERM)

    def kill_runtime(self) -> None:
        """See driver.Sandbox."""
        self._driver.end_clone(self.slot)

    def _say(self, letter: bytes, number: int) -> None:
        with contextlib.suppress(OSError):  # it is gone, or listens to nobody: its end is seen elsewhere
            self._life.send(CLONE_WORD.pack(letter, number))

    async def open_socket(self) -> socket.socket:
        """See driver.Sandbox."""
        if self.is_gone:
            raise OSError("the sandbox has ended")
        return await self._driver.open_socket(self.slot)

    async def trace_socket(self) -> socket.socket:
        """See driver.Sandbox."""
        return self._traces.take()

    async def open_traces(self) -> None:
        """Before it starts: there will be a `trace_socket`."""
        await self._traces.open(self._driver.open_socket(self.slot, udp=True))

    async def restart(self) -> None:
        """See driver.Sandbox."""
        raise PlatformError("a clone does not start again: the next one takes its place")

    async def kill(self) -> None:
        """See driver.Sandbox."""
        self.thaw()
        for _ in range(KILL_ATTEMPTS):
            if self.is_gone:
                return
            self._driver.end_clone(self.slot)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KILL_PATIENCE_S):
                    await self._gone.wait()
        raise PlatformError("the sandbox did not end its runtime")

    async def destroy(self) -> None:
        """See driver.Sandbox."""
        self.give_up()

    def give_up(self) -> None:
        """`destroy`, at once."""
        if self._destroyed:
            return
        self.thaw()
        self._destroyed = True
        self._close_given()
        self._loop.remove_reader(self._life.fileno())
        self._life.close()
        if not self._forked.done():
            self._forked.cancel()
        elif not self._forked.cancelled():
            self._forked.exception()  # nobody may have waited for it
        if not self._present.done():
            self._present.cancel()
        elif not self._present.cancelled() and self._present.exception() is None:
            self._loop.remove_reader(self._present.result())
            os.close(self._present.result())
        for server in self._servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        self._traces.close()
        self._logs.close()
        if self._group is not None:
            self._group.close()
        self._driver.clone_gone(self)
        self.on_gone()
