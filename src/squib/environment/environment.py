"""One execution environment: the shell of `scheduler.environment`.

Turns effects into driver calls and answers. All methods are called on the event loop.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from squib.environment import failure as failures
from squib.environment.apis.extensions import Extensions
from squib.environment.apis.runtime_api import RuntimeApi
from squib.environment.apis.runtime_session import Meaning
from squib.environment.beginning import Beginning
from squib.environment.belongings import Belongings
from squib.environment.driver import End, EndCause, Wiring
from squib.environment.failure import Failure
from squib.environment.housing import Housing
from squib.environment.log.journal import Journal
from squib.environment.owner import Owner
from squib.environment.runtime_starts import RuntimeStarts
from squib.environment.serving import Done, Serving
from squib.environment.shutdown_phase import ShutdownPhase
from squib.environment.surroundings import Surroundings
from squib.environment.template import NoSnapshot
from squib.http.exchange import Exchange
from squib.model.errors import IllegalTransitionError, PlatformError, SquibError
from squib.model.function import FunctionVersion
from squib.model.invocation import Invocation
from squib.model.limits import MAX_EXTENSIONS, RESTORE_TIMEOUT_MS
from squib.model.units import EnvironmentId, EpochMs
from squib.scheduler.environment import RESTORED_RULES, RULES, Do, Event, State
from squib.scheduler.lifetime import Initialization, Lifetime
from squib.scheduler.shutdown import Reason


class Environment:
    """One environment of one function version. Made when it is to start; owned by the pool."""

    def __init__(
        self,
        owner: Owner,
        surroundings: Surroundings,
        function: FunctionVersion,
        environment_id: EnvironmentId,
        lifetime: Lifetime,
        group: Any = None,
    ) -> None:
        """`group`, `place` and `due_at_ms` are the pool's own."""
        self.environment_id, self.function, self.lifetime = environment_id, function, lifetime
        self.group, self.place, self.due_at_ms = group, 0, float("inf")
        self.state = State.INIT
        self.fault: SquibError | None = None
        self.idle_since_ms = 0.0
        self.started_ms = surroundings.clock.monotonic_ms()
        self.deadline_ms = 0.0
        """Of the initialization or of the invocation; monotonic."""
        self._owner, self._with, clock = owner, surroundings, surroundings.clock
        self._names = surroundings.extensions(function)
        self._api = RuntimeApi(self, extension_count=min(len(self._names), MAX_EXTENSIONS))
        self._has = Belongings(surroundings, function, environment_id)
        self._housing = Housing(environment_id, owner.spawn, self._fail_for_good)
        self.memory_peak_bytes = self._housing.memory_peak_bytes
        self._drain_logs = self._housing.drain_logs
        self._starts = RuntimeStarts(waits_for_extensions=bool(self._names))
        self._rows = _ROWS
        self._is_reinit = False  # the invocation's time includes an initialization
        self._payload = b""
        self._failure: Failure | SquibError | None = None
        self._extensions: Extensions | None = None
        self._answered = Event.ANSWERED  # what an answer is, by whether there are extensions
        self._is_invoke_due = False  # extensions are to be told of the invocation
        self._deadline_epoch_ms = EpochMs(0)
        self._shutdown: ShutdownPhase | None = None  # while it lasts
        self._journal = Journal(
            self._has.log, clock, function, self._drain_logs, self.memory_peak_bytes, lifetime.is_prepared
        )
        self._serving = Serving(self._journal, surroundings, bills_init=not lifetime.is_prepared)
        self._beginning = Beginning(clock, self._journal, self._serving)
        if lifetime.initialization is Initialization.SNAP_START:
            self._has.tell_credentials(self._api, surroundings.new_id())
        else:
            self._journal.init_start()
        if self._names:
            self._have_extensions()
        self._has_init_deadline = True
        self._begin_init()
        self._api.runtime_started()
        self._housing.add(self._create)
        self._has.take_segments(self._housing)

    @property
    def is_frozen(self) -> bool:
        """Its processes do not run."""
        return self._housing.is_frozen

    @property
    def invocation_count(self) -> int:
        """Invocations it was given."""
        return self._serving.count

    # --- what the pool asks for

    def assign(self, invocation: Invocation, done: Done) -> None:
        """Gives the environment an invocation; only when it was offered, and once for each offer."""
        now_ms = self._with.clock.monotonic_ms()
        self._failure = None
        self._serving.begin(invocation, done, now_ms)
        self.deadline_ms = now_ms + invocation.function.timeout_s * 1000
        if self._housing.is_frozen:
            self._thaw()
        self._happen(Event.ASSIGNED)

    def retire(self, fault: SquibError | None = None) -> None:
        """Ends the environment; `fault` is what an invocation in it is told."""
        self._failure = fault
        self._happen(Event.RETIRE)

    def sweep(self, now_ms: float) -> float:
        """Does what time demands; gives back when to look again."""
        state = self.state
        if self._shutdown is not None:
            self._advance_shutdown()  # which asks for what follows
        elif state in _HAS_DEADLINE or (state is State.INIT and self._has_init_deadline):
            if now_ms < self.deadline_ms:
                return self.deadline_ms
            self._failure = failures.timed_out(self.function.timeout_s)
            self._happen(Event.DEADLINE)
        elif state is State.IDLE or state is State.BROKEN:
            if self._journal.unfinished is not None:
                self._drain_logs()
                self._journal.finish()
            expires_ms = self.lifetime.expires_ms(self.idle_since_ms)
            if now_ms >= expires_ms:
                self.retire()
            elif state is State.IDLE and not self.is_frozen and self._housing.sandbox is not None:
                freeze_ms = self.idle_since_ms + self._with.freeze_after_ms
                if not self._api.is_waiting:  # still does something after its answer: until its time is over
                    freeze_ms = max(freeze_ms, self.deadline_ms)
                if now_ms < freeze_ms:
                    return min(freeze_ms, now_ms + 10 * self._with.freeze_after_ms)
                self._housing.freeze()
                self._journal.pause()
            return expires_ms
        return float("inf")

    # --- what the runtime says (RuntimeEvents)

    def on_ready(self) -> None:
        """The runtime asked for its first invocation."""
        if self._extensions is not None:
            self._extensions.runtime_ready()
            if not self._extensions.is_waiting:
                return
        self._be_ready()

    def on_next(self) -> None:
        """The runtime asked for another invocation."""
        if self.state is State.FINISHING and self._extensions is not None and self._extensions.is_waiting:
            self._happen(Event.FINISHED)
        self._serving.rest()

    def on_extension_call(self, exchange: Exchange) -> None:
        """A call of the Extensions API or of one for telemetry; the first may be an internal extension's."""
        if self._extensions is None:
            self._have_extensions()
        assert self._extensions is not None
        self._extensions.serve(exchange)

    def on_handing_out(self) -> EpochMs:
        """The clock of an invocation starts when the runtime gets it, unless it had to start a runtime."""
        clock = self._with.clock
        now_ms = clock.monotonic_ms()
        if not self._is_reinit:
            self._serving.started_ms = now_ms
            self.deadline_ms = now_ms + self.function.timeout_s * 1000
        if self._journal.unfinished is not None:
            self._drain_logs()  # what is in the pipes now belongs before END
        self._deadline_epoch_ms = EpochMs(clock.now_ms() + int(self.deadline_ms - now_ms))
        return self._deadline_epoch_ms

    def on_handed_out(self) -> None:
        """The log is written while the runtime works."""
        if not self._journal.is_start_logged:
            self._serving.log_start()
        if self._is_invoke_due:
            self._is_invoke_due = False
            invocation = self._serving.invocation
            assert self._extensions is not None and invocation is not None
            self._extensions.invoke(invocation, self._deadline_epoch_ms)

    def on_response(self, payload: bytes) -> None:
        """The function succeeded."""
        self._payload = payload
        self._failure = None
        self._happen(self._answered)

    def on_error(self, error_type: str | None, payload: bytes) -> None:
        """The function failed and said so."""
        self._failure = failures.posted(error_type, payload)
        self._happen(self._answered)

    def on_refused_response(self, meaning: Meaning) -> None:
        """The function answered with what cannot be passed on."""
        too_large = meaning is Meaning.TOO_LARGE
        self._failure = failures.response_too_large() if too_large else failures.bad_response_mode()
        self._happen(self._answered)

    @property
    def is_beginning(self) -> bool:
        """Nothing has ended it yet, and its runtime is not ready."""
        return self.state is State.INIT

    def on_init_error(self, error_type: str | None, payload: bytes) -> None:
        """The runtime cannot initialize; it says why."""
        self._failure = failures.init_error(error_type, payload)
        self._happen(Event.INIT_FAILED)

    def on_restore_error(self, error_type: str | None, payload: bytes) -> None:
        """A hook of the function failed after the snapshot."""
        self._failure = failures.restore_error(error_type, payload)
        self._happen(Event.INIT_FAILED)

    # --- what extensions say (ExtensionEvents)

    def on_extensions_registered(self) -> None:
        """The runtime's turn has come."""
        is_time = self.state in (State.INIT, State.REINIT) and not self._starts.has_begun
        if self._housing.sandbox is not None and is_time:
            self._starts.begun()
            self._housing.sandbox.begin_runtime()

    def on_extension_waiting(self) -> None:
        """An extension asks for its next event."""
        assert self._extensions is not None
        if not self._extensions.is_waiting or not self._api.is_waiting:
            return
        if self.state is State.FINISHING:
            self._happen(Event.FINISHED)
        elif self.state is State.INIT or self.state is State.REINIT:
            self._be_ready()

    def on_extension_failed(self, failure: Failure) -> None:
        """An extension is gone, or about to go."""
        if self._shutdown is not None:
            self._advance_shutdown()
        elif self.state not in _ENDING:
            self._failure = failure
            self._happen(self._exit_event)

    # --- what the sandbox says (Wiring)

    def _on_start(self) -> None:
        """It has its place: initialization begins, or the runtime goes on from its snapshot."""
        self._has_init_deadline = True
        self._owner.bound(self)
        if self._beginning.is_restored:
            self._limit(self._beginning.goes_on() + RESTORE_TIMEOUT_MS)
        elif self.state is State.INIT:
            self._begin_init()

    def _on_extension_end(self, index: int, end: End) -> None:
        if self._extensions is not None:
            self._extensions.ended(index, end, is_expected=self.state in _ENDING)

    def _on_end(self, end: End) -> None:
        if not self._starts.ended():
            return
        self._journal.runtime_ended()
        if self._shutdown is not None:
            self._advance_shutdown()
            return
        self._failure = failures.ended(end)
        if end.cause is EndCause.LOST:
            self._fail_for_good(PlatformError("an execution environment was lost"))
        else:
            self._happen(self._exit_event)

    # --- what becomes of its snapshot (Clonable)

    def waits_for_template(self) -> None:
        """Others need not wait for a place on the machine meanwhile."""
        self._owner.bound(self)

    def restores(self, token: str) -> None:
        """It comes out of a snapshot, whose token is known inside."""
        self._rows = _RESTORED_ROWS
        self._beginning.restores()
        self._has.tell_credentials(self._api, token)
        self._api.runtime_restored()

    def does_not_restore(self) -> None:
        """It did not come out after all, and begins anew."""
        self._rows, self._has_init_deadline = _ROWS, False
        self._begin_init()
        self._api.runtime_started()

    # --- effects

    def _happen(self, event: Event) -> None:
        row = self._rows.get((self.state, event))
        if row is None:
            raise IllegalTransitionError(f"{event} is not possible in {self.state}")
        self.state, effects = row
        for effect in effects:
            effect(self)

    @property
    def _exit_event(self) -> Event:
        is_early = self.state is State.BUSY and not self._api.was_handed_out
        return Event.EXITED_EARLY if is_early else Event.EXITED

    def _be_ready(self) -> None:
        self._beginning.ready(is_cold_start=self.state is State.INIT)
        if self._extensions is not None:
            self._extensions.initialized()
        self._happen(Event.READY)

    def _deliver(self) -> None:
        invocation = self._serving.invocation
        assert invocation is not None, "an assigned environment has an invocation"
        self._is_invoke_due = self._extensions is not None
        self._api.deliver(invocation)

    def _answer(self) -> None:
        failure, self._failure = self._failure, None
        payload, self._payload = self._payload, b""
        assert not isinstance(failure, SquibError)
        self._serving.answer(failure, payload, is_over=self.state is State.IDLE)

    def _conclude(self) -> None:
        failure = self._failure  # an extension took too long, or failed
        self._serving.conclude(failure if isinstance(failure, Failure) else None)

    def _fail(self) -> None:
        assert self._failure is not None, "something failed"
        self._serving.fail(self._failure)

    def _record_init(self) -> None:
        failure = self._failure
        assert isinstance(failure, Failure)
        self._beginning.failed(failure)
        if self._beginning.is_restored:
            self.fault = failures.restore_fault(failure)

    def _shut_down(self) -> None:
        """Begins the shutdown phase, which is over at once where nobody would hear of it."""
        extensions = self._extensions
        reason = Reason.SPINDOWN
        if isinstance(self._failure, Failure):
            reason = Reason.TIMEOUT if self._failure.status == "timeout" else Reason.FAILURE
        sandbox = self._housing.sandbox
        if extensions is None or sandbox is None:
            self._happen(Event.SHUT)
            return
        self._thaw()
        self._journal.flush()
        self._api.runtime_stopping()
        due = partial(self._owner.due, self)
        self._shutdown = ShutdownPhase(reason, sandbox, extensions, self._with.clock, due)
        self._advance_shutdown()

    def _advance_shutdown(self) -> None:
        phase = self._shutdown
        assert phase is not None
        is_over = phase.advance(is_runtime_alive=self._starts.is_alive)
        if is_over and self._shutdown is phase:  # the end of what it ends may have led here already
            self._shutdown = None
            self._happen(Event.SHUT)

    def _kill(self) -> None:
        self._api.runtime_ended()
        self._starts.killed()
        self._housing.add(self._housing.kill)

    def _restart(self) -> None:
        self._serving.log_start()
        self._starts.anew()
        self._is_reinit = True
        self._beginning.phase = "invoke"
        generation = self._starts.generation
        self._housing.add(lambda: self._restart_sandbox(generation))

    def _offer(self) -> None:
        self._is_reinit = False
        self.idle_since_ms = self._with.clock.monotonic_ms()
        self._owner.offer(self)

    def _destroy(self) -> None:
        self._shutdown = None
        self._api.close()
        self._housing.add(self._destroy_sandbox)

    def _begin_init(self) -> None:
        self._limit(self._beginning.initializes() + self.lifetime.init_timeout_ms)

    def _limit(self, deadline_ms: float) -> None:
        """The beginning may take until then."""
        self.deadline_ms = deadline_ms
        self._owner.due(self, deadline_ms)

    def _have_extensions(self) -> None:
        """There are extensions, or some internal one is about to register."""
        self._api.tells_next = True
        self._answered = Event.ANSWERED_FIRST
        self._extensions = Extensions(
            self, self.function, self._journal, self._with, self._owner.spawn, self._housing.open_socket
        )
        self._extensions.started(self._names, self._beginning.phase)
        if self.state is not State.INIT and self.state is not State.REINIT:
            self._extensions.runtime_ready()
            self._extensions.initialized()

    def _thaw(self) -> None:
        if self._housing.thaw():
            self._journal.resume()

    # --- operations on the sandbox, one after the other

    def _fail_for_good(self, error: SquibError) -> None:
        self.fault = self._failure = error
        self._happen(Event.FAULT)

    async def _create(self) -> None:
        wiring = Wiring(
            runtime_api=self._api.protocol,
            endpoint=self._has.endpoint.protocol_factory,
            on_start=self._on_start,
            on_log=self._journal.feed,
            on_end=self._on_end,
            on_extension_end=self._on_extension_end,
        )
        self._has_init_deadline = False  # waiting for a place on the machine is not initialization
        if self.lifetime.initialization is Initialization.SNAP_START:
            made = await self._owner.templates.clone(self, wiring)
            if not isinstance(made, NoSnapshot):
                self._housing.sandbox = made
                return
            if not self.is_beginning:
                return
            self._journal.without_snapshot(made.reason)
            self._journal.init_start()
        spec = self._has.specification(self.lifetime.initialization, extensions=self._names[:MAX_EXTENSIONS])
        self._housing.sandbox = await self._with.driver.create(spec, wiring)
        self._look_at_extensions()

    def _look_at_extensions(self) -> None:
        """They have been started; some may have been quick."""
        if len(self._names) > MAX_EXTENSIONS:
            self.on_extension_failed(failures.too_many_extensions())
        elif self._extensions is not None and self._extensions.have_registered:
            self.on_extensions_registered()

    async def _restart_sandbox(self, generation: int) -> None:
        sandbox = self._housing.sandbox
        if sandbox is None or self.state is not State.REINIT or generation != self._starts.generation:
            self._starts.skipped()  # the invocation's time was over before its runtime's turn came
            return
        self._beginning.initializes()
        self._api.runtime_started()
        self._housing.is_frozen = False
        self._starts.started()
        if self._extensions is not None:
            self._extensions.started(self._names, self._beginning.phase)
        await sandbox.restart()
        self._look_at_extensions()

    async def _destroy_sandbox(self) -> None:
        try:
            self._drain_logs()
            self._journal.finish()
            await self._housing.destroy()
        finally:
            self._has.release()
            self._serving.close()
            self._happen(Event.DESTROYED)
            self._owner.stopped(self)


_HAS_DEADLINE: Final = frozenset({State.BUSY, State.FINISHING, State.REINIT})
_ENDING: Final = frozenset({State.RESETTING, State.BROKEN, State.CLOSING, State.STOPPING, State.STOPPED})
_EFFECTS: Final[dict[Do, Callable[[Environment], None]]] = {
    Do.DELIVER: Environment._deliver,
    Do.ANSWER: Environment._answer,
    Do.CONCLUDE: Environment._conclude,
    Do.FAIL: Environment._fail,
    Do.RECORD_INIT: Environment._record_init,
    Do.SHUT_DOWN: Environment._shut_down,
    Do.KILL: Environment._kill,
    Do.RESTART: Environment._restart,
    Do.OFFER: Environment._offer,
    Do.WITHDRAW: lambda one: one._owner.withdraw(one),
    Do.LEAVE: lambda one: one._owner.stopping(one),
    Do.DESTROY: Environment._destroy,
}
_ROWS, _RESTORED_ROWS = (
    {pair: (state, tuple(_EFFECTS[effect] for effect in effects)) for pair, (state, effects) in rules.items()}
    for rules in (RULES, RESTORED_RULES)
)
"""The rules with the methods that carry the effects out."""
