"""From a batch to the outcome of its invocation: the same way as every other invocation goes."""

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from squib.clock import Clock, Entropy
from squib.environment.pool import Pool
from squib.invoke.admit import Admission
from squib.invoke.resolve import Resolver
from squib.invoke.tracing import Tracing
from squib.model.errors import ApiError, PlatformError, ResourceNotFound, SquibError, TooManyRequests
from squib.model.event_source import EventSourceMapping
from squib.model.function import FunctionKey
from squib.model.invocation import Invocation, InvokeOutcome
from squib.model.limits import MAX_SYNC_PAYLOAD_BYTES
from squib.model.units import RequestId
from squib.scheduler.lineage import advance
from squib.store.meter import Meter

TOO_LARGE: Final = "the event is larger than an invocation may be"


class Refused(msgspec.Struct, frozen=True):
    """The function did not run."""

    reason: str
    is_lasting: bool = False
    """Trying the same again would not help."""


class Sent(msgspec.Struct, frozen=True):
    """The function has run."""

    request_id: RequestId
    outcome: InvokeOutcome


Sending: TypeAlias = Sent | Refused


class Sender:
    """Invokes functions for mappings. On one event loop."""

    def __init__(
        self,
        resolver: Resolver,
        admission: Admission,
        pool: Pool,
        meter: Meter,
        may_recur: Callable[[FunctionKey], bool],
        tracing: Tracing,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`may_recur`: whether a function may invoke itself for ever."""
        self._resolver, self._admission, self._pool = resolver, admission, pool
        self._meter, self._may_recur, self._tracing = meter, may_recur, tracing
        self._clock, self._entropy = clock, entropy
        self.begun_count = 0
        """Invocations begun so far."""

    async def send(self, mapping: EventSourceMapping, event: bytes, trace_header: str | None) -> Sending:
        """Invokes the mapping's function with `event`, and waits. What a caller would be told as an error is
        a value here."""
        if len(event) > MAX_SYNC_PAYLOAD_BYTES:
            return Refused(TOO_LARGE, is_lasting=True)
        key, now_ms = mapping.function, self._clock.now_ms()
        try:
            target = self._resolver.resolve(
                key.name, mapping.qualifier, account_id=key.account_id, region=key.region
            )
            request_id = self._entropy.request_id()
            given = self._tracing.header(target.function, trace_header or "", request_id, now_ms)
            step = advance(given, key.arn())
            if step.is_recursive and not self._may_recur(key):
                return Refused("Recursive loop detected", is_lasting=True)
            header, trace = self._tracing.begin(target.function, step.header)
            invocation = Invocation(
                request_id=request_id,
                function=target.function,
                invoked_arn=target.invoked_arn,
                payload=event,
                trace_id=header,
                trace=trace,
                received_at_ms=now_ms,
            )
            outcome = await self._invoke(invocation)
        except TooManyRequests as error:
            return Refused(f"Function call was throttled ({error.reason})")
        except ResourceNotFound:
            return Refused("Function not found")
        except ApiError as error:
            return Refused(error.message)
        except PlatformError as error:
            return Refused(str(error))
        return Sent(invocation.request_id, outcome)

    async def _invoke(self, invocation: Invocation) -> InvokeOutcome:
        try:
            with self._admission.lease(invocation.function.key, invocation.function.version):
                self.begun_count += 1
                outcome = await self._pool.invoke(invocation)
        except SquibError as error:
            if isinstance(error, TooManyRequests):
                self._meter.throttled(invocation)
            self._tracing.served(invocation, error)
            raise
        self._tracing.served(invocation, outcome)
        return outcome
