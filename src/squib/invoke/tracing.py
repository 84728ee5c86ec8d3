"""Which invocations are traced, what header each of them has, and Lambda's own segment of it.

The shell of `scheduler.sampling`. A function that is not traced has its caller's header passed through.
"""

from typing import Final

from squib.clock import Entropy
from squib.environment.tracing.lambda_segments import (
    Span,
    attempt_subsegment,
    derived_id,
    dwell_subsegment,
    service_segment,
)
from squib.environment.tracing.tracer import Tracer
from squib.invoke.payload import trace_id
from squib.model.async_event import AcceptedEvent
from squib.model.errors import ApiError, SquibError
from squib.model.function import FunctionKey, FunctionVersion
from squib.model.invocation import FunctionFailed, Invocation, InvokeOutcome
from squib.model.trace import ACTIVE, Trace, TraceHeader, parse
from squib.model.units import EpochMs, RequestId
from squib.scheduler.sampling import Reserved, sample

MAX_FUNCTIONS: Final = 10_000  # our own choice: of which is remembered who was sampled first
_NOBODY: Final = Reserved()


class Tracing:
    """On one event loop."""

    def __init__(self, tracer: Tracer, entropy: Entropy) -> None:
        self._tracer, self._entropy = tracer, entropy
        self._reserved: dict[FunctionKey, Reserved] = {}

    def header(self, function: FunctionVersion, given: str, request_id: RequestId, now_ms: EpochMs) -> str:
        """The header of an invocation, out of its caller's. Of a traced function it has a decision."""
        if function.tracing_mode != ACTIVE:
            return trace_id(given, now_ms=now_ms, token=self._entropy.noise(20))
        return self._decided(function, given, request_id, now_ms).text()

    def begin(self, function: FunctionVersion, header: str) -> tuple[str, Trace | None]:
        """What the function sees of `header`, and the trace if it is in one."""
        if function.tracing_mode != ACTIVE:
            return header, None
        ids = self._tracer.ids(2)
        return self._begin(header, service_id=ids[:16], caller_id=ids[:16], function_id=ids[16:])

    def served(self, invocation: Invocation, outcome: InvokeOutcome | SquibError) -> None:
        """A call has its answer: Lambda's segment of it, if it is traced."""
        if invocation.trace is not None:
            status, is_failed = _told(outcome)
            times = self._until_now(invocation.received_at_ms)
            document = service_segment(
                invocation.trace, invocation, times, status=status, is_failed=is_failed
            )
            self._tracer.write(invocation.function, document)

    # --- asynchronous invocations

    def begin_attempt(
        self, function: FunctionVersion, event: AcceptedEvent, number: int
    ) -> tuple[str, Trace | None]:
        """The same for one attempt at an event; the first is number 1."""
        if function.tracing_mode != ACTIVE:
            return event.trace_id, None
        decided = self._decided(function, event.trace_id, event.request_id, event.accepted_at_ms).text()
        return self._begin(
            decided,
            service_id=derived_id(event.request_id, "service"),
            caller_id=derived_id(event.request_id, f"attempt-{number}"),
            function_id=self._tracer.ids(1),
        )

    def attempted(
        self,
        invocation: Invocation,
        outcome: InvokeOutcome | SquibError,
        *,
        accepted_at_ms: EpochMs,
        number: int,
    ) -> None:
        """An attempt has ended: its subsegment, and Lambda's segment up to now."""
        trace = invocation.trace
        if trace is None:
            return
        status, is_failed = _told(outcome)
        function = invocation.function
        times = self._until_now(invocation.received_at_ms)
        if number == 1:
            waited = Span(accepted_at_ms / 1000, max(accepted_at_ms / 1000, times.start_s))
            self._tracer.write(function, dwell_subsegment(trace, invocation.request_id, waited))
        self._tracer.write(
            function,
            attempt_subsegment(trace, invocation, times, number=number, is_failed=is_failed, status=status),
        )
        whole = self._until_now(accepted_at_ms)
        self._tracer.write(function, service_segment(trace, invocation, whole, status=202))

    # --- the decision

    def _decided(
        self, function: FunctionVersion, given: str, request_id: RequestId, now_ms: EpochMs
    ) -> TraceHeader:
        found = parse(given)
        if found is None:
            token = self._entropy.noise(12).hex()
            found = TraceHeader(f"1-{now_ms // 1000:08x}-{token}")
        if found.is_sampled is None:
            reserved = self._reserved.pop(function.key, _NOBODY)
            is_sampled, reserved = sample(
                reserved, request_id, now_s=now_ms // 1000, draw=self._entropy.draw()
            )
            if len(self._reserved) >= MAX_FUNCTIONS:
                del self._reserved[next(iter(self._reserved))]
            self._reserved[function.key] = reserved
            found = found._replace(is_sampled=is_sampled)
        return found

    def _begin(
        self, header: str, *, service_id: str, caller_id: str, function_id: str
    ) -> tuple[str, Trace | None]:
        found = parse(header)
        assert found is not None, "a traced function's header has been read before"
        seen = found._replace(parent=function_id).text()
        if not found.is_sampled:
            return seen, None
        trace = Trace(
            trace_id=found.root,
            parent_id=found.parent,
            service_id=service_id,
            caller_id=caller_id,
            function_id=function_id,
        )
        return seen, trace

    def _until_now(self, start_ms: EpochMs) -> Span:
        return Span(start_ms / 1000, max(start_ms, self._tracer.clock.now_ms()) / 1000)


def _told(outcome: InvokeOutcome | SquibError) -> tuple[int, bool]:
    """The status that the caller has seen, and whether the function failed."""
    if isinstance(outcome, SquibError):
        return outcome.status if isinstance(outcome, ApiError) else 500, False
    return 200, isinstance(outcome, FunctionFailed)
