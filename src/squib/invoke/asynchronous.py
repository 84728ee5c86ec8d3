"""Asynchronous invocations: accepted on disk, then run when there is room, as the rules say how often.

The shell of `scheduler.async_event`. Nothing here looks again and again: one timer wakes it for what is due,
everything else is woken by what happens. It never runs more events at a time than `scheduler.pace` says, and
has the payloads of no more of them in memory than the store keeps.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from squib.clock import Clock, Entropy
from squib.environment.pool import Pool
from squib.environment.serving import Done
from squib.invoke.admit import Admission
from squib.invoke.alarm import Alarm
from squib.invoke.async_entry import Entry
from squib.invoke.async_pace import Pace
from squib.invoke.records import error_message
from squib.invoke.resolve import Resolver, Target
from squib.invoke.telling import Teller
from squib.invoke.tracing import Tracing
from squib.model.alias import qualified_key
from squib.model.async_event import AcceptedEvent, AsyncMetric, Condition, Ending, Progress, StoredEvent
from squib.model.concurrency import RESERVED_CONCURRENCY
from squib.model.errors import (
    ApiError,
    RecursiveInvocation,
    ResourceNotFound,
    ServiceUnavailable,
    SquibError,
    TooManyRequests,
)
from squib.model.event_invoke import EVENT_INVOKE_CONFIGS
from squib.model.function import LATEST, FunctionKey
from squib.model.invocation import FunctionFailed, Invocation, InvokeOutcome
from squib.model.recursion import RECURSION_CONFIGS, TERMINATE
from squib.scheduler.async_event import Again, Came, Event, State, Terms, is_too_old, judge
from squib.scheduler.backlog import Backlog
from squib.scheduler.concurrency import Lease, Throttle
from squib.scheduler.retry import RetryDelays
from squib.store.base import Store
from squib.store.meter import Meter

_log: Final = logging.getLogger("squib.asynchronous")
_NEW: Final = Progress()


class _Attempt:
    """An event on its way to its function."""

    __slots__ = ("begun_at_s", "entry", "event", "lease", "payload", "target")

    def __init__(self, entry: Entry, event: AcceptedEvent, payload: bytes) -> None:
        self.entry, self.event, self.payload = entry, event, payload
        self.target: Target | None = None
        self.lease: Lease | None = None
        self.begun_at_s = 0.0


class Dispatcher:
    """Runs what was accepted. Owned by one event loop; `run` must be running."""

    def __init__(
        self,
        *,
        store: Store,
        resolver: Resolver,
        pool: Pool,
        admission: Admission,
        teller: Teller,
        tracing: Tracing,
        meter: Meter,
        clock: Clock,
        entropy: Entropy,
        delays: RetryDelays,
        unawaited: Callable[[], int] = lambda: 0,
        pace: Pace | None = None,
    ) -> None:
        """`unawaited`: how many invocations that nobody waits for others have begun so far."""
        self._events = store.async_events
        self._configs = store.collection(EVENT_INVOKE_CONFIGS)
        self._recursion = store.collection(RECURSION_CONFIGS)
        self._reserved = store.collection(RESERVED_CONCURRENCY)
        self._resolver, self._pool, self._admission = resolver, pool, admission
        self._teller, self._tracing, self._meter = teller, tracing, meter
        self._clock, self._entropy, self._delays = clock, entropy, delays
        self._pace = pace or Pace(lambda: admission.taken_count - unawaited())
        self._backlog: Backlog[Entry] = Backlog()
        self._running = 0
        self._loop = asyncio.get_running_loop()
        self._tasks: asyncio.TaskGroup | None = None
        self._alarm = Alarm(self._loop, clock, self._wake)
        self._is_pumping = False
        self._is_stopping = False
        self._is_idle = asyncio.Event()

    # --- accepting

    def accept(self, event: AcceptedEvent, payload: bytes) -> "asyncio.Future[None]":
        """Takes an event. The future, which others share, is done when it is on disk; or it raises
        PlatformError."""
        return self._events.add(event, payload, partial(self._accepted, event))

    def _accepted(self, event: AcceptedEvent, event_key: int) -> None:
        self._saw(AsyncMetric.RECEIVED, event)
        entry = Entry(event_key, event.function, event.accepted_at_ms, _NEW, State.WAITING)
        self._add(entry, 0)

    # --- when

    async def run(self) -> None:
        """Until cancelled: runs what there is, from before the start and new. An invocation that is cancelled
        is run again by the next squib."""
        await self._take_over()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._wake()
            try:
                await self._follow_reservations()
            finally:
                self._is_stopping = True
                self._alarm.cancel()
                self._pace.stop()

    async def drain(self, timeout_s: float) -> None:
        """Begins nothing more, and waits so long at most for what has begun. The rest stays on disk."""
        self._is_stopping = True
        try:
            async with asyncio.timeout(timeout_s):
                while self._running:
                    self._is_idle.clear()
                    await self._is_idle.wait()
                await self._teller.drain()
        except TimeoutError:
            _log.warning("async_drain_timed_out running=%d", self._running)

    async def _take_over(self) -> None:
        found = await self._events.waiting()
        now_ms = self._clock.now_ms()
        for one in found:
            state = State.RESTING if one.has_ended else State.WAITING
            entry = Entry(one.event_key, one.function, one.accepted_at_ms, one.progress, state)
            if one.has_ended:
                self._teller.take_over(entry, one.due_at_ms)
            else:
                self._backlog.add(one.function, entry, one.due_at_ms, now_ms=now_ms)
        if found:
            _log.info("async_events_taken_over count=%d", len(found))

    async def _follow_reservations(self) -> None:
        seen = self._reserved.generation
        while True:
            seen = await self._reserved.changed(seen)
            self._backlog.unblock_all(now_ms=self._clock.now_ms())
            self._wake()

    def _add(self, entry: Entry, due_at_ms: int) -> None:
        self._backlog.add(entry.function, entry, due_at_ms, now_ms=self._clock.now_ms())
        self._wake()

    def _wake(self) -> None:
        if not self._is_pumping and self._tasks is not None:
            self._is_pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Begins what may be begun."""
        self._is_pumping = False
        now_ms = self._clock.now_ms()
        while not self._is_stopping and self._pace.may_begin(self._running):
            entry = self._backlog.take(now_ms=now_ms)
            if entry is None:
                break
            self._begin(entry)
        if not self._is_stopping:
            self._pace.running(self._running, self._wake if self._backlog.is_ready() else None)
            self._alarm.set(self._backlog.next_due_ms())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None, "the dispatcher runs"
        self._tasks.create_task(work)

    # --- an attempt

    def _begin(self, entry: Entry) -> None:
        """Gives an event to its function, if that may have it now."""
        self._running += 1
        entry.happen(Event.BEGIN)
        kept = self._events.kept(entry.event_key)
        if kept is not None:
            self._attempt(_Attempt(entry, *kept))
        else:
            self._spawn(self._read_and_attempt(entry))

    def _hold(self, attempt: _Attempt) -> None:
        """No concurrency is to spare: the function's events wait until one of them ends, or for a while."""
        entry = attempt.entry
        entry.happen(Event.LEAVE)
        refusals = self._backlog.refused(entry.function)
        pause_ms = self._delays.backoff_ms(refusals, draw=self._entropy.draw())
        self._backlog.block(entry.function, entry, self._clock.now_ms() + pause_ms)
        self._release(attempt)

    async def _read_and_attempt(self, entry: Entry) -> None:
        try:
            stored = await self._events.read(entry.event_key)
        except Exception:  # the disk is in trouble: the event is there when squib starts again
            _log.exception("async_event_unreadable event_key=%d", entry.event_key)
            stored = None
        if stored is None:
            entry.happen(Event.LEAVE)
            self._ended_one()
        else:
            self._attempt(_Attempt(entry, stored.event, stored.payload))

    def _attempt(self, attempt: _Attempt) -> None:
        event = attempt.event
        function, now_ms = event.function, self._clock.now_ms()
        try:
            target = attempt.target = self._resolver.resolve(
                function.name, event.qualifier, account_id=function.account_id, region=function.region
            )
        except ResourceNotFound:
            self._orphaned(attempt)
            return
        except ApiError as error:  # it is being created, or that has failed
            self._judge(attempt, Came.REFUSAL, error)
            return
        if is_too_old(self._terms(attempt), event.accepted_at_ms, now_ms=now_ms):
            self._end(attempt, Condition.EVENT_AGE_EXCEEDED, TooManyRequests(Throttle.UNRESERVED))
            return
        if event.is_recursive and not self.may_recur(function):
            self._judge(attempt, Came.RECURSION, RecursiveInvocation(function.name))
            return
        number = attempt.entry.progress.attempts + 1
        header, trace = self._tracing.begin_attempt(target.function, event, number)
        invocation = Invocation(
            request_id=event.request_id,
            function=target.function,
            invoked_arn=target.invoked_arn,
            payload=attempt.payload,
            client_context=event.client_context,
            trace_id=header,
            trace=trace,
            received_at_ms=now_ms,
        )
        try:
            attempt.lease = self._admission.take(function, target.function.version)
        except TooManyRequests as throttled:
            self._meter.throttled(invocation)
            reserved = self._reserved.peek(function)
            if reserved is not None and not reserved.executions:
                self._judge(attempt, Came.NO_CONCURRENCY, throttled)
            else:
                self._hold(attempt)
            return
        self._pace.begun()
        attempt.begun_at_s = self._loop.time()
        self._saw(AsyncMetric.AGE, event, max(0, now_ms - event.accepted_at_ms))
        done = partial(self._came_back, attempt)
        if trace is not None:
            done = partial(self._came_back_traced, attempt, invocation, number)
        if not self._pool.try_invoke(invocation, done):
            self._spawn(self._invoke(invocation, done))

    async def _invoke(self, invocation: Invocation, done: Done) -> None:
        try:
            outcome: InvokeOutcome | SquibError = await self._pool.invoke(invocation)
        except TooManyRequests as throttled:
            self._meter.throttled(invocation)
            outcome = throttled
        except SquibError as error:
            outcome = error
        except Exception as error:
            _log.exception("async_invocation_failed request_id=%s", invocation.request_id)
            outcome = SquibError(str(error))
        done(outcome)

    def _came_back_traced(
        self, attempt: _Attempt, invocation: Invocation, number: int, outcome: InvokeOutcome | SquibError
    ) -> None:
        accepted_at_ms = attempt.event.accepted_at_ms
        self._tracing.attempted(invocation, outcome, accepted_at_ms=accepted_at_ms, number=number)
        self._came_back(attempt, outcome)

    def _came_back(self, attempt: _Attempt, outcome: InvokeOutcome | SquibError) -> None:
        if isinstance(outcome, ServiceUnavailable):  # squib stops: on disk it is as it was
            self._release(attempt)
            attempt.entry.happen(Event.LEAVE)
        elif isinstance(outcome, SquibError):
            self._judge(attempt, Came.REFUSAL, outcome)
        else:
            failed = isinstance(outcome, FunctionFailed)
            self._judge(attempt, Came.FAILURE if failed else Came.SUCCESS, outcome)

    def _judge(self, attempt: _Attempt, came: Came, outcome: InvokeOutcome | SquibError) -> None:
        """Has the rules say what is next, and does it."""
        entry = attempt.entry
        verdict = judge(
            came,
            entry.progress,
            self._terms(attempt),
            self._delays,
            accepted_at_ms=entry.accepted_at_ms,
            now_ms=self._clock.now_ms(),
            draw=self._entropy.draw(),
        )
        entry.progress = verdict.progress
        if came is Came.REFUSAL:
            _log.info("async_attempt_refused request_id=%s reason=%r", attempt.event.request_id, str(outcome))
        if isinstance(verdict, Again):
            self._release(attempt)
            entry.happen(Event.RETRY)
            self._events.forget(entry.event_key)
            again = partial(self._add, entry, verdict.due_at_ms)
            self._events.put_progress(entry.event_key, verdict.due_at_ms, entry.progress, again)
        else:
            self._end(attempt, verdict.condition, outcome)

    def _orphaned(self, attempt: _Attempt) -> None:
        """The function is no more, or what was invoked of it: then nothing is set for the event either."""
        event = attempt.event
        self._saw(AsyncMetric.DROPPED, event)
        _log.warning("async_event_dropped request_id=%s reason=FunctionDeleted", event.request_id)
        self._close(attempt)

    def _end(self, attempt: _Attempt, condition: Condition, outcome: InvokeOutcome | SquibError) -> None:
        """It is not run again: whoever is to be told is told."""
        event, target = attempt.event, attempt.target
        targets = self._terms(attempt).targets(condition)
        if condition is not Condition.SUCCESS:
            self._saw(AsyncMetric.DROPPED, event)
            if not targets:
                _log.warning("async_event_dropped request_id=%s reason=%s", event.request_id, condition)
        if target is None or not targets:
            self._close(attempt)
            return
        ending = Ending(condition, self._clock.now_ms(), target.function.role_arn, targets, *_told(outcome))
        self._teller.settle(attempt.entry, StoredEvent(event, attempt.payload, ending))
        self._release(attempt)

    def _close(self, attempt: _Attempt) -> None:
        self._release(attempt)
        attempt.entry.happen(Event.CLOSE)
        self._events.remove(attempt.entry.event_key)

    def _release(self, attempt: _Attempt) -> None:
        if attempt.lease is not None:
            attempt.lease.release()
            self._pace.ended(self._loop.time() - attempt.begun_at_s)
            self._backlog.unblock(attempt.entry.function, now_ms=self._clock.now_ms())
        self._ended_one()

    def _ended_one(self) -> None:
        self._running -= 1
        self._is_idle.set()
        self._wake()

    def _saw(self, metric: AsyncMetric, event: AcceptedEvent, value: float = 1) -> None:
        self._meter.saw(metric, value, arn=event.invoked_arn, version="", at_ms=self._clock.now_ms())

    # --- what is set for it

    def _terms(self, attempt: _Attempt) -> Terms:
        event, target = attempt.event, attempt.target
        config = self._configs.peek(qualified_key(event.function, event.qualifier or LATEST))
        return Terms.of(config, None if target is None else target.function.dead_letter_arn)

    def may_recur(self, function: FunctionKey) -> bool:
        """Whether a function may invoke itself for ever: PutFunctionRecursionConfig."""
        config = self._recursion.peek(function)
        return config is not None and config.recursive_loop != TERMINATE


def _told(outcome: InvokeOutcome | SquibError) -> tuple[int, str | None, str | None, bytes, str]:
    """Status, version, function error, response and error message: the end of an `Ending`."""
    if isinstance(outcome, SquibError):
        return outcome.status if isinstance(outcome, ApiError) else 500, None, None, b"", str(outcome)
    if isinstance(outcome, FunctionFailed):
        said = error_message(outcome.payload)
        return 200, outcome.executed_version, outcome.handled, outcome.payload, said
    return 200, outcome.executed_version, None, outcome.payload, ""
