"""One sandbox as the daemon sees it: its control socket, its log pipes, its listeners, its cgroup.

The daemon's side of zygote.py. Needs no privilege.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol

from squib.environment.driver import End, EndCause, LogSource, SandboxSpec, Wiring
from squib.environment.drivers.clone_sandbox import CloneSandbox
from squib.environment.drivers.clone_source import CloneSource
from squib.environment.drivers.fork_server import ReadySlot, Zygote
from squib.environment.drivers.log_reader import LogReader
from squib.environment.drivers.runtime_work import what_forbids_clones, work_of
from squib.environment.drivers.sandbox_group import SandboxGroup
from squib.environment.isolation.cgroups import Cgroups
from squib.environment.isolation.sandbox_protocol import (
    BEGIN,
    BLANK,
    BLANK_LAYOUT,
    BLANK_MAGIC,
    ENDED,
    EXTENSION_ENDED,
    EXTENSION_NOT_STARTED,
    EXTENSIONS_STARTED,
    FREEZE,
    KILL,
    KILL_RUNTIME,
    KILLED,
    NO_LAYERS,
    NOT_STARTED,
    REPORT,
    RESTART,
    SOCKET,
    STARTED,
    TERMINATE,
    THAW,
    Assign,
)
from squib.environment.runtimes import Runtime
from squib.environment.tracing.trace_daemon import TraceSocket
from squib.model.errors import PlatformError
from squib.model.limits import MIB_PER_VCPU, PROCESSES_AND_THREADS

KILL_PATIENCE_S = 0.25  # of init, which needs 2 ms when it is not hindered
KILL_ATTEMPTS = 40
CREDENTIALS = struct.Struct("=iii")  # pid, uid, gid of a sender, unix(7)


class Keeper(Protocol):
    """What a sandbox needs of the driver that made it."""

    cgroups: Cgroups | None

    @property
    def cpu_quota(self) -> bool: ...

    def tmp_counts_as_memory(self) -> bool: ...

    def blank_ready(self, sandbox: "ZygoteSandbox") -> None: ...

    def blank_lost(self, sandbox: "ZygoteSandbox") -> None: ...

    def kill_inside(self, slot: int) -> None: ...

    async def take_snapshot(self, slot: int) -> None: ...

    async def open_socket(self, slot: int, *, udp: bool = False) -> socket.socket: ...

    async def place_clone(self) -> CloneSandbox: ...

    async def adopt(self, clone: CloneSandbox, template: int, process: int) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None: ...

    def forget(self, sandbox: "ZygoteSandbox", slot: int) -> None: ...


class ZygoteSandbox:
    """Implements driver.Sandbox. Blank first, then assigned."""

    def __init__(self, driver: "Keeper", runtime: str, slot: ReadySlot) -> None:
        """Raises OSError; the slot is still the caller's then."""
        self._driver, self.runtime, self._slot = driver, runtime, slot
        self.waiting = False
        """Somebody waits for it already: it does not go among the blanks."""
        self._wiring: Wiring | None = None
        self.source: CloneSource | None = None
        """Of a template: what makes its clones."""
        self._loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as opened:  # closed when a later one can't be
            self._control, self._init_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            opened.callback(self._control.close)
            opened.callback(self._init_control.close)
            self._logs = LogReader()
            opened.callback(self._logs.close)
            self._init_output = self._logs.open(LogSource.OUTPUT)
            opened.callback(os.close, self._init_output)
            self._init_telemetry = self._logs.open(LogSource.TELEMETRY)
            opened.pop_all()
        self._control.setblocking(False)
        self._servers: list[asyncio.Server] = []
        self._start_waiter: asyncio.Future[None] = self._loop.create_future()
        self._end_waiter: asyncio.Future[None] | None = None
        self._has_extensions = False
        self._init_gone = False
        self._traces = TraceSocket()
        self._sockets: deque[asyncio.Future[socket.socket]] = deque()  # asked for
        self._running = False
        self._frozen = False
        self._destroyed = False
        self._shared_bytes = 0
        self._group: SandboxGroup | None = None  # where there are cgroups, once it is assigned
        self._init_pid = 0
        self._status_fd: int | None = None
        if driver.cgroups is None:
            self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._resident_bytes = 0

    def spawn(self, zygote: Zygote) -> None:
        """Has it forked. Raises OSError."""
        fds = [self._slot.netns, self._init_control.fileno(), self._init_output, self._init_telemetry]
        try:
            zygote.send(BLANK_LAYOUT.pack(BLANK_MAGIC, self._slot.number), fds)
        finally:
            self._close_init_ends()
        self._loop.add_reader(self._control.fileno(), self._read_control)

    async def assign(self, spec: SandboxSpec, wiring: Wiring, runtime: Runtime) -> None:
        """Starts the runtime and begins to serve the sandbox's sockets. Raises OSError, PlatformError."""
        self._wiring = wiring
        environment = os.memfd_create("environment", os.MFD_CLOEXEC)
        passed = [environment]
        work = work_of(spec, runtime)
        assignment = self._assignment(spec)
        try:
            os.write(environment, json.dumps(work).encode())
            if spec.is_template:
                obstacle = what_forbids_clones(spec, work)
                if obstacle is not None:  # it runs as any other, and is never cloned
                    self._loop.call_soon(wiring.on_snapshot, obstacle)
                else:
                    assignment = assignment._replace(is_template=True)
                    passed.append(self._open_source(spec, wiring))
            if spec.extensions:
                self._has_extensions = True
                passed.append(self._logs.open(LogSource.EXTENSION))
            wiring.on_start()
            socket.send_fds(self._control, [assignment.encode()], passed)
        finally:
            for fd in passed:
                os.close(fd)
        if self._driver.cgroups is not None:
            self._group = SandboxGroup(self._driver.cgroups, self._slot.number)
        self._logs.listen(wiring.on_log)
        for listener, factory in (
            (self._slot.runtime_api, wiring.runtime_api),
            (self._slot.endpoint, wiring.endpoint),
        ):
            self._servers.append(await self._loop.create_server(factory, sock=listener))
        await self._start_waiter

    def _open_source(self, spec: SandboxSpec, wiring: Wiring) -> int:
        """The template's end of the socket on which it takes orders."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        slot = self._slot.number
        self.source = CloneSource(
            self._driver,
            slot,
            ours,
            self._set_frozen,
            wiring.on_snapshot,
            self._give_up_place,
            is_traced=spec.is_traced,
        )
        return theirs.detach()

    def _assignment(self, spec: SandboxSpec) -> Assign:
        memory_bytes = spec.memory_mib << 20
        tmp_bytes = spec.ephemeral_mib << 20
        if self._driver.tmp_counts_as_memory() and self._driver.cgroups is not None:
            memory_bytes += tmp_bytes
        share = spec.memory_mib / MIB_PER_VCPU
        return Assign(
            memory_bytes=memory_bytes,
            processes=PROCESSES_AND_THREADS,
            cpu_shares=max(2, round(share * 1024)),
            cpu_quota_us=max(1000, round(share * 100_000)) if self._driver.cpu_quota else 0,
            tmp_bytes=tmp_bytes,
            code=bytes.fromhex(spec.code),
            opt=NO_LAYERS if spec.opt is None else bytes.fromhex(spec.opt),
            extensions=len(spec.extensions),
        )

    def _close_init_ends(self) -> None:
        self._init_control.close()
        for name in ("_init_output", "_init_telemetry"):
            fd = getattr(self, name)
            if fd >= 0:
                os.close(fd)
                setattr(self, name, -1)

    # --- what comes out

    def drain_logs(self) -> None:
        """See driver.Sandbox."""
        self._logs.drain()

    def _read_control(self) -> None:
        while not self._destroyed:
            try:
                message, ancillary, _, _ = self._control.recvmsg(64, 64)
            except BlockingIOError:
                return
            except OSError:
                message, ancillary = b"", []
            made = None
            for _, kind, data in ancillary:
                if kind == socket.SCM_RIGHTS:
                    made = socket.socket(fileno=struct.unpack("=i", data[:4])[0])
                else:
                    self._init_pid = CREDENTIALS.unpack(data[: CREDENTIALS.size])[0]
            if not message:
                self._loop.remove_reader(self._control.fileno())
                self._init_ended()
                return
            letter, number = REPORT.unpack(message)
            if letter == BLANK:
                if not self.waiting:
                    self._driver.blank_ready(self)
            elif letter == STARTED:
                self._note_start(number)
            elif letter == ENDED:
                self._end(self._why(number))
            elif letter == NOT_STARTED:
                self._end(End(cause=EndCause.NOT_STARTED, status=number))
            elif letter == KILLED:
                self._note_killed()
            elif letter == SOCKET and made is not None:
                self._hand_over(made)
            else:
                self._note_extension(letter, number)

    def _note_extension(self, letter: bytes, number: int) -> None:
        if letter == EXTENSIONS_STARTED:
            if not self._start_waiter.done():
                self._start_waiter.set_result(None)
            return
        index, status = number >> 32, number & 0xFFFFFFFF
        end = self._why(status)
        if letter == EXTENSION_NOT_STARTED:
            end = End(cause=EndCause.NOT_STARTED, status=status)
        if self._wiring is not None and letter in (EXTENSION_ENDED, EXTENSION_NOT_STARTED):
            self._logs.drain_all()
            self._wiring.on_extension_end(index, end)

    def _note_killed(self) -> None:
        if self._end_waiter is not None and not self._end_waiter.done():
            self._end_waiter.set_result(None)

    def _hand_over(self, made: socket.socket) -> None:
        made.setblocking(False)
        waiter = self._sockets.popleft()
        if waiter.done():
            made.close()
        else:
            waiter.set_result(made)

    def _init_ended(self) -> None:
        self._note_killed()
        self._refuse_sockets()
        if self._wiring is None and not self.waiting:
            self._driver.blank_lost(self)
        elif not self._start_waiter.done():
            self._start_waiter.set_exception(PlatformError("the sandbox ended while it was set up"))
        elif self._running or self._has_extensions:
            out_of_memory = self._ran_out_of_memory()
            self._end(End(cause=EndCause.OUT_OF_MEMORY if out_of_memory else EndCause.LOST))

    def _note_start(self, resident_bytes: int) -> None:
        self._running = True
        if not self._shared_bytes:
            self._shared_bytes = resident_bytes
        if self._driver.cgroups is None:
            self._open_status()
        if not self._start_waiter.done():
            self._start_waiter.set_result(None)

    def _why(self, status: int) -> End:
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGKILL and self._ran_out_of_memory():
                return End(cause=EndCause.OUT_OF_MEMORY, status=number)
            return End(cause=EndCause.SIGNALED, status=number)
        return End(cause=EndCause.EXITED, status=os.waitstatus_to_exitcode(status))

    def _ran_out_of_memory(self) -> bool:
        return self._group is not None and self._group.ran_out_of_memory()

    def _end(self, end: End) -> None:
        self._logs.drain_all()
        self._running = False
        if self.source is not None:
            self.source.lose("its process has ended")
            self._note_killed()
        if self._wiring is not None and not self._destroyed:
            self._wiring.on_end(end)

    # --- control

    def freeze(self) -> None:
        """See driver.Sandbox."""
        if self._frozen or self._destroyed:
            return
        self._frozen = True
        self._set_frozen(True)

    def thaw(self) -> None:
        """See driver.Sandbox."""
        if self._frozen:
            self._frozen = False
            self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> None:
        if self._group is not None:
            self._group.freeze(frozen)
        elif self._driver.cgroups is None:
            self._tell(FREEZE if frozen else THAW)

    def _tell(self, command: bytes) -> None:
        try:
            self._control.send(command)
        except OSError:  # init is gone: its end is told by the reader
            return

    def memory_peak_bytes(self) -> int:
        """See driver.Sandbox. The cgroup's peak without page cache, and what is shared with the fork server,
        which is charged to nobody."""
        if self._group is None:
            return self._resident_peak_bytes()
        return self._shared_bytes + self._group.peak_bytes()

    def _open_status(self) -> None:
        """Without a cgroup to ask: the runtime's own process, which is init's only child."""
        self._close_status()
        with contextlib.suppress(OSError, ValueError):
            children = Path(f"/proc/{self._init_pid}/task/{self._init_pid}/children").read_text()
            self._status_fd = os.open(f"/proc/{int(children)}/status", os.O_RDONLY | os.O_CLOEXEC)

    def _close_status(self) -> None:
        if self._status_fd is not None:
            os.close(self._status_fd)
            self._status_fd = None

    def _resident_peak_bytes(self) -> int:
        if self._status_fd is not None:
            with contextlib.suppress(OSError):  # it has ended: what was seen last stands
                _, _, after = os.pread(self._status_fd, 4096, 0).partition(b"VmHWM:")
                peak_bytes = int(after.split(None, 1)[0]) * 1024 if after else 0
                self._resident_bytes = max(self._resident_bytes, peak_bytes)
        return max(self._shared_bytes, self._resident_bytes)

    def begin_runtime(self) -> None:
        """See driver.Sandbox."""
        self._tell(BEGIN)

    def terminate_runtime(self) -> None:
        """See driver.Sandbox."""
        self._tell(TERMINATE)

    def kill_runtime(self) -> None:
        """See driver.Sandbox."""
        self._tell(KILL_RUNTIME)

    async def open_socket(self) -> socket.socket:
        """See driver.Sandbox. Init makes it: a socket belongs to the network of the process that made it."""
        waiter: asyncio.Future[socket.socket] = self._loop.create_future()
        if self._destroyed or self._init_gone:
            raise OSError("the sandbox has ended")
        self._sockets.append(waiter)
        self._tell(SOCKET)
        return await waiter

    def _refuse_sockets(self) -> None:
        self._init_gone = True
        while self._sockets:
            waiter = self._sockets.popleft()
            if not waiter.done():
                waiter.set_exception(OSError("the sandbox has ended"))

    async def trace_socket(self) -> socket.socket:
        """See driver.Sandbox."""
        return self._traces.take()

    async def open_traces(self) -> None:
        """Before it starts: there will be a `trace_socket`."""
        await self._traces.open(self._driver.open_socket(self._slot.number, udp=True))

    async def restart(self) -> None:
        """See driver.Sandbox."""
        self.thaw()
        self._start_waiter = self._loop.create_future()
        self._tell(RESTART)
        try:
            async with asyncio.timeout(10):
                await self._start_waiter
        except TimeoutError as error:
            raise PlatformError("the sandbox did not restart") from error

    async def kill(self) -> None:
        """See driver.Sandbox."""
        self.thaw()
        if not self._running and not self._has_extensions:
            return
        self._end_waiter = self._loop.create_future()
        if self.source is None:
            self._tell(KILL)
        for _ in range(KILL_ATTEMPTS):
            if self.source is not None:  # its init has clones to care for, and kills nothing
                self._driver.kill_inside(self._slot.number)
            ended, _ = await asyncio.wait([self._end_waiter], timeout=KILL_PATIENCE_S)
            if ended:
                return
            # Init shares the memory limit: among a thousand processes at that limit it gets nothing done.
            self._driver.kill_inside(self._slot.number)
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
        self._refuse_sockets()
        self._loop.remove_reader(self._control.fileno())
        self._close_init_ends()
        for server in self._servers:
            server.close()
        self._traces.close()
        self._slot.close()
        self._logs.close()
        self._close_status()
        if self.source is None or self.source.close():
            self._give_up_place()

    def _give_up_place(self) -> None:
        """The last step; of a template, when the last of its clones is gone, which end with its init."""
        self._control.close()  # init ends, and everything with it
        if self._group is not None:
            self._group.close()
        self._driver.forget(self, self._slot.number)
