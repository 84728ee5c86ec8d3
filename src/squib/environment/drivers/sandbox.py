"""The default driver: sandboxes forked from a fork server into namespaces and a cgroup of their own.

The daemon's side of launcher.py and zygote.py: it keeps prepared slots at hand, sends the spawn command, and
serves the sandbox's sockets. It needs no privilege itself.
"""

import asyncio
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from squib.environment.driver import NO_CLONES, RuntimeUnavailable, Sandbox, SandboxSpec, TemplateLost, Wiring
from squib.environment.drivers.clone_sandbox import CloneSandbox
from squib.environment.drivers.fork_server import ReadySlot, Zygote
from squib.environment.drivers.launcher_link import Answer, LauncherLink, LauncherRefused
from squib.environment.drivers.sandbox_group import SandboxGroup
from squib.environment.drivers.zygote_sandbox import ZygoteSandbox
from squib.environment.isolation.cgroups import Cgroups, open_bases
from squib.environment.isolation.launcher import LauncherOptions
from squib.environment.isolation.tmp_images import DEFAULT_TMP_MIB
from squib.environment.runtimes import Runtime
from squib.model.errors import PlatformError
from squib.model.units import EnvironmentId

_log: Final = logging.getLogger("squib.environment")
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
    arguments = [sys.executable, "-I", "-m", "squib.environment.isolation.launcher", options.encode()]
    return os.posix_spawn(sys.executable, arguments, os.environ, setsid=True)


