"""The invocation that an environment has: its caller, its clock, its end, and what is written down of it."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from squib.environment import failure as failures
from squib.environment.driver import End, EndCause
from squib.environment.failure import Failure
from squib.environment.log.journal import Journal
from squib.environment.log.report import Report, Restore
from squib.environment.surroundings import Surroundings
from squib.environment.tracing.lambda_segments import Span, Start
from squib.environment.tracing.tracer import FunctionTime
from squib.model.errors import SquibError
from squib.model.invocation import Invocation, InvokeOutcome, Succeeded
from squib.model.units import EpochMs

Done: TypeAlias = Callable[[InvokeOutcome | SquibError], None]
"""Told the end of one invocation, exactly once; an exception when it was not the function's doing."""


class Serving:
    """One at a time: `begin`, then `answer` or `fail`; `conclude` after an answer that was not the end."""

    def __init__(self, journal: Journal, surroundings: Surroundings, *, bills_init: bool = True) -> None:
        self.invocation: Invocation | None = None
        self.cold_init_ms: float | None = None
        """Of the environment's initialization, to be billed with its first invocation."""
        self.restore: Restore | None = None
        """The same of an environment that came out of a snapshot instead."""
        self.started_ms = 0.0
        """Monotonic: its time is counted from here."""
        self.count = 0
        """Invocations there have been."""
        self._journal, self._clock, self._meter = journal, surroundings.clock, surroundings.meter
        self._tracer = surroundings.tracer
        self._traced: FunctionTime | None = None
        self._start: Start | None = None  # of the environment, until it has had its first invocation
        self._bills_init = bills_init
        self._done: Done | None = None
        self._answered: tuple[Invocation, Failure | None] | None = None
        self._answered_ms = 0.0

    def initialized(self, duration_ms: float) -> None:
        """The environment is initialized just now, ahead of its first invocation."""
        self.cold_init_ms = duration_ms
        self._start = Start("Initialization", self._since(duration_ms))

    def restored(self, restore: Restore) -> None:
        """It has come out of its snapshot just now, likewise."""
        self.restore = restore
        self._start = Start("Restore", self._since(restore.duration_ms))

    def _since(self, duration_ms: float) -> Span:
        end_s = self._clock.now_ms() / 1000
        return Span(end_s - duration_ms / 1000, end_s)

    def begin(self, invocation: Invocation, done: Done, now_ms: float) -> None:
        """The environment was given an invocation."""
        if self._traced is not None:
            self.rest()
        if invocation.trace is not None and self._tracer is not None:
            self._traced = self._tracer.begin(invocation, invocation.trace)
        self.invocation, self._done = invocation, done
        self.started_ms = now_ms
        self.count += 1
        self._journal.is_start_logged = False

    def log_start(self) -> None:
        """Writes START, unless that is done."""
        assert self.invocation is not None, "START is written for an invocation"
        if not self._journal.is_start_logged:
            self._journal.start(self.invocation)

    def answer(self, failure: Failure | None, payload: bytes, *, is_over: bool) -> None:
        """The runtime answered: the caller hears it at once. END and REPORT are written with the next START,
        or by the next sweep, unless they are asked for; when it is not over yet, by `conclude`."""
        invocation, done = self.invocation, self._done
        assert invocation is not None and done is not None, "there is an invocation"
        self.invocation = self._done = None
        journal = self._journal
        report = self._report(invocation, failure)
        if self._traced is not None:
            self._traced.answered(failure, report.duration_ms, self._start)
        if journal.is_watched:
            journal.runtime_done(report, len(payload))
        if is_over:
            journal.unfinished = report
            self.cold_init_ms = self.restore = self._start = None
        else:
            self._answered = (invocation, failure)
            self._answered_ms = self._clock.monotonic_ms()
        tail = b""
        if invocation.wants_log_tail:
            journal.drain()
            journal.finish()
            tail = journal.log.take_tail()
        if failure is None:
            done(Succeeded(payload=payload, executed_version=invocation.function.version, log_tail=tail))
        else:
            done(failure.outcome(invocation.request_id, invocation.function.version, tail))
        if is_over:
            self._count(invocation, report)

    def conclude(self, failure: Failure | None) -> None:
        """Runtime and extensions are done with an answered invocation; or will not be, for this reason."""
        assert self._answered is not None, "it was answered"
        (invocation, answer), self._answered = self._answered, None
        self._journal.drain()
        if failure is not None:
            self._journal.failed(invocation, failure)
        took_ms = self._clock.monotonic_ms() - self._answered_ms
        report = self._journal.unfinished = msgspec.structs.replace(
            self._report(invocation, failure or answer),
            extensions_since_ms=EpochMs(self._clock.now_ms() - int(took_ms)),
            extensions_took_ms=took_ms,
        )
        self.cold_init_ms = self.restore = self._start = None
        self._count(invocation, report)
        self._journal.finish()
        if self._traced is not None:
            self.rest(failure)

    def rest(self, failure: Failure | None = None) -> None:
        """A traced invocation is over with all that followed its answer; `failure` is of that."""
        if self._traced is not None and self.invocation is None and self._answered is None:
            self._traced.over(failure)
            self._traced = None

    def close(self) -> None:
        """The environment is no more."""
        self.rest()
        self._journal.close()

    def fail(self, failure: Failure | SquibError) -> None:
        """The invocation ends here, whatever the runtime does."""
        self.log_start()
        invocation, done = self.invocation, self._done
        assert invocation is not None and done is not None, "there is an invocation"
        self.invocation = self._done = None
        journal = self._journal
        reported = failures.ended(End(cause=EndCause.LOST)) if isinstance(failure, SquibError) else failure
        report = self._report(invocation, reported)
        if self._traced is not None:
            self._traced.answered(reported, report.duration_ms, self._start)
            self.rest()
        self.cold_init_ms = self.restore = self._start = None
        journal.drain()
        if journal.is_watched:
            journal.runtime_done(report, 0)
        journal.failed(invocation, reported)
        journal.unfinished = report
        self._count(invocation, report)
        journal.finish()
        tail = journal.log.take_tail() if invocation.wants_log_tail else b""
        if isinstance(failure, SquibError):
            done(failure)
        else:
            done(failure.outcome(invocation.request_id, invocation.function.version, tail))

    def _count(self, invocation: Invocation, report: Report) -> None:
        """In the turn of the loop in which REPORT is known: it is flushed no earlier than this is."""
        self._meter.invoked(
            invocation,
            duration_ms=report.duration_ms,
            init_ms=report.init_duration_ms if report.restore is None else report.restore.duration_ms,
            billed_ms=report.billed_ms,
            is_error=report.status != "success",
            is_prepared=not self._bills_init,
        )

    def _report(self, invocation: Invocation, failure: Failure | None) -> Report:
        report = failures.report(
            failure,
            invocation,
            duration_ms=self._clock.monotonic_ms() - self.started_ms,
            init_duration_ms=self.cold_init_ms,
        )
        if self.restore is not None:
            return msgspec.structs.replace(report, restore=self.restore)
        return report if self._bills_init else msgspec.structs.replace(report, is_init_billed=False)
