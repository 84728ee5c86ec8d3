"""What a scripted runtime does: one step after the other."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from squib.environment.driver import End, EndCause, LogSource
from squib.model.errors import PlatformError


@dataclass(frozen=True, slots=True)
class Respond:
    """Posts a response; the event itself when `body` is None."""

    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None
    """Instead of the invocation's own."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Posts an error of the invocation."""

    error_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class FailInit:
    """Posts an initialization error."""

    error_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Print:
    """Writes to a log pipe."""

    data: bytes
    source: LogSource = LogSource.OUTPUT


@dataclass(frozen=True, slots=True)
class Exit:
    """Ends the process."""

    end: End = field(default_factory=lambda: End(cause=EndCause.EXITED, status=0))


@dataclass(frozen=True, slots=True)
class Next:
    """Asks for the next invocation. When it comes, the script goes on with what `FakeScript` says."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a snapshot is taken: a template stops here, any other runtime asks whether it may go on."""

    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class FailRestore:
    """Posts that a hook after the snapshot has failed."""

    error_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Does nothing for a time of the loop's clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """Any other request of the Runtime API's server; the answer goes to the sandbox's `answers`."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Register:
    """An extension registers; its later calls carry the identifier it is given."""

    name: str
    events: tuple[str, ...] = ("INVOKE", "SHUTDOWN")


@dataclass(frozen=True, slots=True)
class NextEvent:
    """An extension asks for its next event; `FakeScript.on_extension_event` says what then."""


Step: TypeAlias = (
    Respond
    | Fail
    | FailInit
    | FailRestore
    | Print
    | Exit
    | Next
    | Snapshot
    | Wait
    | Call
    | Register
    | NextEvent
)


def go_on(name: str, event: bytes) -> "Iterable[Step]":
    """An extension that works on an event for no time at all, and ends when it is told to."""
    return (Exit(),) if b'"SHUTDOWN"' in event else (NextEvent(),)


def echo(event: "FakeEvent") -> Iterable[Step]:
    """Answers with the event."""
    return (Respond(), Next())


@dataclass(frozen=True, slots=True)
class FakeEvent:
    """What /next gave."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class FakeScript:
    """What runtimes do. `on_start` gets the number of the start within its sandbox, from 1; a script that
    ends without Next or Exit hangs."""

    on_start: Callable[[int], Iterable[Step]] = lambda count: (Next(),)
    on_event: Callable[[FakeEvent], Iterable[Step]] = echo
    on_extension: Callable[[str], Iterable[Step]] = lambda name: (Register(name), NextEvent())
    on_extension_event: Callable[[str, bytes], Iterable[Step]] = go_on
    on_terminate: Callable[[], Iterable[Step]] = lambda: (Exit(End(cause=EndCause.SIGNALED, status=15)),)
    clones: bool = False
    """The driver offers clones."""
    on_clone: Callable[[int], Iterable[Step]] = lambda count: (Next(),)
    """What clones do; gets the number of the clone within its driver, from 1."""
    clone_delay_s: float = 0.0
    clone_error: PlatformError | None = None
    create_error: PlatformError | None = None
    create_delay_s: float = 0.0
    memory_peak_bytes: int = 40 << 20
    memory_bytes: int = 10 << 20
    """Of each sandbox."""
