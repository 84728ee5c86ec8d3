"""The conversation of one runtime with the Runtime API, as a decision: what a call means, and its answer.

Pure. Whatever a runtime can do wrong (another's request id, answers too late, twice or too large, calls that
do not fit the moment) is answered here as Lambda does and goes no further. Waiting, sockets and time are the
shell's (`runtime_api`).
"""

from enum import Enum, StrEnum
from typing import Final

import msgspec

from squib.model.limits import MAX_SYNC_RESPONSE_BYTES


class Phase(StrEnum):
    """Where the runtime is, in the words its error answers use."""

    STARTED = "Started"  # runs, and has not asked for an invocation yet
    INIT_ERROR = "InitError"  # said that it cannot initialize
    RESTORING = "Restoring"  # goes on from its snapshot; the function's hooks run
    RESTORE_ERROR = "RestoreError"  # said that a hook has failed
    READY = "Ready"  # waits for an invocation
    RUNNING = "Running"  # has one
    RESPONSE_SENT = "ResponseSent"  # answered it, and has not asked for the next
    EXITED = "Exited"  # ended, or is about to: nothing it says counts


class Meaning(Enum):
    """What a call is to the environment."""

    NOTHING = "nothing"  # refused: the answer says why
    FIRST_NEXT = "first-next"  # initialized; waits for an invocation
    NEXT = "next"  # waits for an invocation
    AGAIN = "again"  # wants the invocation once more that it has already
    RESPONSE = "response"  # the function succeeded
    TOO_LARGE = "too-large"  # it answered, with more than Lambda takes
    BAD_MODE = "bad-mode"  # it answered in a way Lambda does not know
    ERROR = "error"  # the function failed
    INIT_ERROR = "init-error"  # the runtime cannot initialize
    RESTORE = "restore"  # it is initialized, and goes on as if it came out of a snapshot
    RESTORE_ERROR = "restore-error"  # a hook of the function has failed after that


class Verdict(msgspec.Struct, frozen=True):
    """What a call means and its answer; `status` 0 when the answer has to wait for an invocation."""

    meaning: Meaning
    status: int = 0
    body: bytes = b""


def _refusal(status: int, error_type: str, message: str, meaning: Meaning = Meaning.NOTHING) -> Verdict:
    body = msgspec.json.encode({"errorMessage": message, "errorType": error_type}) + b"\n"
    return Verdict(meaning, status, body)


ACCEPTED_STATUS: Final = 202
ACCEPTED_BODY: Final = b'{"status":"OK"}\n'
STREAMING: Final = "streaming"

FIRST_NEXT: Final = Verdict(Meaning.FIRST_NEXT)
NEXT: Final = Verdict(Meaning.NEXT)
AGAIN: Final = Verdict(Meaning.AGAIN)
RESPONSE: Final = Verdict(Meaning.RESPONSE, ACCEPTED_STATUS, ACCEPTED_BODY)
ERROR: Final = Verdict(Meaning.ERROR, ACCEPTED_STATUS, ACCEPTED_BODY)
RESTORE: Final = Verdict(Meaning.RESTORE, 200)
RESTORE_ERROR: Final = Verdict(Meaning.RESTORE_ERROR, ACCEPTED_STATUS, ACCEPTED_BODY)
INIT_ERROR: Final = Verdict(Meaning.INIT_ERROR, ACCEPTED_STATUS, ACCEPTED_BODY)
TOO_LARGE: Final = _refusal(
    413,
    "RequestEntityTooLarge",
    f"Exceeded maximum allowed payload size ({MAX_SYNC_RESPONSE_BYTES} bytes).",
    Meaning.TOO_LARGE,
)
BAD_MODE: Final = _refusal(
    400, "InvalidFunctionResponseMode", "Invalid function response mode", Meaning.BAD_MODE
)
INVALID_REQUEST_ID: Final = _refusal(400, "InvalidRequestID", "Invalid request ID")


class RuntimeSession:
    """The state of one runtime's conversation. `started` begins it anew with the next runtime."""

    __slots__ = ("phase", "request_id")

    def __init__(self) -> None:
        self.phase = Phase.EXITED
        self.request_id = ""
        """Of the invocation handed out last."""

    # what the environment does

    def started(self) -> None:
        """A new runtime runs."""
        self.phase = Phase.STARTED
        self.request_id = ""

    def restored(self) -> None:
        """A runtime goes on from a snapshot."""
        self.phase = Phase.RESTORING

    def exited(self) -> None:
        """The runtime is no more, or will not be listened to any longer."""
        self.phase = Phase.EXITED

    def handed_out(self, request_id: str) -> None:
        """The waiting runtime was given an invocation. Only in READY."""
        assert self.phase is Phase.READY, "an invocation is handed to a waiting runtime only"
        self.phase = Phase.RUNNING
        self.request_id = request_id

    # what the runtime says

    def next(self) -> Verdict:
        """GET /runtime/invocation/next."""
        phase = self.phase
        if phase is Phase.RESPONSE_SENT or phase is Phase.READY:
            self.phase = Phase.READY
            return NEXT
        if phase is Phase.STARTED or phase is Phase.RESTORING:
            self.phase = Phase.READY
            return FIRST_NEXT
        if phase is Phase.RUNNING:
            return AGAIN
        return self._not_now(Phase.READY)

    def response(self, request_id: str, size_bytes: int, mode: str | None) -> Verdict:
        """POST /runtime/invocation/{request_id}/response; `mode` is its Response-Mode header."""
        if self.phase is not Phase.RUNNING or request_id != self.request_id:
            return self._not_answerable(request_id, "InvocationResponse")
        self.phase = Phase.RESPONSE_SENT
        if size_bytes > MAX_SYNC_RESPONSE_BYTES:
            return TOO_LARGE
        if mode is not None and mode != STREAMING:
            return BAD_MODE
        return RESPONSE

    def error(self, request_id: str, size_bytes: int) -> Verdict:
        """POST /runtime/invocation/{request_id}/error."""
        if self.phase is not Phase.RUNNING or request_id != self.request_id:
            return self._not_answerable(request_id, "InvocationErrorResponse")
        self.phase = Phase.RESPONSE_SENT
        return TOO_LARGE if size_bytes > MAX_SYNC_RESPONSE_BYTES else ERROR

    def init_error(self) -> Verdict:
        """POST /runtime/init/error."""
        if self.phase is not Phase.STARTED:
            return self._not_now(Phase.INIT_ERROR)
        self.phase = Phase.INIT_ERROR
        return INIT_ERROR

    def restore_next(self) -> Verdict:
        """GET /runtime/restore/next. There is nothing to wait for where no snapshot is taken."""
        if self.phase is not Phase.STARTED:
            return self._not_now(Phase.RESTORING)
        self.phase = Phase.RESTORING
        return RESTORE

    def restore_error(self) -> Verdict:
        """POST /runtime/restore/error."""
        if self.phase is not Phase.RESTORING:
            return self._not_now(Phase.RESTORE_ERROR)
        self.phase = Phase.RESTORE_ERROR
        return RESTORE_ERROR

    def _not_answerable(self, request_id: str, wanted: str) -> Verdict:
        if not self.request_id or request_id != self.request_id:
            return INVALID_REQUEST_ID
        return self._not_now(wanted)

    def _not_now(self, wanted: str) -> Verdict:
        return _refusal(
            403,
            "InvalidStateTransition",
            f"State transition from {self.phase} to {wanted} failed for runtime. "
            "Error: State transition is not allowed",
        )
