"""The Invoke operation: RequestResponse and DryRun."""

import base64
from collections.abc import Mapping

from squib.clock import Entropy
from squib.environment.pool import Pool
from squib.invoke.admit import Admission
from squib.invoke.payload import checked_event, client_context, trace_id
from squib.invoke.resolve import Resolver
from squib.model.errors import SquibError, TooManyRequests, UnsupportedParameter
from squib.model.invocation import FunctionFailed, Invocation, InvokeOutcome
from squib.model.operation import Answered, AuthorizedCall, Handler, OperationResult
from squib.store.meter import Meter

_DRY_RUN = OperationResult(output={"StatusCode": 204}, status=204)


class InvokeService:
    """Runs functions while the caller waits."""

    def __init__(
        self, resolver: Resolver, pool: Pool, entropy: Entropy, admission: Admission, meter: Meter
    ) -> None:
        self._resolver, self._pool, self._entropy = resolver, pool, entropy
        self._admission, self._meter = admission, meter

    def handlers(self) -> Mapping[str, Handler]:
        """See control_plane.registry.Service."""
        return {"Invoke": self.invoke}

    async def invoke(self, call: AuthorizedCall) -> OperationResult:
        """One invocation, or a check whether it could be made. Raises ApiError."""
        invocation = self._invocation(call)
        if invocation is None:
            return _DRY_RUN
        try:
            with self._admission.lease(invocation.function.key):
                outcome = await self._pool.invoke(invocation)
        except TooManyRequests:
            self._meter.throttled(invocation)
            raise
        return _result(invocation, outcome)

    def invoke_promptly(self, call: AuthorizedCall, answered: Answered) -> bool:
        """The same without a task, when an environment is idle. See operation.PromptHandler."""
        invocation = self._invocation(call)
        if invocation is None:
            answered(_DRY_RUN)
            return True
        try:
            lease = self._admission.take(invocation.function.key)
        except TooManyRequests:
            self._meter.throttled(invocation)
            raise

        def done(outcome: InvokeOutcome | SquibError) -> None:
            lease.release()
            answered(outcome if isinstance(outcome, SquibError) else _result(invocation, outcome))

        if self._pool.try_invoke(invocation, done):
            return True
        lease.release()
        return False

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
        if kind != "RequestResponse":
            raise UnsupportedParameter("Invoke", f"InvocationType={kind}")
        given_trace = call.headers.get("x-amzn-trace-id", "")
        return Invocation(
            request_id=call.request_id,
            function=target.function,
            invoked_arn=target.invoked_arn,
            payload=event,
            client_context=context,
            trace_id=trace_id(given_trace, now_ms=call.received_at_ms, token=self._entropy.noise(20)),
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
