"""The default driver: sandboxes forked from a fork server into namespaces and a cgroup of their own.

The daemon's side of launcher.py and zygote.py: it keeps prepared slots at hand, sends the spawn command, and
serves the sandbox's sockets. It needs no privilege itself.
"""

import asyncio
import json
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from squib.environment.cgroups import Cgroups, open_bases
from squib.environment.driver import NO_CLONES, RuntimeUnavailable, Sandbox, SandboxSpec, Wiring
from squib.environment.fork_server import ReadySlot, Zygote
from squib.environment.launcher import MAX_COMMAND_BYTES, LauncherOptions
from squib.environment.runtimes import Runtime
from squib.environment.slots import DEFAULT_TMP_MIB
from squib.environment.zygote_sandbox import ZygoteSandbox
from squib.model.errors import PlatformError
from squib.model.units import EnvironmentId

MAX_STARTING = 64  # spawns under way at once; more would only wait for the two fork servers' cores


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxDriverOptions:
    """`cpu_quota`: a function gets its share of a core and no more, as on Lambda; else a weight.
    `start_timeout_s`: for a slot, a fork server and a sandbox together; `end_timeout_s`: for the launcher to
    remove everything. `blanks`: sandboxes kept ready for each runtime in use; `refill_after_s`: they are
    replaced when the start that took one is over."""

    cpu_quota: bool = False
    start_timeout_s: float = 30.0
    end_timeout_s: float = 30.0
    blanks: int = 4
    refill_after_s: float = 0.03


def start_launcher(options: LauncherOptions) -> int:
    """Starts the launcher, with all the privileges this process has now; returns its pid. `control_fd` in the
    options must be inheritable."""
    arguments = [sys.executable, "-I", "-m", "squib.environment.launcher", options.encode()]
    return os.posix_spawn(sys.executable, arguments, os.environ, setsid=True)


