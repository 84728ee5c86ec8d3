"""The default driver: sandboxes forked from a fork server into namespaces and a cgroup of their own.

The daemon's side of launcher.py and zygote.py: it keeps prepared slots at hand, sends the spawn command, and
serves the sandbox's sockets. It needs no privilege itself.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from squib.environment.cgroups import Cgroups, open_bases
from squib.environment.driver import End, EndCause, LogSource, RuntimeUnavailable, SandboxSpec, Wiring
from squib.environment.launcher import MAX_COMMAND_BYTES, LauncherOptions
from squib.environment.runtimes import Runtime, RuntimeKind
from squib.environment.slots import DEFAULT_TMP_MIB
from squib.environment.zygote import (
    BLANK,
    BLANK_LAYOUT,
    BLANK_MAGIC,
    ENDED,
    FREEZE,
    KILL,
    READY,
    REPORT,
    RESTART,
    STARTED,
    THAW,
    Assign,
)
from squib.model.errors import PlatformError
from squib.model.limits import MIB_PER_VCPU, PROCESSES_AND_THREADS

READ_BYTES = 65_536
MAX_STARTING = 64  # spawns under way at once; more would only wait for the two fork servers' cores
PAGE_CACHE_CHECK_BYTES = 1 << 20  # the peak may move so far before the page cache is looked at again


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxDriverOptions:
    """`cpu_quota`: a function gets its share of a core and no more, as on Lambda; else a weight.
    `start_timeout_s`: for a slot, a fork server and a sandbox together. `blanks`: sandboxes kept ready for
    each runtime in use; `refill_after_s`: they are replaced when the start that took one is over."""

    cpu_quota: bool = False
    start_timeout_s: float = 30.0
    blanks: int = 4
    refill_after_s: float = 0.03


def start_launcher(options: LauncherOptions) -> int:
    """Starts the launcher, with all the privileges this process has now; returns its pid. `control_fd` in the
    options must be inheritable."""
    arguments = [sys.executable, "-I", "-m", "squib.environment.launcher", options.encode()]
    return os.posix_spawn(sys.executable, arguments, os.environ, setsid=True)


class ReadySlot:
    """A prepared slot and its descriptors."""

    def __init__(self, number: int, runtime_api: socket.socket, endpoint: socket.socket, netns: int) -> None:
        self.number, self.runtime_api, self.endpoint, self.netns = number, runtime_api, endpoint, netns

    def close(self) -> None:
        """Closes what is still ours."""
        self.runtime_api.close()
        self.endpoint.close()
        if self.netns >= 0:
            os.close(self.netns)
            self.netns = -1


class ZygoteDriver:
    """Implements driver.SandboxDriver over a launcher's control socket."""

    name = "sandbox"

    def __init__(
        self,
        control: socket.socket,
        runtimes: Mapping[str, Runtime],
        unavailable: Mapping[str, str],
        options: SandboxDriverOptions,
    ) -> None:
        """`unavailable`: what to say of known runtimes that can't run here, by name."""
        self._control, self._runtimes, self._unavailable = control, runtimes, unavailable
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._ready: deque[ReadySlot] = deque()
        self._slot_waiters: deque[asyncio.Future[ReadySlot]] = deque()
        self._tmp_waiters: dict[int, asyncio.Future[None]] = {}
        self._zygotes: dict[str, asyncio.Future[Zygote]] = {}
        self._blanks: dict[str, deque[ZygoteSandbox]] = {}
        self._making_blanks: dict[str, int] = {}
        self._starting = asyncio.Semaphore(MAX_STARTING)
        self._sandboxes: set[ZygoteSandbox] = set()
        self._started: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._lost = False
        self.cgroups: Cgroups | None = None
        self.facts: Mapping[str, Any] = {}
        """What the launcher found: warnings, outside, tmp."""

    async def open(self) -> None:
        """Waits for the launcher. Raises PlatformError when it can't work here."""
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._read_control)
        async with asyncio.timeout(self._options.start_timeout_s):
            self.facts = await self._started
        if self.facts["cgroups"]:
            self.cgroups = open_bases(self.facts["cgroups"])

    # --- the launcher's messages

    def _command(self, **fields: Any) -> None:
        if not self._lost:
            try:
                self._control.send(json.dumps(fields).encode())
            except OSError as error:
                self._lose(str(error))

    def _read_control(self) -> None:
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(self._control, 65_536, 8)
            except BlockingIOError:
                return
            except OSError as error:
                return self._lose(str(error))
            if not message:
                return self._lose("the launcher has ended")
            self._handle(json.loads(message), fds)

    def _handle(self, answer: dict[str, Any], fds: list[int]) -> None:
        match answer["op"]:
            case "started":
                self._started.set_result(answer)
            case "failed":
                self._started.set_exception(PlatformError(f"sandboxes can't be made: {answer['error']}"))
            case "slot":
                runtime_api, endpoint = (socket.socket(fileno=fd) for fd in fds[:2])
                self._offer(ReadySlot(answer["slot"], runtime_api, endpoint, fds[2]))
            case "tmp":
                waiter = self._tmp_waiters.pop(answer["slot"], None)
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)
            case "zygote":
                zygote = Zygote(answer["runtime"], socket.socket(fileno=fds[0]), self)
                zygote.watch()
            case "error":
                sys.stderr.write(f"squib launcher: {answer['error']}\n")

    def _offer(self, slot: ReadySlot) -> None:
        while self._slot_waiters:
            waiter = self._slot_waiters.popleft()
            if not waiter.done():
                waiter.set_result(slot)
                return
        self._ready.append(slot)
        for runtime in self._blanks:
            self._refill(runtime)

    def _lose(self, reason: str) -> None:
        if self._lost:
            return
        self._lost = True
        self._loop.remove_reader(self._control.fileno())
        error = PlatformError(f"sandboxes can't be made any more: {reason}")
        waiting: list[asyncio.Future[Any]] = [
            self._started,
            *self._slot_waiters,
            *self._tmp_waiters.values(),
            *self._zygotes.values(),
        ]
        for future in waiting:
            if not future.done():
                future.set_exception(error)

    # --- fork servers

    async def prepare(self, runtime: str) -> None:
        """Starts the fork server of a runtime and a few blank sandboxes. Raises RuntimeUnavailable."""
        await self._zygote(runtime)
        self._blanks.setdefault(runtime, deque())
        self._refill(runtime)

    async def _zygote(self, runtime: str) -> "Zygote":
        if runtime not in self._runtimes:
            reason = self._unavailable.get(runtime, f"squib does not know the runtime {runtime}")
            raise RuntimeUnavailable(reason)
        if self._lost:
            raise PlatformError("sandboxes can't be made any more: the launcher has ended")
        future = self._zygotes.get(runtime)
        if future is None:
            future = self._zygotes[runtime] = self._loop.create_future()
            self._command(op="zygote", runtime=runtime)
        return await asyncio.shield(future)

    def zygote_ready(self, zygote: "Zygote") -> None:
        """The fork server takes commands."""
        future = self._zygotes.get(zygote.runtime)
        if future is not None and not future.done():
            future.set_result(zygote)

    def zygote_ended(self, zygote: "Zygote") -> None:
        """The fork server is gone; the next sandbox starts another."""
        future = self._zygotes.pop(zygote.runtime, None)
        if future is not None and not future.done():
            future.set_exception(PlatformError(f"the fork server of {zygote.runtime} ended at once"))

    # --- sandboxes

    def _refill(self, runtime: str) -> None:
        """Starts blank sandboxes up to the number wanted, as far as slots are at hand."""
        future = self._zygotes.get(runtime)
        if future is None or not future.done() or future.exception() is not None or self._lost:
            return
        blanks = self._blanks[runtime]
        while len(blanks) + self._making_blanks.get(runtime, 0) < self._options.blanks and self._ready:
            slot = self._ready.popleft()
            self._command(op="took")
            sandbox = ZygoteSandbox(self, runtime, slot)
            self._sandboxes.add(sandbox)
            self._making_blanks[runtime] = self._making_blanks.get(runtime, 0) + 1
            try:
                sandbox.spawn(future.result())
            except OSError:
                self._making_blanks[runtime] -= 1
                sandbox.give_up()
                return

    def blank_ready(self, sandbox: "ZygoteSandbox") -> None:
        """A sandbox made ahead of need waits for its assignment."""
        self._making_blanks[sandbox.runtime] -= 1
        self._blanks[sandbox.runtime].append(sandbox)

    def blank_lost(self, sandbox: "ZygoteSandbox") -> None:
        """A sandbox ended before it was anybody's."""
        blanks = self._blanks.get(sandbox.runtime, deque())
        if sandbox in blanks:
            blanks.remove(sandbox)
        else:
            self._making_blanks[sandbox.runtime] -= 1
        sandbox.give_up()

    async def create(self, spec: SandboxSpec, wiring: Wiring) -> "ZygoteSandbox":
        """See driver.SandboxDriver."""
        try:
            async with asyncio.timeout(self._options.start_timeout_s), self._starting:
                zygote = await self._zygote(spec.runtime)
                blanks = self._blanks.setdefault(spec.runtime, deque())
                if blanks and spec.ephemeral_mib == DEFAULT_TMP_MIB:
                    sandbox = blanks.popleft()
                else:
                    sandbox = await self._fresh(spec, zygote)
                try:
                    await sandbox.assign(spec, wiring, self._runtimes[spec.runtime])
                except BaseException:
                    await sandbox.destroy()
                    raise
                self._loop.call_later(self._options.refill_after_s, self._refill, spec.runtime)
                return sandbox
        except TimeoutError as error:
            raise PlatformError("no sandbox could be started in time") from error
        except OSError as error:
            raise PlatformError(f"no sandbox could be started: {error}") from error

    async def _fresh(self, spec: SandboxSpec, zygote: "Zygote") -> "ZygoteSandbox":
        slot = await self._take_slot()
        sandbox = ZygoteSandbox(self, spec.runtime, slot)
        self._sandboxes.add(sandbox)
        try:
            if spec.ephemeral_mib != DEFAULT_TMP_MIB:
                await self._resize_tmp(slot.number, spec.ephemeral_mib)
            sandbox.waiting = True
            sandbox.spawn(zygote)
        except BaseException:
            sandbox.give_up()
            raise
        return sandbox

    async def _take_slot(self) -> ReadySlot:
        if self._ready:
            slot = self._ready.popleft()
        else:
            if self._lost:
                raise PlatformError("sandboxes can't be made any more: the launcher has ended")
            waiter: asyncio.Future[ReadySlot] = self._loop.create_future()
            self._slot_waiters.append(waiter)
            try:
                slot = await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                    self._offer(waiter.result())
                raise
        self._command(op="took")
        return slot

    async def _resize_tmp(self, number: int, size_mib: int) -> None:
        waiter = self._tmp_waiters[number] = self._loop.create_future()
        self._command(op="tmp", slot=number, mib=size_mib)
        await waiter

    def tmp_counts_as_memory(self) -> bool:
        """True when /tmp is held in memory, which then needs room for it."""
        return bool(self.facts.get("tmp") == "memory")

    def forget(self, sandbox: "ZygoteSandbox", slot: int) -> None:
        """The sandbox has given everything up but its slot."""
        self._sandboxes.discard(sandbox)
        self._command(op="recycle", slot=slot)

    @property
    def cpu_quota(self) -> bool:
        return self._options.cpu_quota

    async def close(self) -> None:
        """Ends every sandbox, the fork servers and the launcher."""
        for sandbox in list(self._sandboxes):
            await sandbox.destroy()
        for slot in self._ready:
            slot.close()
        self._ready.clear()
        for future in self._zygotes.values():
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().close()
        if not self._lost:
            self._loop.remove_reader(self._control.fileno())
            self._lost = True
            self._control.shutdown(socket.SHUT_WR)
            # The launcher closes its end when everything is gone from the host.
            async with asyncio.timeout(15):
                while await self._loop.sock_recv(self._control, MAX_COMMAND_BYTES):
                    pass
        self._control.close()
        if self.cgroups is not None:
            self.cgroups.close()


