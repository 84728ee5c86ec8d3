"""Invoke and InvokeAsync: functions run while the caller waits, and events accepted for later."""

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from squib.environment.pool import Pool
from squib.invoke.admit import Admission
from squib.invoke.payload import checked_event, client_context
from squib.invoke.resolve import Resolver
from squib.invoke.tracing import Tracing
from squib.model.async_event import AcceptedEvent
from squib.model.errors import EventTooLarge, RecursiveInvocation, SquibError, TooManyRequests
from squib.model.function import FunctionKey, FunctionVersion
from squib.model.invocation import FunctionFailed, Invocation, InvokeOutcome
from squib.model.limits import MAX_ASYNC_PAYLOAD_BYTES
from squib.model.operation import Answered, AuthorizedCall, Handler, OperationResult
from squib.scheduler.lineage import Step, advance
from squib.store.meter import Meter

_DRY_RUN: Final = OperationResult(output={"StatusCode": 204}, status=204)
_ACCEPTED: Final = OperationResult(output={"StatusCode": 202}, status=202)

Accept: TypeAlias = Callable[[AcceptedEvent, bytes], "asyncio.Future[None]"]
"""Takes an event; done when it is on disk. See `asynchronous.Dispatcher.accept`."""


class InvokeService:
    """Runs functions while the caller waits, or has their events accepted."""

    def __init__(
        self,
        resolver: Resolver,
        pool: Pool,
        tracing: Tracing,
        admission: Admission,
        meter: Meter,
        *,
        accept: Accept,
        may_recur: Callable[[FunctionKey], bool],
    ) -> None:
        """`may_recur`: whether a function may invoke itself for ever."""
        self._resolver, self._pool, self._tracing = resolver, pool, tracing
        self._admission, self._meter = admission, meter
        self._accept, self._may_recur = accept, may_recur

    def handlers(self) -> Mapping[str, Handler]:
        """See control_plane.registry.Service."""
        return {"Invoke": self.invoke, "InvokeAsync": self.invoke_async}

    async def invoke(self, call: AuthorizedCall) -> OperationResult:
        """One invocation, or a check whether it could be made, or an event for later. Raises ApiError."""
        if call.input.get("InvocationType") == "Event":
            await asyncio.shield(self._event(call, call.input.get("Payload") or b""))
            return _ACCEPTED
        invocation = self._invocation(call)
        if invocation is None:
            return _DRY_RUN
        try:
            with self._admission.lease(invocation.function.key, invocation.function.version):
                outcome = await self._pool.invoke(invocation)
        except TooManyRequests as throttled:
            self._meter.throttled(invocation)
            self._tracing.served(invocation, throttled)
            raise
        except SquibError as error:
            self._tracing.served(invocation, error)
            raise
        self._tracing.served(invocation, outcome)
        return _result(invocation, outcome)

    def invoke_promptly(self, call: AuthorizedCall, answered: Answered) -> bool:
        """The same without a task, when an environment is idle. See operation.PromptHandler."""
        if call.input.get("InvocationType") == "Event":

            def stored(future: "asyncio.Future[None]") -> None:
                error = future.exception()
                answered(error if isinstance(error, SquibError) else _ACCEPTED)

            self._event(call, call.input.get("Payload") or b"").add_done_callback(stored)
            return True
        invocation = self._invocation(call)
        if invocation is None:
            answered(_DRY_RUN)
            return True
        try:
            lease = self._admission.take(invocation.function.key, invocation.function.version)
        except TooManyRequests as throttled:
            self._meter.throttled(invocation)
            self._tracing.served(invocation, throttled)
            raise

        def done(outcome: InvokeOutcome | SquibError) -> None:
            lease.release()
            if invocation.trace is not None:
                self._tracing.served(invocation, outcome)
            answered(outcome if isinstance(outcome, SquibError) else _result(invocation, outcome))

        if self._pool.try_invoke(invocation, done):
            return True
        self._admission.forgo(lease)
        return False

    async def invoke_async(self, call: AuthorizedCall) -> OperationResult:
        """The older way to hand in an event. Raises ApiError."""
        await asyncio.shield(self._event(call, call.input.get("InvokeArgs") or b""))
        return OperationResult(output={"Status": 202}, status=202)

    def _event(self, call: AuthorizedCall, payload: bytes) -> "asyncio.Future[None]":
        """An event for later, checked and handed in; done when it is on disk. Raises ApiError."""
        given = call.input
        target = self._resolver.resolve(
            given["FunctionName"], given.get("Qualifier"), account_id=call.account_id, region=call.region
        )
        if len(payload) > MAX_ASYNC_PAYLOAD_BYTES:
            raise EventTooLarge(len(payload), MAX_ASYNC_PAYLOAD_BYTES)
        event = checked_event(payload)
        context = client_context(given.get("ClientContext") or "")
        function = target.function.key
        step = self._step(call, target.function)
        accepted = AcceptedEvent(
            call.request_id,
            function,
            target.qualifier,
            call.received_at_ms,
            step.header,
            context,
            step.is_recursive,
        )
        return self._accept(accepted, event)

    def _step(self, call: AuthorizedCall, function: FunctionVersion) -> Step:
        given = call.headers.get("x-amzn-trace-id", "")
        header = self._tracing.header(function, given, call.request_id, call.received_at_ms)
        return advance(header, function.key.arn())

    def _invocation(self, call: AuthorizedCall) -> Invocation | None:
        """What is to run, checked; None for a dry run. Raises ApiError."""
        given = call.input
        target = self._resolver.resolve(
            given["FunctionName"],
            given.get("Qualifier"),
            account_id=call.account_id,
            region=call.region,
        )
        event = checked_event(given.get("Payload") or b"")
        context = client_context(given.get("ClientContext") or "")
        kind = given.get("InvocationType") or "RequestResponse"
        if kind == "DryRun":
            return None
        function = target.function.key
        step = self._step(call, target.function)
        if step.is_recursive and not self._may_recur(function):
            raise RecursiveInvocation(function.name)
        header, trace = self._tracing.begin(target.function, step.header)
        return Invocation(
            request_id=call.request_id,
            function=target.function,
            invoked_arn=target.invoked_arn,
            payload=event,
            client_context=context,
            trace_id=header,
            trace=trace,
            wants_log_tail=given.get("LogType") == "Tail",
            received_at_ms=call.received_at_ms,
        )


def _result(invocation: Invocation, outcome: InvokeOutcome) -> OperationResult:
    output = {"StatusCode": 200, "ExecutedVersion": outcome.executed_version, "Payload": outcome.payload}
    if isinstance(outcome, FunctionFailed):
        output["FunctionError"] = outcome.handled
    if invocation.wants_log_tail:
        output["LogResult"] = base64.b64encode(outcome.log_tail).decode()
    return OperationResult(output=output)
