"""One execution environment: the shell of `scheduler.environment`.

Turns effects into driver calls and answers. What the driver is asked to do goes through one queue, so that a
restart follows the kill before it. All methods are called on the event loop.
"""

import logging
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeAlias

from squib.environment import failure as failures
from squib.environment.driver import (
    End,
    EndCause,
    LogSource,
    Sandbox,
    SandboxSpec,
    Wiring,
)
from squib.environment.failure import Failure
from squib.environment.log_lines import Report
from squib.environment.runtime_api import RuntimeApi
from squib.environment.runtime_session import Meaning
from squib.environment.surroundings import Surroundings
from squib.environment.variables import environment_variables
from squib.http.server import HttpServer
from squib.model.errors import PlatformError, SquibError
from squib.model.function import FunctionVersion
from squib.model.invocation import Invocation, InvokeOutcome, Succeeded
from squib.model.limits import INIT_TIMEOUT_MS
from squib.model.units import EnvironmentId, EpochMs
from squib.scheduler.environment import RULES, Do, Event, State
from squib.scheduler.machine import step

Done: TypeAlias = Callable[[InvokeOutcome | SquibError], None]
"""Told the end of one invocation, exactly once; an exception when it was not the function's doing."""

_log: Final = logging.getLogger("squib.environment")


class Owner(Protocol):
    """The pool, as an environment knows it."""

    def offer(self, environment: "Environment") -> None:
        """The environment can take an invocation."""

    def stopping(self, environment: "Environment") -> None:
        """The environment begins to stop. Its `fault` says why when that was not wanted."""

    def stopped(self, environment: "Environment") -> None:
        """The environment is no more."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine in the owner's task group."""

    def due(self, at_ms: float) -> None:
        """Asks for a `sweep` at a monotonic time."""