class ZygoteDriver:
    """Implements driver.SandboxDriver over a launcher's control socket."""

    name = "sandbox"
    starts_extensions = True

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
        self._runtimes, self._unavailable = runtimes, unavailable
        self._link = LauncherLink(control, self._handle, self._lose)
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._ready: deque[ReadySlot] = deque()
        self._slot_waiters: deque[asyncio.Future[ReadySlot]] = deque()
        self._zygotes: dict[str, asyncio.Future[Zygote]] = {}
        self._blanks: dict[str, deque[ZygoteSandbox]] = {}
        self._making_blanks: dict[str, int] = {}
        self._starting = asyncio.Semaphore(MAX_STARTING)
        self._sandboxes: set[ZygoteSandbox] = set()
        self._clones: set[CloneSandbox] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._started: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._said = ""  # the launcher's last complaint
        self.cgroups: Cgroups | None = None
        self.facts: Mapping[str, Any] = {}
        """What the launcher found: warnings, outside, tmp."""

    async def open(self) -> None:
        """Waits for the launcher. Raises PlatformError when it can't work here."""
        self._link.open()
        async with asyncio.timeout(self._options.start_timeout_s):
            self.facts = await self._started
        if self.facts["cgroups"]:
            self.cgroups = open_bases(self.facts["cgroups"])

    # --- the launcher's messages

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

    def _lose(self, error: PlatformError) -> None:
        waiting: list[asyncio.Future[Any]] = [self._started, *self._slot_waiters, *self._zygotes.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
        if self._started.done():
            self._on_lost(str(error))

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
        self._link.check()
        future = self._zygotes.get(runtime)
        if future is None:
            future = self._zygotes[runtime] = self._loop.create_future()
            self._link.send(op="zygote", runtime=runtime)
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
        if future is None or not future.done() or future.exception() is not None or self._link.lost:
            return
        blanks = self._blanks[runtime]
        while len(blanks) + self._making_blanks.get(runtime, 0) < self._options.blanks and self._ready:
            slot = self._ready.popleft()
            self._link.send(op="took")
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
            self._link.send(op="recycle", slot=slot.number)
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
        if spec.is_template and not self.clones:
            raise PlatformError(NO_CLONES)
        try:
            async with asyncio.timeout(self._options.start_timeout_s), self._starting:
                zygote = await self._zygote(spec.runtime)
                blanks = self._blanks.setdefault(spec.runtime, deque())
                if blanks and spec.ephemeral_mib == DEFAULT_TMP_MIB:
                    sandbox = blanks.popleft()
                else:
                    sandbox = await self._fresh(spec, zygote)
                try:
                    if spec.is_traced and not spec.is_template:
                        await sandbox.open_traces()
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

    # --- clones

    @property
    def clones(self) -> bool:
        """See driver.SandboxDriver."""
        return bool(self.facts.get("clones"))

    async def clone(self, template: Sandbox, environment_id: EnvironmentId, wiring: Wiring) -> CloneSandbox:
        """See driver.SandboxDriver."""
        if not isinstance(template, ZygoteSandbox) or template.source is None:
            raise PlatformError("this environment is no template")
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                return await template.source.clone(wiring)
        except TimeoutError as error:
            raise PlatformError("no clone could be made in time") from error
        except OSError as error:
            raise PlatformError(f"no clone could be made: {error}") from error

    async def take_snapshot(self, slot: int) -> None:
        """Has the launcher keep what clones will find in /tmp. Raises OSError."""
        await self._link.ask("snapshot", slot=slot)

    async def place_clone(self) -> CloneSandbox:
        """A place for a clone. Raises OSError."""
        asked = self._loop.create_task(self._link.ask("clone-slot"))
        try:
            answer, _ = await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._give_back)
            raise
        try:
            clone = CloneSandbox(self, answer["number"])
        except OSError:
            self._link.send(op="recycle", slot=answer["number"])
            raise
        self._clones.add(clone)
        return clone

    def _give_back(self, asked: "asyncio.Task[Answer]") -> None:
        """Nobody waits for the place any more that was asked for."""
        if not asked.cancelled() and asked.exception() is None:
            self._link.send(op="recycle", slot=asked.result()[0]["number"])

    async def adopt(self, clone: CloneSandbox, template: int, process: int) -> None:
        """Has the launcher check a clone and furnish it. Raises OSError, TemplateLost when it is none."""
        try:
            answer, fds = await self._link.ask("adopt", [process], slot=clone.slot, template=template)
        except LauncherRefused as refused:
            if refused.answer.get("lost"):
                _log.warning("a template has ended, having offered what is no clone: %s", refused)
                raise TemplateLost(f"the template has offered what is no clone: {refused}") from refused
            raise
        listeners = [socket.socket(fileno=fd) for fd in fds]
        assert self.cgroups is not None
        clone.adopt(SandboxGroup(self.cgroups, clone.slot), listeners, answer["resident_bytes"])

    async def open_socket(self, slot: int, *, udp: bool = False) -> socket.socket:
        """A socket of a slot's network. Raises OSError."""
        _, fds = await self._link.ask("socket", slot=slot, udp=udp)
        made = socket.socket(fileno=fds[0])
        made.setblocking(False)
        return made

    def end_clone(self, slot: int) -> None:
        """Has the launcher kill all of a clone."""
        self._link.send(op="end", slot=slot)

    def clone_gone(self, clone: CloneSandbox) -> None:
        """The clone has given everything up but its slot."""
        self._clones.discard(clone)
        self._link.send(op="recycle", slot=clone.slot)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something beside everything else, until the driver closes."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
            self._link.check()
            waiter: asyncio.Future[ReadySlot] = self._loop.create_future()
            self._slot_waiters.append(waiter)
            try:
                slot = await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                    self._offer(waiter.result())
                raise
        self._link.send(op="took")
        return slot

    async def _resize_tmp(self, number: int, size_mib: int) -> None:
        await self._link.ask("tmp", slot=number, mib=size_mib)

    def memory_bytes(self) -> int | None:
        """See driver.SandboxDriver."""
        return None if self.cgroups is None else self.cgroups.total_bytes()

    def tmp_counts_as_memory(self) -> bool:
        """True when /tmp is held in memory, which then needs room for it."""
        return bool(self.facts.get("tmp") == "memory")

    def kill_inside(self, slot: int) -> None:
        """Has the launcher kill all of a sandbox but its init."""
        self._link.send(op="kill", slot=slot)

    def forget(self, sandbox: ZygoteSandbox, slot: int) -> None:
        """The sandbox has given everything up but its slot."""
        self._sandboxes.discard(sandbox)
        self._link.send(op="recycle", slot=slot)

    @property
    def cpu_quota(self) -> bool:
        return self._options.cpu_quota

    async def close(self) -> None:
        """Ends every sandbox, the fork servers and the launcher."""
        for task in self._tasks:
            task.cancel()
        for clone in list(self._clones):
            clone.give_up()
        for sandbox in list(self._sandboxes):
            sandbox.give_up()
        for slot in self._ready:
            slot.close()
        self._ready.clear()
        for future in self._zygotes.values():
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().close()
        try:
            await self._link.close(self._options.end_timeout_s)
        except TimeoutError:
            sys.stderr.write("squib launcher: still removing what it has made\n")
        if self.cgroups is not None:
            self.cgroups.close()
