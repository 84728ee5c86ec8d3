"""The conversation of one environment's extensions with the Extensions API, as a decision. Pure.

Extensions of two kinds: external ones are processes of their own, known by their file's name before they
say anything; internal ones are a part of the runtime's process, known once they register. What one can do
wrong is answered here and goes no further. Waiting, sockets and time are the shell's (`extensions`).
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from squib.model.limits import MAX_EXTENSIONS


class Phase(StrEnum):
    """Where an extension is, in the words of Lambda's log and error answers."""

    STARTED = "Started"  # its process runs, and has not registered yet
    REGISTERED = "Registered"  # has not asked for an event yet
    READY = "Ready"  # waits for an event
    RUNNING = "Running"  # has one
    INIT_ERROR = "InitError"  # said that it cannot initialize
    EXIT_ERROR = "ExitError"  # said that it has to end
    EXITED = "Exited"  # its process ended
    LAUNCH_ERROR = "LaunchError"  # it could not be executed


class Call(StrEnum):
    """What an extension can ask; the value is the phase it asks to reach."""

    REGISTER = "Registered"
    NEXT = "Ready"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"


INVOKE: Final = "INVOKE"
SHUTDOWN: Final = "SHUTDOWN"

ALLOWED: Final[dict[tuple[Phase, Call], Phase]] = {
    (Phase.STARTED, Call.REGISTER): Phase.REGISTERED,
    (Phase.REGISTERED, Call.NEXT): Phase.READY,
    (Phase.READY, Call.NEXT): Phase.READY,
    (Phase.RUNNING, Call.NEXT): Phase.READY,
    (Phase.REGISTERED, Call.INIT_ERROR): Phase.INIT_ERROR,
    (Phase.INIT_ERROR, Call.INIT_ERROR): Phase.INIT_ERROR,
    (Phase.REGISTERED, Call.EXIT_ERROR): Phase.EXIT_ERROR,
    (Phase.READY, Call.EXIT_ERROR): Phase.EXIT_ERROR,
    (Phase.RUNNING, Call.EXIT_ERROR): Phase.EXIT_ERROR,
    (Phase.EXIT_ERROR, Call.EXIT_ERROR): Phase.EXIT_ERROR,
}
"""What an extension may ask in each phase, and where it is then. All else is refused with 403."""

_LIVING: Final = frozenset({Phase.STARTED, Phase.REGISTERED, Phase.READY, Phase.RUNNING})


class Extension:
    """One extension. `index` is its place among the started processes; None for an internal one."""

    __slots__ = ("error_type", "events", "has_ended", "identifier", "index", "name", "pending", "phase")

    def __init__(self, name: str, index: int | None) -> None:
        self.name = name
        self.index = index
        self.identifier = ""
        self.events: tuple[str, ...] = ()
        self.phase = Phase.STARTED
        self.error_type = ""
        """What it said of itself in an error call."""
        self.pending = b""
        """An event that it has not been given yet."""
        self.has_ended = False
        """Its process is gone, whatever its phase says."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What to say to a call. `status` 0: once there is an event for it."""

    status: int = 0
    body: bytes = b""
    extension: Extension | None = None
    """Who called; None when the call was refused."""


_ACCEPTED: Final = b'{"status":"OK"}\n'


def refusal(error_type: str, message: str, status: int = 403) -> Answer:
    """An error answer of the Extensions API."""
    body = msgspec.json.encode({"errorMessage": message, "errorType": error_type}) + b"\n"
    return Answer(status=status, body=body)


class _Registration(msgspec.Struct):
    events: list[str] = []