class Environment:
    """One environment of one function version. Made when it is to start; owned by the pool."""

    def __init__(
        self,
        owner: Owner,
        surroundings: Surroundings,
        function: FunctionVersion,
        environment_id: EnvironmentId,
        group: Any = None,
    ) -> None:
        """`group` and `place` are the pool's own."""
        self.environment_id = environment_id
        self.function = function
        self.group = group
        self.place = 0
        self.state = State.INIT
        self.fault: SquibError | None = None
        self.idle_since_ms = 0.0
        self.deadline_ms = 0.0
        """Of the initialization or of the invocation; monotonic."""
        self._owner = owner
        self._with = surroundings
        self._api = RuntimeApi(self)
        self._endpoint = HttpServer(
            surroundings.endpoint,
            surroundings.endpoint_limits,
            on_too_large=surroundings.on_endpoint_too_large,
        )
        self._sandbox: Sandbox | None = None
        self._is_frozen = False
        self._operations: deque[Callable[[], Coroutine[Any, Any, None]]] = deque()
        self._is_operating = False
        self._generation = 1  # counts runtimes; an end of an earlier one comes too late to mean anything
        self._ends_seen = 0
        self._init_started_ms = 0.0
        self._cold_init_ms: float | None = None  # to be billed with the first invocation
        self._invocation: Invocation | None = None
        self._done: Done | None = None
        self._started_ms = 0.0
        self._is_start_logged = False
        self._is_reinit = False  # the invocation's time includes an initialization
        self._payload = b""
        self._failure: Failure | SquibError | None = None
        self._unfinished: Report | None = None  # its END and REPORT are still to be written
        now_ms = surroundings.clock.now_ms()
        day = datetime.fromtimestamp(now_ms / 1000, UTC)
        self._log_stream = f"{day:%Y/%m/%d}/[{function.version}]{environment_id}"
        self.log = surroundings.open_log(function, self._log_stream)
        self._key = surroundings.mint(function, environment_id)
        self.log.write(now_ms, self.log.lines.init_start(now_ms))
        self._has_init_deadline = True
        self._begin_init()
        self._api.runtime_started()
        self._operate(self._create)

    @property
    def is_frozen(self) -> bool:
        """Its processes do not run."""
        return self._is_frozen

    # --- what the pool asks for

    def assign(self, invocation: Invocation, done: Done) -> None:
        """Gives the environment an invocation; only when it was offered, and once for each offer."""
        now_ms = self._with.clock.monotonic_ms()
        self._invocation = invocation
        self._done = done
        self._failure = None
        self._is_start_logged = False
        self._started_ms = now_ms
        self.deadline_ms = now_ms + invocation.function.timeout_s * 1000
        if self._is_frozen and self._sandbox is not None:
            self._is_frozen = False
            self._sandbox.thaw()
        self._happen(Event.ASSIGNED)

    def retire(self, fault: SquibError | None = None) -> None:
        """Ends the environment; `fault` is what an invocation in it is told."""
        self._failure = fault
        self._happen(Event.RETIRE)

    def sweep(self, now_ms: float) -> float:
        """Does what time demands; gives back when to look again."""
        state = self.state
        if state is State.BUSY or state is State.REINIT or (state is State.INIT and self._has_init_deadline):
            if now_ms < self.deadline_ms:
                return self.deadline_ms
            self._failure = failures.timed_out(self.function.timeout_s)
            self._happen(Event.DEADLINE)
            return now_ms + self._with.freeze_after_ms
        if state is State.IDLE or state is State.BROKEN:
            if self._unfinished is not None:
                self._drain_logs()
                self._finish()
            expires_ms = self.idle_since_ms + self._with.idle_expiry_ms
            if now_ms >= expires_ms:
                self.retire()
            elif state is State.IDLE and not self._is_frozen and self._sandbox is not None:
                freeze_ms = self.idle_since_ms + self._with.freeze_after_ms
                if not self._api.is_waiting:  # still does something after its answer: until its time is over
                    freeze_ms = max(freeze_ms, self.deadline_ms)
                if now_ms < freeze_ms:
                    return min(freeze_ms, now_ms + 10 * self._with.freeze_after_ms)
                self._is_frozen = True
                self._sandbox.freeze()
            return expires_ms
        return float("inf")

    # --- what the runtime says (RuntimeEvents)

    def on_ready(self) -> None:
        """The runtime asked for its first invocation."""
        if self.state is State.INIT:
            self._cold_init_ms = self._with.clock.monotonic_ms() - self._init_started_ms
        self._happen(Event.READY)

    def on_handing_out(self) -> EpochMs:
        """The clock of an invocation starts when the runtime gets it, unless it had to start a runtime."""
        clock = self._with.clock
        now_ms = clock.monotonic_ms()
        if not self._is_reinit:
            self._started_ms = now_ms
            self.deadline_ms = now_ms + self.function.timeout_s * 1000
        if self._unfinished is not None:
            self._drain_logs()  # what is in the pipes now belongs before END
        return EpochMs(clock.now_ms() + int(self.deadline_ms - now_ms))

    def on_handed_out(self) -> None:
        """The log is written while the runtime works."""
        if not self._is_start_logged:
            self._log_start()

    def on_response(self, payload: bytes) -> None:
        """The function succeeded."""
        self._payload = payload
        self._failure = None
        self._happen(Event.ANSWERED)

    def on_error(self, error_type: str | None, payload: bytes) -> None:
        """The function failed and said so."""
        self._failure = failures.posted(error_type, payload)
        self._happen(Event.ANSWERED)

    def on_refused_response(self, meaning: Meaning) -> None:
        """The function answered with what cannot be passed on."""
        too_large = meaning is Meaning.TOO_LARGE
        self._failure = failures.response_too_large() if too_large else failures.bad_response_mode()
        self._happen(Event.ANSWERED)

    def on_init_error(self, error_type: str | None, payload: bytes) -> None:
        """The runtime cannot initialize; it says why."""
        self._failure = failures.init_error(error_type, payload)
        self._happen(Event.INIT_FAILED)

    # --- what the sandbox says (Wiring)

    def _on_start(self) -> None:
        """Waiting for a place on the machine is over: from here on it is initialization."""
        self._has_init_deadline = True
        if self.state is State.INIT:
            self._begin_init()

    def _on_log(self, source: LogSource, data: bytes) -> None:
        self.log.feed(source, data, self._with.clock.now_ms())

    def _on_end(self, end: End) -> None:
        self._ends_seen += 1
        if self._ends_seen < self._generation:
            return
        self.log.runtime_ended(self._with.clock.now_ms())
        self._failure = failures.ended(end)
        if end.cause is EndCause.LOST:
            self._fail_for_good(PlatformError("an execution environment was lost"))
        elif self.state is State.BUSY and not self._api.was_handed_out:
            self._happen(Event.EXITED_EARLY)
        else:
            self._happen(Event.EXITED)

    # --- effects

    def _happen(self, event: Event) -> None:
        row = _ROWS.get((self.state, event))
        if row is None:
            step(RULES, self.state, event)  # raises
            return
        self.state, effects = row
        for effect in effects:
            effect(self)

    def _deliver(self) -> None:
        assert self._invocation is not None, "an assigned environment has an invocation"
        self._api.deliver(self._invocation)

    def _answer(self) -> None:
        """The runtime answered: the caller hears it at once. END and REPORT are written with the next START,
        or by the next sweep, unless they are asked for."""
        failure = self._failure
        invocation = self._invocation
        done = self._done
        assert invocation is not None and done is not None and not isinstance(failure, SquibError)
        self._invocation = self._done = None
        self._unfinished = self._report(invocation, failure)
        tail = b""
        if invocation.wants_log_tail:
            self._drain_logs()
            self._finish()
            tail = self.log.take_tail()
        if failure is None:
            done(Succeeded(payload=self._payload, executed_version=self.function.version, log_tail=tail))
        else:
            done(failure.outcome(invocation.request_id, self.function.version, tail))
        self._payload = b""

    def _fail(self) -> None:
        """The invocation ends here, whatever the runtime does."""
        failure = self._failure
        invocation = self._invocation
        done = self._done
        assert invocation is not None and done is not None and failure is not None
        if not self._is_start_logged:
            self._log_start()
        self._invocation = self._done = None
        reported = failures.ended(End(cause=EndCause.LOST)) if isinstance(failure, SquibError) else failure
        self._unfinished = self._report(invocation, reported)
        self._drain_logs()
        if reported.posted is None:
            now_ms = self._with.clock.now_ms()
            text = reported.text(invocation.request_id)
            lines = self.log.lines
            self.log.write(
                now_ms,
                lines.failure(now_ms, invocation.request_id, reported.status, reported.error_type, text),
            )
        self._finish()
        tail = self.log.take_tail() if invocation.wants_log_tail else b""
        if isinstance(failure, SquibError):
            done(failure)
        else:
            done(failure.outcome(invocation.request_id, self.function.version, tail))

    def _record_init(self) -> None:
        failure = self._failure
        assert isinstance(failure, Failure)
        self._drain_logs()
        now_ms = self._with.clock.now_ms()
        duration_ms = self._with.clock.monotonic_ms() - self._init_started_ms
        line = self.log.lines.init_report(
            now_ms,
            duration_ms=duration_ms,
            phase="invoke" if self._is_reinit else "init",
            status=failure.status,
            error_type=failure.error_type,
        )
        self.log.write(now_ms, line)

    def _kill(self) -> None:
        self._api.runtime_ended()
        self._operate(self._kill_sandbox)

    def _restart(self) -> None:
        self._log_start()
        self._generation += 1
        self._is_reinit = True
        generation = self._generation
        self._operate(lambda: self._restart_sandbox(generation))

    def _offer(self) -> None:
        self._is_reinit = False
        self.idle_since_ms = self._with.clock.monotonic_ms()
        self._owner.offer(self)

    def _destroy(self) -> None:
        self._owner.stopping(self)
        self._api.close()
        self._operate(self._destroy_sandbox)

    # --- the invocation's record

    def _report(self, invocation: Invocation, failure: Failure | None) -> Report:
        duration_ms = self._with.clock.monotonic_ms() - self._started_ms
        init_ms, self._cold_init_ms = self._cold_init_ms, None
        if failure is None:
            return Report(
                request_id=invocation.request_id,
                duration_ms=duration_ms,
                init_duration_ms=init_ms,
                memory_mib=self.function.memory_mib,
            )
        return Report(
            request_id=invocation.request_id,
            duration_ms=min(duration_ms, self.function.timeout_s * 1000),
            init_duration_ms=init_ms,
            memory_mib=self.function.memory_mib,
            status=failure.status,
            error_type=failure.error_type,
            is_platform_failure=failure.is_platform,
        )

    def _log_start(self) -> None:
        invocation = self._invocation
        assert invocation is not None, "START is written for an invocation"
        self._finish()
        self._is_start_logged = True
        log = self.log
        if invocation.wants_log_tail:
            log.start_tail()
        now_ms = self._with.clock.now_ms()
        log.write(now_ms, log.lines.start(now_ms, invocation.request_id))

    def _finish(self) -> None:
        """Writes END and REPORT of the invocation before. What the function wrote was drained before."""
        report = self._unfinished
        if report is None:
            return
        self._unfinished = None
        log = self.log
        now_ms = self._with.clock.now_ms()
        log.flush(now_ms)
        log.write(now_ms, log.lines.end(now_ms, report.request_id))
        used = (1 << 60) if report.error_type == failures.OUT_OF_MEMORY else self._memory_peak_bytes()
        log.write(now_ms, log.lines.report(now_ms, report, used))

    def _drain_logs(self) -> None:
        if self._sandbox is not None:
            self._sandbox.drain_logs()

    def _memory_peak_bytes(self) -> int:
        return 0 if self._sandbox is None else self._sandbox.memory_peak_bytes()

    def _begin_init(self) -> None:
        self._init_started_ms = self._with.clock.monotonic_ms()
        if self.state is State.INIT:
            self.deadline_ms = self._init_started_ms + INIT_TIMEOUT_MS
            self._owner.due(self.deadline_ms)

    # --- operations on the sandbox, one after the other

    def _operate(self, operation: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._operations.append(operation)
        if not self._is_operating:
            self._is_operating = True
            self._owner.spawn(self._run_operations())

    async def _run_operations(self) -> None:
        while self._operations:
            operation = self._operations.popleft()
            try:
                await operation()
            except Exception as error:
                _log.exception("environment_failed environment_id=%s", self.environment_id)
                if not isinstance(error, SquibError):
                    error = PlatformError(f"an execution environment failed: {type(error).__name__}")
                self._fail_for_good(error)
        self._is_operating = False

    def _fail_for_good(self, error: SquibError) -> None:
        self.fault = self._failure = error
        self._happen(Event.FAULT)

    async def _create(self) -> None:
        wiring = Wiring(
            runtime_api=self._api.protocol,
            endpoint=self._endpoint.protocol_factory,
            on_start=self._on_start,
            on_log=self._on_log,
            on_end=self._on_end,
        )
        function = self.function
        spec = SandboxSpec(
            environment_id=self.environment_id,
            runtime=function.runtime,
            code=function.code.digest,
            opt=function.opt_digest,
            handler=function.handler,
            variables=environment_variables(
                function,
                log_stream=self._log_stream,
                endpoint_url=self._with.endpoint_url,
                access_key=self._key,
            ),
            memory_mib=function.memory_mib,
            ephemeral_mib=function.ephemeral_mib,
        )
        self._has_init_deadline = False  # waiting for a place on the machine is not initialization
        self._sandbox = await self._with.driver.create(spec, wiring)

    async def _kill_sandbox(self) -> None:
        if self._sandbox is not None:
            self._is_frozen = False
            await self._sandbox.kill()

    async def _restart_sandbox(self, generation: int) -> None:
        if self._sandbox is None or self.state is not State.REINIT or generation != self._generation:
            self._ends_seen += 1  # the invocation's time was over before its runtime's turn came
            return
        self._init_started_ms = self._with.clock.monotonic_ms()
        self._api.runtime_started()
        self._is_frozen = False
        await self._sandbox.restart()

    async def _destroy_sandbox(self) -> None:
        try:
            if self._sandbox is not None:
                self._drain_logs()
                self._finish()
                await self._sandbox.destroy()
        finally:
            self._endpoint.abort()
            self.log.runtime_ended(self._with.clock.now_ms())
            self.log.close()
            self._with.revoke(self._key.access_key_id)
            self._happen(Event.DESTROYED)
            self._owner.stopped(self)


_EFFECTS: Final[dict[Do, Callable[[Environment], None]]] = {
    Do.DELIVER: Environment._deliver,
    Do.ANSWER: Environment._answer,
    Do.FAIL: Environment._fail,
    Do.RECORD_INIT: Environment._record_init,
    Do.KILL: Environment._kill,
    Do.RESTART: Environment._restart,
    Do.OFFER: Environment._offer,
    Do.DESTROY: Environment._destroy,
}
_ROWS: Final = {
    pair: (state, tuple(_EFFECTS[effect] for effect in effects)) for pair, (state, effects) in RULES.items()
}
"""RULES with the methods that carry the effects out."""
