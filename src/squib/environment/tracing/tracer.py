"""Gives segments of traced functions to X-Ray, in the name of their roles and as far as those allow it."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from squib.clock import Clock, Entropy
from squib.environment.failure import Failure
from squib.environment.tracing.lambda_segments import Span, Start, Times, function_segment
from squib.model.function import FunctionVersion
from squib.model.invocation import Invocation
from squib.model.segment import RefusedSegment, Segment, checked, read_segment
from squib.model.trace import Trace
from squib.model.units import AccountId, Region

Put: TypeAlias = Callable[[AccountId, Region, Segment], bool]
"""Takes a segment; False when there is no room for it."""

_encode: Final = msgspec.json.Encoder().encode


class Tracer:
    """Called on the event loop."""

    def __init__(
        self, put: Put, may_write: Callable[[FunctionVersion], bool], clock: Clock, entropy: Entropy
    ) -> None:
        """`may_write`: whether a function's role may send segments."""
        self._put, self._may_write, self.clock, self._entropy = put, may_write, clock, entropy

    def write(self, function: FunctionVersion, document: dict[str, Any]) -> None:
        """Writes a segment, unless the role may not."""
        if not self._may_write(function):
            return
        try:
            segment = checked(document, _encode(document), now_s=self.clock.now_ms() // 1000)
        except RefusedSegment:  # a caller's trace may be older than X-Ray takes
            return
        self._put(function.key.account_id, function.key.region, segment)

    def take(self, function: FunctionVersion, document: bytes) -> None:
        """Takes what a function's SDK has sent, likewise."""
        try:
            segment = read_segment(document, now_s=self.clock.now_ms() // 1000)
        except RefusedSegment:
            return
        if self._may_write(function):
            self._put(function.key.account_id, function.key.region, segment)

    def begin(self, invocation: Invocation, trace: Trace) -> "FunctionTime":
        """An environment was given a traced invocation."""
        return FunctionTime(self, invocation, trace)

    def ids(self, count: int) -> str:
        """So many fresh ids of segments, one after the other."""
        return self._entropy.noise(8 * count).hex()


class FunctionTime:
    """The time of one traced invocation in its environment: the function's segment, once it is over."""

    def __init__(self, tracer: Tracer, invocation: Invocation, trace: Trace) -> None:
        self._tracer, self._invocation, self._trace = tracer, invocation, trace
        self._answered: tuple[Span, Start | None, Failure | None] | None = None

    def answered(self, failure: Failure | None, took_ms: float, start: Start | None) -> None:
        """The runtime has answered just now, or never will; what follows is overhead."""
        end_s = self._tracer.clock.now_ms() / 1000
        if start is not None:
            start = start._replace(span=self._after_call(start.span))
        self._answered = (self._after_call(Span(end_s - took_ms / 1000, end_s)), start, failure)

    def _after_call(self, span: Span) -> Span:
        """The wall clock has whole milliseconds: what began in the one of the call began after the call."""
        received_s = self._invocation.received_at_ms / 1000
        is_same = span.start_s < received_s < span.start_s + 0.001
        return Span(min(received_s, span.end_s), span.end_s) if is_same else span

    def over(self, failure: Failure | None = None) -> None:
        """The environment is done with it. `failure`: of what was to be done after the answer."""
        assert self._answered is not None, "it was answered"
        invocation, start, failed = self._answered
        times = Times(invocation, self._tracer.clock.now_ms() / 1000, start)
        document = function_segment(
            self._trace, self._invocation, times, failed or failure, self._tracer.ids(3)
        )
        self._tracer.write(self._invocation.function, document)