class ZygoteDriver:
    """Implements driver.SandboxDriver over a launcher's control socket."""

    name = "sandbox"
    starts_extensions = True
    clones = False

    def __init__(
        self,
        control: socket.socket,
        runtimes: Mapping[str, Runtime],
        unavailable: Mapping[str, str],
        options: SandboxDriverOptions,
        on_lost: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """`unavailable`: what to say of known runtimes that can't run here, by name. `on_lost` is called once
        when no sandbox can be made any more."""
        self._on_lost = on_lost
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
        self._outbox: deque[bytes] = deque()  # commands that the launcher has no room for yet
        self._said = ""  # the launcher's last complaint
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
            self._outbox.append(json.dumps(fields).encode())
            if len(self._outbox) == 1:
                self._send_commands()

    def _send_commands(self) -> None:
        """Sends what waits, in order; goes on later while the launcher is behind."""
        try:
            while self._outbox:
                self._control.send(self._outbox[0])
                self._outbox.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._control.fileno(), self._send_commands)
        except OSError as error:
            self._lose(str(error))
        else:
            self._loop.remove_writer(self._control.fileno())

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
                self._said = ""
                self._offer(ReadySlot(answer["slot"], runtime_api, endpoint, fds[2]))
            case "tmp":
                waiter = self._tmp_waiters.pop(answer["slot"], None)
                if waiter is not None and not waiter.done():
                    if answer["error"] is None:
                        waiter.set_result(None)
                    else:
                        waiter.set_exception(OSError(answer["error"]))
            case "zygote":
                zygote = Zygote(answer["runtime"], socket.socket(fileno=fds[0]), self)
                zygote.watch()
            case "error":
                if answer["error"] != self._said:  # it comes many times a second while the disk is full
                    self._said = answer["error"]
                    sys.stderr.write(f"squib launcher: {self._said}\n")

    def _offer(self, slot: ReadySlot) -> None:
        while self._slot_waiters:
            waiter = self._slot_waiters.popleft()
            if not waiter.done():
                waiter.set_result(slot)
                return
        self._ready.append(slot)
        for runtime in self._blanks:
            self._refill(runtime)

    def _stop_listening(self) -> None:
        self._lost = True
        self._outbox.clear()
        self._loop.remove_reader(self._control.fileno())
        self._loop.remove_writer(self._control.fileno())

    def _lose(self, reason: str) -> None:
        if self._lost:
            return
        self._stop_listening()
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
        if self._started.done():
            self._on_lost(reason)

    # --- fork servers

    async def prepare(self, runtime: str) -> None:
        """Starts the fork server of a runtime and a few blank sandboxes. Raises RuntimeUnavailable."""
        await self._zygote(runtime)
        self._blanks.setdefault(runtime, deque())
        self._refill(runtime)

    async def _zygote(self, runtime: str) -> Zygote:
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

    def zygote_ready(self, zygote: Zygote) -> None:
        """The fork server takes commands."""
        future = self._zygotes.get(zygote.runtime)
        if future is not None and not future.done():
            future.set_result(zygote)

    def zygote_ended(self, zygote: Zygote) -> None:
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
            try:
                sandbox = self._sandbox(runtime, slot)
            except OSError:
                return
            self._making_blanks[runtime] = self._making_blanks.get(runtime, 0) + 1
            try:
                sandbox.spawn(future.result())
            except OSError:
                self._making_blanks[runtime] -= 1
                sandbox.give_up()
                return

    def _sandbox(self, runtime: str, slot: ReadySlot) -> ZygoteSandbox:
        """A sandbox in a slot that was taken. Raises OSError; the slot is given back then."""
        try:
            sandbox = ZygoteSandbox(self, runtime, slot)
        except OSError:
            slot.close()
            self._command(op="recycle", slot=slot.number)
            raise
        self._sandboxes.add(sandbox)
        return sandbox

    def blank_ready(self, sandbox: ZygoteSandbox) -> None:
        """A sandbox made ahead of need waits for its assignment."""
        self._making_blanks[sandbox.runtime] -= 1
        self._blanks[sandbox.runtime].append(sandbox)

    def blank_lost(self, sandbox: ZygoteSandbox) -> None:
        """A sandbox ended before it was anybody's."""
        blanks = self._blanks.get(sandbox.runtime, deque())
        if sandbox in blanks:
            blanks.remove(sandbox)
        else:
            self._making_blanks[sandbox.runtime] -= 1
        sandbox.give_up()

    async def create(self, spec: SandboxSpec, wiring: Wiring) -> ZygoteSandbox:
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

    async def clone(self, template: Sandbox, environment_id: EnvironmentId, wiring: Wiring) -> ZygoteSandbox:
        """See driver.SandboxDriver."""
        raise PlatformError(NO_CLONES)

    async def _fresh(self, spec: SandboxSpec, zygote: Zygote) -> ZygoteSandbox:
        slot = await self._take_slot()
        sandbox = self._sandbox(spec.runtime, slot)
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

    def memory_bytes(self) -> int | None:
        """See driver.SandboxDriver."""
        return None if self.cgroups is None else self.cgroups.total_bytes()

    def tmp_counts_as_memory(self) -> bool:
        """True when /tmp is held in memory, which then needs room for it."""
        return bool(self.facts.get("tmp") == "memory")

    def kill_inside(self, slot: int) -> None:
        """Has the launcher kill all of a sandbox but its init."""
        self._command(op="kill", slot=slot)

    def forget(self, sandbox: ZygoteSandbox, slot: int) -> None:
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
            self._stop_listening()
            self._control.shutdown(socket.SHUT_WR)
            # The launcher closes its end when everything is gone from the host.
            try:
                async with asyncio.timeout(self._options.end_timeout_s):
                    while await self._loop.sock_recv(self._control, MAX_COMMAND_BYTES):
                        pass
            except TimeoutError:
                sys.stderr.write("squib launcher: still removing what it has made\n")
        self._control.close()
        if self.cgroups is not None:
            self.cgroups.close()
