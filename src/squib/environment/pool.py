"""All execution environments of this node: the shell of `scheduler.assignment`.

An invocation takes the idle environment that was used last, or waits; whichever comes first, its own new
environment or one that another invocation gave back, serves it. All methods are called on the event loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

from squib.access.log_rights import FullPermit, LogPermit
from squib.clock import Clock, Entropy
from squib.environment.driver import SandboxDriver
from squib.environment.environment import Environment
from squib.environment.group import BUSY, IDLE, STARTING, STOPPING, Group, VersionUse
from squib.environment.log.log_opener import LogOpener
from squib.environment.pool_options import PoolOptions
from squib.environment.room import Room
from squib.environment.roster import Roster
from squib.environment.serving import Done
from squib.environment.surroundings import Surroundings
from squib.environment.sweeper import NEVER, Sweeper
from squib.environment.templates import Templates
from squib.environment.tracing.tracer import Tracer
from squib.environment.view import EnvironmentView
from squib.http.exchange import Handler
from squib.http.limits import HttpLimits
from squib.http.server import refuse_too_large
from squib.model.concurrency import Allocation
from squib.model.errors import ServiceUnavailable, SquibError, TooManyRequests
from squib.model.function import FunctionVersion
from squib.model.identity import AccessKey
from squib.model.invocation import Invocation, InvokeOutcome
from squib.model.limits import MAX_CREATE_REQUEST_BYTES
from squib.model.units import ArchiveDigest, EnvironmentId
from squib.scheduler.assignment import Assignment, assign
from squib.scheduler.concurrency import Throttle
from squib.scheduler.environment import IS_AT_WORK
from squib.scheduler.lifetime import Initialization, lifetime
from squib.scheduler.parameters import LOG_END_AFTER_MS, LOOK_AT_MEMORY_MS, MAX_BEING_MADE
from squib.scheduler.provisioning import NO_ROOM, Provision
from squib.scheduler.rates import Bucket
from squib.store.base import Logs
from squib.store.meter import Meter

_log: Final = logging.getLogger("squib.environment")
_MORE_HELD_BYTES: Final = 8 << 20  # squib's choice: one environment's small requests beside its greatest


class Pool:
    """Owns the environments. `run` must be running while invocations are made."""

    def __init__(
        self,
        *,
        driver: SandboxDriver,
        ensure_code: Callable[[FunctionVersion], Awaitable[None]],
        logs: Logs,
        clock: Clock,
        entropy: Entropy,
        mint: Callable[[FunctionVersion, EnvironmentId], AccessKey],
        revoke: Callable[[str], None],
        endpoint: Handler,
        on_endpoint_too_large: Handler = refuse_too_large,
        extensions: Callable[[FunctionVersion], tuple[str, ...]] = lambda function: (),
        log_permit: Callable[[FunctionVersion, str], LogPermit] = lambda function, stream: FullPermit(),
        meter: Meter | None = None,
        tracer: Tracer | None = None,
        options: PoolOptions | None = None,
    ) -> None:
        """`ensure_code` returns once a version's code lies unpacked. `mint` makes the credentials of an
        environment, `revoke` ends them by access key id; `endpoint` serves squib's own API to functions;
        `extensions` names those to be started with a function; `log_permit` tells what may be written to a
        function's log stream; `tracer` writes segments."""
        self._options = options or PoolOptions()
        self._ensure_code = ensure_code
        self._clock = clock
        self._entropy = entropy
        self._surroundings = Surroundings(
            driver=driver,
            clock=clock,
            open_log=LogOpener(logs, clock, log_permit),
            mint=mint,
            revoke=revoke,
            endpoint=endpoint,
            on_endpoint_too_large=on_endpoint_too_large,
            endpoint_limits=HttpLimits(
                max_body_bytes=MAX_CREATE_REQUEST_BYTES,
                max_held_bytes=MAX_CREATE_REQUEST_BYTES + _MORE_HELD_BYTES,
                max_connections=self._options.max_endpoint_connections,
            ),
            endpoint_url=self._options.endpoint_url,
            extensions=extensions,
            meter=meter or Meter(),
            tracer=tracer,
            new_id=entropy.request_id,
            freeze_after_ms=self._options.freeze_after_ms,
        )
        self._settle_after_ms = min(self._options.freeze_after_ms, LOG_END_AFTER_MS)
        self._roster = Roster()
        self.templates = Templates(
            self._surroundings, entropy.environment_id, self.spawn, lambda: self._room.make(1)
        )
        """What environments of versions with a snapshot are cloned of."""
        self._room = Room(self._roster, self.templates, driver, self._options)
        self._owed: deque[Group] = deque()  # those to look at when fewer are being made
        self._loop = asyncio.get_running_loop()
        self._tasks: asyncio.TaskGroup | None = None
        self._is_closing = False
        self._changed = asyncio.Event()  # an environment stopped, or an invocation ended while closing
        self._closed = asyncio.Event()
        self._sweeper: Sweeper[Environment | Group | Room] = Sweeper(clock, self._loop, self._look)

    # --- invoking

    def try_invoke(self, invocation: Invocation, done: Done) -> bool:
        """Gives the invocation to an idle environment; False, and nothing done, when there is none."""
        function = invocation.function
        group = self._roster.find(function)
        if group is None or not group.idle or self._is_closing:
            return False
        self._assign(group.idle.pop(), invocation, done)
        return True

    async def invoke(self, invocation: Invocation) -> InvokeOutcome:
        """The outcome of one invocation. Waits as long as the function's timeout and an initialization.

        Raises TooManyRequests when no environment can be had, ServiceUnavailable when the pool closes,
        PlatformError when the machine fails. When the caller is cancelled, an invocation that has begun goes
        on without it.
        """
        waiter: asyncio.Future[InvokeOutcome] = self._loop.create_future()

        def done(outcome: InvokeOutcome | SquibError) -> None:
            if waiter.done():
                return
            if isinstance(outcome, SquibError):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)

        if not self.try_invoke(invocation, done):
            await self._ensure_code(invocation.function)  # does not wait once it lies there
            if not self.try_invoke(invocation, done):
                self._wait(invocation, done)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._forget_waiting(invocation, done)
            raise

    def _assign(self, environment: Environment, invocation: Invocation, done: Done) -> None:
        group: Group = environment.group
        group.move(environment, BUSY)
        if group.counts[BUSY] > group.peak:
            group.peak = group.counts[BUSY]
        environment.assign(invocation, done)
        if environment.deadline_ms < environment.due_at_ms:
            self._sweeper.due(environment, environment.deadline_ms)

    def _wait(self, invocation: Invocation, done: Done) -> None:
        """Queues an invocation, and starts an environment when `scheduler.assignment` says so."""
        if self._is_closing:
            done(ServiceUnavailable())
            return
        group = self._group(invocation.function)
        group.waiting.append((invocation, done))
        self._provide(group, len(group.waiting) - 1)

    def _provide(self, group: Group, waiting_count: int) -> None:
        """Sees to one more invocation of those that wait: `waiting_count` others have been seen to."""
        may_make = len(self._roster.unbound) < MAX_BEING_MADE
        has_room = not may_make or not self._room.shortage(1)
        decision = assign(
            idle_count=len(group.idle),
            starting_count=group.starting_count,
            waiting_count=waiting_count,
            busy_count=group.counts[BUSY],
            has_room=has_room,
            evictable_count=0 if has_room else sum(1 for _ in self._room.evictable(group)),
            may_make=may_make,
        )
        if decision is Assignment.START_LATER:
            self._owed.append(group)
        elif decision is Assignment.REFUSE:
            self._refuse(group)
        elif decision is Assignment.START or decision is Assignment.EVICT_AND_START:
            if not group.may_scale(self._clock.monotonic_ms()):
                self._refuse(group, retry_after_s=1)
                return
            if has_room or self._room.make(1, group):
                self._start(group)
            elif not group.starting_count + group.counts[BUSY]:
                self._refuse(group)

    def _refuse(self, group: Group, *, retry_after_s: int | None = None) -> None:
        """Tells one that waits that it waits in vain: who came last."""
        _, done = group.waiting.pop()
        self._roster.drop_if_empty(group)
        done(TooManyRequests(Throttle.UNRESERVED, retry_after_s=retry_after_s))

    def _pay(self) -> None:
        """Starts what could not be started yet, as far as it is still needed."""
        while self._owed and len(self._roster.unbound) < MAX_BEING_MADE and not self._is_closing:
            group = self._owed.popleft()
            if len(group.waiting) > group.starting_count:
                self._provide(group, group.starting_count)
            self._prepare(group)

    def _group(self, function: FunctionVersion) -> Group:
        group = self._roster.find(function)
        if group is None:
            self._retire_older(function)
            same = (
                other.scale_up for other in self._roster.groups.values() if other.function.key == function.key
            )
            group = Group(function, next(same, None) or Bucket())
            self._roster.groups[function.content_id, function.version] = group
        return group

    def _start(self, group: Group, initialization: Initialization = Initialization.ON_DEMAND) -> None:
        if initialization is Initialization.ON_DEMAND and group.function.has_snapshot:
            initialization = Initialization.SNAP_START
        self._roster.live_count += 1
        life = lifetime(
            initialization,
            timeout_s=group.function.timeout_s,
            idle_expiry_ms=self._options.idle_expiry_s * 1000,
            now_ms=self._clock.monotonic_ms(),
        )
        environment = Environment(
            self, self._surroundings, group.function, self._entropy.environment_id(), life, group
        )
        environment.place = STARTING
        group.counts[STARTING] += 1
        if life.is_prepared:
            group.preparing.add(environment)
        self._roster.environments[environment.environment_id] = environment
        self._roster.unbound.add(environment)
        if self._options.memory_budget_bytes:
            self._sweeper.due(self._room, self._clock.monotonic_ms() + LOOK_AT_MEMORY_MS)
        _log.info("environment_started environment_id=%s", environment.environment_id)

    def _forget_waiting(self, invocation: Invocation, done: Done) -> None:
        group = self._roster.find(invocation.function)
        if group is not None and (invocation, done) in group.waiting:
            group.waiting.remove((invocation, done))

    # --- what environments say (Owner)

    def bound(self, environment: Environment) -> None:
        """An environment has its sandbox: there is time for another."""
        self._roster.unbound.discard(environment)
        if self._owed:
            self._pay()

    def offer(self, environment: Environment) -> None:
        """An environment can take an invocation: the one that waits longest, if any."""
        group: Group = environment.group
        life = environment.lifetime
        is_wanted = environment.idle_since_ms < life.ends_at_ms
        if life.is_prepared:
            is_first = environment in group.preparing
            is_wanted = group.judge(environment, environment.idle_since_ms) and is_wanted
            if is_first:  # those that a failure has held back may follow
                self._prepare(group)
        if group.waiting and is_wanted:
            self._assign(environment, *group.waiting.popleft())
            return
        if self._is_closing:
            self._changed.set()
        group.rest(environment)
        if group.is_retired or not is_wanted:
            environment.retire()
            return
        sweep_at_ms = environment.idle_since_ms + self._settle_after_ms
        if sweep_at_ms < environment.due_at_ms:
            self._sweeper.due(environment, sweep_at_ms)

    def withdraw(self, environment: Environment) -> None:
        """An environment that was offered can't take an invocation after all."""
        environment.group.idle.remove(environment)
        environment.group.move(environment, BUSY)

    def stopping(self, environment: Environment) -> None:
        """An environment begins to stop. When it could not be started, one invocation that waits is told."""
        group: Group = environment.group
        self._roster.live_count -= 1
        was_starting = environment.place == STARTING and not environment.lifetime.is_prepared
        if environment.place == IDLE:
            group.idle.remove(environment)
        if environment.lifetime.is_prepared:
            group.leave(environment, self._clock.monotonic_ms())
        group.move(environment, STOPPING)
        if was_starting and environment.fault is not None and len(group.waiting) > group.starting_count:
            group.waiting.popleft()[1](environment.fault)
        self._roster.unbound.discard(environment)
        self._owed.append(group)
        self._pay()
        self._roster.drop_if_empty(group)

    def stopped(self, environment: Environment) -> None:
        """An environment is no more."""
        del self._roster.environments[environment.environment_id]
        self._sweeper.forget(environment)
        self._changed.set()
        _log.info("environment_stopped environment_id=%s", environment.environment_id)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine in the pool's task group."""
        assert self._tasks is not None, "the pool runs"
        self._tasks.create_task(work)

    def due(self, environment: Environment, at_ms: float) -> None:
        """Sweeps an environment at that monotonic time, or earlier."""
        self._sweeper.due(environment, at_ms)

    def _look(self, one: Environment | Group | Room, now_ms: float) -> float:
        """Timeouts, freezing, expiry; another attempt to initialize ahead of calls; too much memory."""
        if isinstance(one, Environment):
            return one.sweep(now_ms)
        if isinstance(one, Group):
            self._prepare(one)
            return NEVER
        one.make(0)
        return now_ms + LOOK_AT_MEMORY_MS if self._roster.environments else NEVER

    # --- initializing ahead of calls

    def provision(self, wanted: Sequence[tuple[FunctionVersion, int]]) -> None:
        """From now on exactly these versions have so many environments initialized, whether they are called
        or not. Their code lies unpacked."""
        counts = {(function.content_id, function.version): count for function, count in wanted}
        groups = [self._group(function) for function, _ in wanted]
        for group in [*groups, *self._roster.groups.values()]:
            count = counts.get(group.key, 0)
            if count != group.provision.wanted_count:
                group.provision = Provision(wanted_count=count)
                for environment in group.surplus():
                    environment.retire()
                self._prepare(group)
                self._roster.drop_if_empty(group)

    def allocation(self, function: FunctionVersion, wanted_count: int) -> Allocation:
        """How far that is, where so many are wanted."""
        group = self._roster.find(function)
        if group is None:
            return Allocation()
        return group.provision.allocation(wanted_count=wanted_count, ready_count=len(group.prepared))

    def _prepare(self, group: Group) -> None:
        if self._is_closing or group.is_retired:
            return
        now_ms = self._clock.monotonic_ms()
        for _ in range(group.to_prepare(now_ms)):
            if len(self._roster.unbound) >= MAX_BEING_MADE:
                self._owed.append(group)
                break
            if not self._room.make(1, group):
                group.provision = group.provision.failed(NO_ROOM, now_ms)
                break
            self._start(group, Initialization.PROVISIONED)
        if group.provision.retry_at_ms > now_ms:
            self._sweeper.due(group, group.provision.retry_at_ms)

    # --- retiring

    def retire(self, is_current: Callable[[FunctionVersion], bool]) -> None:
        """Ends the environments of versions that `is_current` denies: idle ones now, busy ones after their
        invocation."""
        self.templates.retire(is_current)
        for group in list(self._roster.groups.values()):
            if not group.is_retired and not is_current(group.function):
                self._retire_group(group)

    def _retire_older(self, function: FunctionVersion) -> None:
        for group in list(self._roster.groups.values()):
            if group.function.key == function.key and group.function.version == function.version:
                self._retire_group(group)

    def _retire_group(self, group: Group) -> None:
        group.is_retired = True
        group.provision = Provision()
        for environment in [*group.idle, *group.preparing]:
            environment.retire()
        self._roster.drop_if_empty(group)

    # --- looking

    def in_use(self) -> set[ArchiveDigest]:
        """The code of environments, of invocations that wait, and of templates."""
        return self._roster.in_use() | set(self.templates.in_use())

    def take_use(self) -> list[VersionUse]:
        """See Roster."""
        return self._roster.take_use()

    def snapshot(self) -> list[EnvironmentView]:
        """Every environment there is, and what those with a snapshot are cloned of."""
        now_ms = self._clock.monotonic_ms()
        return [*self._roster.snapshot(now_ms), *self.templates.views(now_ms)]

    # --- running

    async def run(self) -> None:
        """Holds the pool's tasks until `close` has ended, or it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._closed.wait()

    async def close(self, drain_timeout_s: float) -> None:
        """Takes no more invocations, lets those there are end for at most `drain_timeout_s`, then ends every
        environment."""
        self._is_closing = True
        try:
            async with asyncio.timeout(drain_timeout_s):
                while any(self._has_work()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        for group in self._roster.groups.values():
            while group.waiting:
                group.waiting.popleft()[1](ServiceUnavailable())
        for environment in list(self._roster.environments.values()):
            environment.retire(ServiceUnavailable())
        await self.templates.close()
        while self._roster.environments:
            self._changed.clear()
            await self._changed.wait()
        self._sweeper.stop()
        self._closed.set()

    def _has_work(self) -> Iterator[bool]:
        for group in self._roster.groups.values():
            yield bool(group.waiting)
        for environment in self._roster.environments.values():
            yield environment.state in IS_AT_WORK