class Zygote:
    """The daemon's end of one fork server."""

    def __init__(self, runtime: str, commands: socket.socket, driver: ZygoteDriver) -> None:
        self.runtime, self._commands, self._driver = runtime, commands, driver
        commands.setblocking(False)

    def watch(self) -> None:
        """Follows what the fork server says: that it is ready, and its end."""
        asyncio.get_running_loop().add_reader(self._commands.fileno(), self._read)

    def _read(self) -> None:
        try:
            message = self._commands.recv(64)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message == READY:
            self._driver.zygote_ready(self)
        elif not message:
            self._driver.zygote_ended(self)
            self.close()

    def send(self, command: bytes, fds: list[int]) -> None:
        """Sends one command with descriptors. Raises BlockingIOError when hundreds are waiting already."""
        socket.send_fds(self._commands, [command], fds)

    def close(self) -> None:
        """Ends the fork server; idempotent."""
        if self._commands.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._commands.fileno())
            self._commands.close()


def program_of(runtime: Runtime, memory_mib: int) -> list[str] | None:
    """What the runtime's process executes; None when it goes on in the fork server's own interpreter."""
    if runtime.kind is RuntimeKind.PYTHON:
        return None
    if runtime.kind is RuntimeKind.NODEJS:
        heap_mib = max(64, memory_mib * 9 // 10)  # leaves room for buffers and the engine itself
        return [runtime.interpreter_inside, f"--max-old-space-size={heap_mib}", "/var/runtime/bootstrap.js"]
    return ["/var/task/bootstrap"]


class ZygoteSandbox:
    """Implements driver.Sandbox. Blank first, then assigned."""

    def __init__(self, driver: ZygoteDriver, runtime: str, slot: ReadySlot) -> None:
        self._driver, self.runtime, self._slot = driver, runtime, slot
        self.waiting = False
        """Somebody waits for it already: it does not go among the blanks."""
        self._wiring: Wiring | None = None
        self._loop = asyncio.get_running_loop()
        self._control, self._init_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._output, self._init_output = os.pipe2(os.O_CLOEXEC)
        self._telemetry, self._init_telemetry = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        os.set_blocking(self._telemetry, False)
        self._servers: list[asyncio.Server] = []
        self._start_waiter: asyncio.Future[None] = self._loop.create_future()
        self._end_waiter: asyncio.Future[None] | None = None
        self._running = False
        self._frozen = False
        self._destroyed = False
        self._shared_bytes = 0
        self._peak_fd: int | None = None
        self._freezer: tuple[int, bytes, bytes] | None = None
        self._peak_bytes = 0
        self._cache_checked_at = 0
        self._cache_bytes = 0
        self._kills_seen = 0

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
        document = json.dumps(
            {
                "variables": dict(spec.variables),
                "program": program_of(runtime, spec.memory_mib),
                "handler": spec.handler,
            }
        ).encode()
        environment = os.memfd_create("environment", os.MFD_CLOEXEC)
        try:
            os.write(environment, document)
            socket.send_fds(self._control, [self._assignment(spec).encode()], [environment])
        finally:
            os.close(environment)
        if self._driver.cgroups is not None:
            self._peak_fd = self._driver.cgroups.open_peak(self._slot.number)
        self._loop.add_reader(self._output, self._read, self._output, LogSource.OUTPUT)
        self._loop.add_reader(self._telemetry, self._read, self._telemetry, LogSource.TELEMETRY)
        for listener, factory in (
            (self._slot.runtime_api, wiring.runtime_api),
            (self._slot.endpoint, wiring.endpoint),
        ):
            self._servers.append(await self._loop.create_server(factory, sock=listener))
        await self._start_waiter

    def _assignment(self, spec: SandboxSpec) -> Assign:
        memory_bytes = spec.memory_mib << 20
        tmp_bytes = spec.ephemeral_mib << 20
        if self._driver.tmp_counts_as_memory():
            memory_bytes += tmp_bytes
        share = spec.memory_mib / MIB_PER_VCPU
        return Assign(
            memory_bytes=memory_bytes,
            processes=PROCESSES_AND_THREADS,
            cpu_shares=max(2, round(share * 1024)),
            cpu_quota_us=max(1000, round(share * 100_000)) if self._driver.cpu_quota else 0,
            tmp_bytes=tmp_bytes,
            code=bytes.fromhex(spec.code),
        )

    def _close_init_ends(self) -> None:
        self._init_control.close()
        for name in ("_init_output", "_init_telemetry"):
            fd = getattr(self, name)
            if fd >= 0:
                os.close(fd)
                setattr(self, name, -1)

    # --- what comes out

    def _read(self, fd: int, source: LogSource) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        if data and self._wiring is not None:
            self._wiring.on_log(source, data)
        elif not data:
            self._loop.remove_reader(fd)

    def drain_logs(self) -> None:
        """See driver.Sandbox."""
        for fd, source in ((self._output, LogSource.OUTPUT), (self._telemetry, LogSource.TELEMETRY)):
            while fd >= 0:
                try:
                    data = os.read(fd, READ_BYTES)
                except BlockingIOError:
                    break
                if data and self._wiring is not None:
                    self._wiring.on_log(source, data)
                if len(data) < READ_BYTES:
                    break

    def _read_control(self) -> None:
        while not self._destroyed:
            try:
                message = self._control.recv(64)
            except BlockingIOError:
                return
            except OSError:
                message = b""
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

    def _init_ended(self) -> None:
        if self._wiring is None and not self.waiting:
            self._driver.blank_lost(self)
        elif not self._start_waiter.done():
            self._start_waiter.set_exception(PlatformError("the sandbox ended while it was set up"))
        elif self._running:
            out_of_memory = self._ran_out_of_memory()
            self._end(End(cause=EndCause.OUT_OF_MEMORY if out_of_memory else EndCause.LOST))

    def _note_start(self, resident_bytes: int) -> None:
        self._running = True
        if not self._shared_bytes:
            self._shared_bytes = resident_bytes
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
        if self._driver.cgroups is None:
            return False
        try:
            kills = self._driver.cgroups.out_of_memory_kills(self._slot.number)
        except OSError:
            return False
        fresh, self._kills_seen = kills > self._kills_seen, kills
        return fresh

    def _end(self, end: End) -> None:
        self.drain_logs()
        self._running = False
        if self._end_waiter is not None and not self._end_waiter.done():
            self._end_waiter.set_result(None)
        if self._wiring is not None:
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
        if self._driver.cgroups is None:
            self._tell(FREEZE if frozen else THAW)
            return
        if self._freezer is None:
            self._freezer = self._driver.cgroups.open_freezer(self._slot.number)
        fd, stop, go = self._freezer
        os.pwrite(fd, stop if frozen else go, 0)

    def _tell(self, command: bytes) -> None:
        try:
            self._control.send(command)
        except OSError:  # init is gone: its end is told by the reader
            return

    def memory_peak_bytes(self) -> int:
        """See driver.Sandbox. The cgroup's peak without page cache, and what is shared with the fork server,
        which is charged to nobody."""
        if self._peak_fd is None:
            return self._shared_bytes
        peak = int(os.pread(self._peak_fd, 32, 0))
        if peak - self._cache_checked_at > PAGE_CACHE_CHECK_BYTES and self._driver.cgroups is not None:
            self._cache_checked_at = peak
            self._cache_bytes = self._driver.cgroups.cache_bytes(self._slot.number)
        self._peak_bytes = max(self._peak_bytes, peak - self._cache_bytes)
        return self._shared_bytes + self._peak_bytes

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
        if not self._running:
            return
        self._end_waiter = self._loop.create_future()
        self._tell(KILL)
        try:
            async with asyncio.timeout(10):
                await self._end_waiter
        except TimeoutError as error:
            raise PlatformError("the sandbox did not end its runtime") from error

    async def destroy(self) -> None:
        """See driver.Sandbox."""
        self.give_up()

    def give_up(self) -> None:
        """`destroy`, at once."""
        if self._destroyed:
            return
        self.thaw()
        self._destroyed = True
        for fd in (self._control.fileno(), self._output, self._telemetry):
            self._loop.remove_reader(fd)
        self._close_init_ends()
        self._control.close()  # init ends, and everything with it
        for server in self._servers:
            server.close()
        self._slot.close()
        os.close(self._output)
        os.close(self._telemetry)
        self._output = self._telemetry = -1
        if self._peak_fd is not None:
            os.close(self._peak_fd)
        if self._freezer is not None:
            os.close(self._freezer[0])
        self._driver.forget(self, self._slot.number)