class ExtensionSession:
    """The extensions of one environment. `started` begins anew."""

    def __init__(self) -> None:
        self.extensions: list[Extension] = []
        self.is_open = False
        """Internal extensions can register: the runtime has not asked for an invocation yet."""

    # what the environment does

    def started(self, names: Sequence[str]) -> None:
        """Processes of these names start, in this order; a runtime will."""
        self.extensions = [Extension(name, index) for index, name in enumerate(names)]
        self.is_open = True

    def closed(self) -> None:
        """The runtime has asked for an invocation: from here on nobody registers."""
        self.is_open = False

    def invoked(self, event: bytes) -> Iterator[Extension]:
        """Those that get this INVOKE event; each has it `pending` and is at work."""
        return self._give(INVOKE, event)

    def shut_down(self, event: bytes) -> Iterator[Extension]:
        """Those that get this SHUTDOWN event, whatever they are doing."""
        return self._give(SHUTDOWN, event)

    def _give(self, kind: str, event: bytes) -> Iterator[Extension]:
        for extension in self.extensions:
            if kind in extension.events and extension.phase in _LIVING:
                extension.phase = Phase.RUNNING
                extension.pending = event
                yield extension

    def ended(self, index: int, *, is_launch_error: bool = False) -> Extension:
        """An external extension's process is gone."""
        extension = self.extensions[index]
        extension.has_ended = True
        if is_launch_error:
            extension.phase = Phase.LAUNCH_ERROR
        elif extension.phase in _LIVING:
            extension.phase = Phase.EXITED
        return extension

    # what is asked of it

    @property
    def has_registered(self) -> bool:
        """Every external extension has registered; the runtime's turn has come."""
        return all(one.phase is not Phase.STARTED for one in self.extensions)

    @property
    def is_waiting(self) -> bool:
        """Every extension has asked for its next event."""
        return all(one.phase is Phase.READY for one in self.extensions)

    @property
    def external_count(self) -> int:
        """Of registered extensions that are processes and run."""
        return sum(
            one.index is not None and bool(one.identifier) and not one.has_ended for one in self.extensions
        )

    @property
    def internal_count(self) -> int:
        """Of registered extensions within the runtime."""
        return sum(one.index is None for one in self.extensions)

    @property
    def shutdown_count(self) -> int:
        """Of external extensions that want to hear of the shutdown and still run."""
        return sum(
            one.index is not None and SHUTDOWN in one.events and not one.has_ended for one in self.extensions
        )

    # what extensions say

    def register(self, name: str, body: bytes, identifier: str) -> Answer:
        """POST /extension/register; `identifier` is what the extension will be known by."""
        if not name:
            return refusal("Extension.InvalidExtensionName", "Empty extension name")
        try:
            events = msgspec.json.decode(body, type=_Registration).events
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return refusal("InvalidRequestFormat", str(error))
        for event in events:
            if event not in (INVOKE, SHUTDOWN):
                return refusal("Extension.InvalidEventType", f"{event}: invalid event type")
        known = next((one for one in self.extensions if one.name == name), None)
        if known is None:
            if not self.is_open:
                return refusal("Extension.RegistrationClosed", "Extension registration closed already")
            if SHUTDOWN in events:
                message = f"{SHUTDOWN}: event type is not supported for internal extensions"
                return refusal("Extension.InvalidEventType", message)
            if len(self.extensions) >= MAX_EXTENSIONS:
                return refusal("Extension.TooManyExtensions", f"Extension limit ({MAX_EXTENSIONS}) reached")
            known = Extension(name, None)
            self.extensions.append(known)
        answer = self._step(known, Call.REGISTER)
        if answer.extension is not None:
            known.identifier = identifier
            known.events = tuple(event for event in (INVOKE, SHUTDOWN) if event in events)
        return answer

    def next(self, identifier: str | None) -> Answer:
        """GET /extension/event/next."""
        extension = self._find(identifier)
        if isinstance(extension, Answer):
            return extension
        if extension.pending and extension.phase is Phase.RUNNING:
            event, extension.pending = extension.pending, b""
            return Answer(status=200, body=event, extension=extension)
        answer = self._step(extension, Call.NEXT)
        return Answer(extension=extension) if answer.extension is not None else answer

    def error(self, identifier: str | None, call: Call, error_type: str | None) -> Answer:
        """POST /extension/init/error and /extension/exit/error; `error_type` is a header."""
        extension = self._find(identifier)
        if isinstance(extension, Answer):
            return extension
        if not error_type:
            return refusal("Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found")
        answer = self._step(extension, call)
        if answer.extension is not None:
            extension.error_type = error_type
        return answer

    def subscriber(self, identifier: str | None) -> Extension | Answer:
        """Who asks for telemetry; a refusal when it is nobody."""
        return self._find(identifier)

    def _find(self, identifier: str | None) -> Extension | Answer:
        if not identifier:
            return refusal("Extension.MissingHeader", "Missing Lambda-Extension-Identifier header")
        for extension in self.extensions:
            if extension.identifier == identifier:
                return extension
        return refusal("Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier[:64]}")

    def _step(self, extension: Extension, call: Call) -> Answer:
        phase = ALLOWED.get((extension.phase, call))
        if phase is None:
            return refusal(
                "Extension.InvalidExtensionState",
                f"State transition from {extension.phase} to {call} failed for extension "
                f"{extension.name}. Error: State transition is not allowed",
            )
        extension.phase = phase
        return Answer(
            status=202 if call in (Call.INIT_ERROR, Call.EXIT_ERROR) else 200,
            body=_ACCEPTED,
            extension=extension,
        )


def invoke_event(*, request_id: str, deadline_ms: int, invoked_arn: str, trace_id: str) -> bytes:
    """The INVOKE event."""
    event: dict[str, Any] = {
        "eventType": INVOKE,
        "deadlineMs": deadline_ms,
        "requestId": request_id,
        "invokedFunctionArn": invoked_arn,
        "tracing": {"type": "X-Amzn-Trace-Id", "value": trace_id},
    }
    return msgspec.json.encode(event)


def shutdown_event(*, reason: str, deadline_ms: int) -> bytes:
    """The SHUTDOWN event."""
    return msgspec.json.encode({"eventType": SHUTDOWN, "shutdownReason": reason, "deadlineMs": deadline_ms})
