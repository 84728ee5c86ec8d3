"""What a caller is told when an environment fails an invocation: Lambda's error types and texts. Pure."""

import errno
import os
import signal

import msgspec

from squib.environment.apis.extension_session import Phase
from squib.environment.driver import End, EndCause
from squib.environment.log.report import Report
from squib.model.errors import ApiError, SnapStartFailed, SnapStartTimeout
from squib.model.invocation import FunctionFailed, Invocation
from squib.model.limits import MAX_EXTENSIONS, MAX_SYNC_RESPONSE_BYTES

_DUMPS_CORE = frozenset({3, 4, 5, 6, 7, 8, 11})


OUT_OF_MEMORY = "Runtime.OutOfMemory"


class Failure(msgspec.Struct, frozen=True):
    """Why an invocation, or an initialization, failed."""

    error_type: str
    message: str
    """Without the request id, which `payload` puts before it."""
    status: str = "error"
    """`error` or `timeout`, as REPORT says."""
    posted: bytes | None = None
    """What the runtime itself had to say, passed on as it is."""
    is_platform: bool = True
    """False when the handler failed: an ordinary answer, which REPORT does not mention."""

    def payload(self, request_id: str) -> bytes:
        """The body of the answer."""
        if self.posted is not None:
            return self.posted
        return msgspec.json.encode({"errorType": self.error_type, "errorMessage": self.text(request_id)})

    def text(self, request_id: str) -> str:
        """One sentence, for the body and for the log."""
        return f"RequestId: {request_id} Error: {self.message}"

    def outcome(self, request_id: str, executed_version: str, log_tail: bytes = b"") -> FunctionFailed:
        """The value that goes back to the caller."""
        return FunctionFailed(
            error_type=self.error_type,
            payload=self.payload(request_id),
            executed_version=executed_version,
            log_tail=log_tail,
        )


def timed_out(timeout_s: int) -> Failure:
    """The function did not answer within its timeout."""
    return Failure("Sandbox.Timedout", f"Task timed out after {timeout_s:.2f} seconds", "timeout")


def init_timed_out(limit_s: float) -> Failure:
    """An initialization ahead of calls took too long."""
    return Failure("Sandbox.Timedout", f"Initialization timed out after {limit_s:.2f} seconds", "timeout")


def restore_timed_out() -> Failure:
    """An environment did not come out of its snapshot in time."""
    return Failure("Sandbox.Timedout", "Restoring timed out", "timeout")


def restore_error(error_type: str | None, body: bytes) -> Failure:
    """A hook of the function failed after the snapshot. `error_type` is the runtime's header."""
    return Failure(error_type or "Runtime.AfterRestoreError", "", posted=body)


def restore_fault(failure: Failure) -> ApiError:
    """What a caller is told for whom an environment was to come out of its snapshot."""
    return SnapStartTimeout() if failure.status == "timeout" else SnapStartFailed()


def ended(end: End) -> Failure:
    """The runtime ended before it answered."""
    if end.cause is EndCause.OUT_OF_MEMORY:
        return Failure(OUT_OF_MEMORY, "Runtime exited with error: signal: killed")
    if end.cause is EndCause.SIGNALED:
        core = " (core dumped)" if end.status in _DUMPS_CORE else ""
        name = (signal.strsignal(end.status) or f"signal {end.status}").lower()
        return Failure("Runtime.ExitError", f"Runtime exited with error: signal: {name}{core}")
    if end.cause is EndCause.NOT_STARTED:
        if end.status == errno.ENOENT:
            return Failure(
                "Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s): [/var/task/bootstrap]"
            )
        reason = os.strerror(end.status).lower()
        return Failure("Runtime.InvalidEntrypoint", f"fork/exec /var/task/bootstrap: {reason}")
    if end.cause is EndCause.LOST:
        return Failure("Sandbox.Failure", "The execution environment was lost")
    if end.status == 0:
        return Failure("Runtime.ExitError", "Runtime exited without providing a reason")
    return Failure("Runtime.ExitError", f"Runtime exited with error: exit status {end.status}")


class TooLarge(Failure, frozen=True):
    """The function answered with more than Lambda takes; its text has no request id."""

    def text(self, request_id: str) -> str:
        return self.message


def extension_ended(phase: Phase, name: str, end: End) -> Failure:
    """An extension's process is gone, which it may be only when it is told to end."""
    error_type = {
        Phase.LAUNCH_ERROR: "Extension.LaunchError",
        Phase.INIT_ERROR: "Extension.InitError",
        Phase.EXIT_ERROR: "Extension.ExitError",
    }.get(phase, "Extension.Crash")
    if end.cause is EndCause.NOT_STARTED:
        reason = os.strerror(end.status).lower()
        return Failure(error_type, f"fork/exec /opt/extensions/{name}: {reason}")
    if end.cause is EndCause.EXITED:
        return Failure(error_type, f"exit status {end.status}" if end.status else "exit code 0")
    return Failure(error_type, ended(end).message.removeprefix("Runtime exited with error: "))


def extension_said(phase: Phase, error_type: str) -> Failure:
    """An internal extension reported an error: there is no process of its own whose end would tell."""
    kind = "Extension.InitError" if phase is Phase.INIT_ERROR else "Extension.ExitError"
    return Failure(kind, error_type)


def too_many_extensions() -> Failure:
    """More files in /opt/extensions than may register."""
    return Failure("Extension.TooManyExtensions", f"Extension limit ({MAX_EXTENSIONS}) reached")


def response_too_large() -> Failure:
    """The one of `Meaning.TOO_LARGE`."""
    return TooLarge(
        "Function.ResponseSizeTooLarge",
        f"Response payload size exceeded maximum allowed payload size ({MAX_SYNC_RESPONSE_BYTES} bytes).",
    )


def bad_response_mode() -> Failure:
    """The one of `Meaning.BAD_MODE`."""
    return Failure("Runtime.InvalidResponseModeHeader", "Invalid response mode header")


def posted(error_type: str | None, body: bytes) -> Failure:
    """The handler failed, and the runtime posted how. `error_type` is its header."""
    return Failure(error_type or "Runtime.Unknown", "", posted=body, is_platform=False)


def init_error(error_type: str | None, body: bytes) -> Failure:
    """The runtime cannot initialize, and posted why. `error_type` is its header."""
    return Failure(error_type or "Runtime.Unknown", "", posted=body)


def report(
    failure: Failure | None, invocation: Invocation, *, duration_ms: float, init_duration_ms: float | None
) -> Report:
    """What REPORT says of an invocation that ended so; None: well."""
    function = invocation.function
    if failure is None:
        return Report(
            request_id=invocation.request_id,
            duration_ms=duration_ms,
            init_duration_ms=init_duration_ms,
            memory_mib=function.memory_mib,
            trace=invocation.trace,
        )
    return Report(
        request_id=invocation.request_id,
        duration_ms=min(duration_ms, function.timeout_s * 1000),
        init_duration_ms=init_duration_ms,
        memory_mib=function.memory_mib,
        trace=invocation.trace,
        status=failure.status,
        error_type=failure.error_type,
        is_platform_failure=failure.is_platform,
    )
