"""The Extensions API of one environment over HTTP, and its telemetry subscriptions: the shell of
`extension_session`.

Made only where there are extensions. Requests that wait for an event are parked here.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import msgspec

from squib.environment import failure as failures
from squib.environment.apis.extension_session import (
    Answer,
    Call,
    Extension,
    ExtensionSession,
    invoke_event,
    refusal,
    shutdown_event,
)
from squib.environment.apis.telemetry import Telemetry
from squib.environment.apis.telemetry_courier import OpenSocket
from squib.environment.apis.telemetry_subscription import LOGS, TELEMETRY, parse
from squib.environment.driver import End, EndCause
from squib.environment.failure import Failure
from squib.environment.log import platform_events as events
from squib.environment.log.journal import Journal
from squib.environment.surroundings import Surroundings
from squib.environment.variables import runtime_version
from squib.http.exchange import Exchange
from squib.model.function import FunctionVersion
from squib.model.invocation import Invocation
from squib.model.runtime import runtime_version_arn
from squib.model.units import EpochMs

PATHS: Final = ("/2020-01-01/extension/", "/2020-08-15/logs", "/2022-07-01/telemetry")
_REGISTER: Final = "/2020-01-01/extension/register"
_NEXT: Final = "/2020-01-01/extension/event/next"
_ERRORS: Final = {
    "/2020-01-01/extension/init/error": Call.INIT_ERROR,
    "/2020-01-01/extension/exit/error": Call.EXIT_ERROR,
}
_SUBSCRIBE: Final = {
    "/2022-07-01/telemetry": (TELEMETRY, "telemetrySubscription"),
    "/2020-08-15/logs": (LOGS, "logsSubscription"),
}
_JSON: Final = ("Content-Type", "application/json")
_NAME: Final = "lambda-extension-name"
_IDENTIFIER: Final = "lambda-extension-identifier"
_ERROR_TYPE: Final = "lambda-extension-function-error-type"
_FEATURES: Final = "lambda-extension-accept-feature"


class ExtensionEvents(Protocol):
    """What the environment is told."""

    def on_extensions_registered(self) -> None:
        """Every external extension has registered: the runtime's turn has come."""

    def on_extension_waiting(self) -> None:
        """An extension asks for its next event."""

    def on_extension_failed(self, failure: Failure) -> None:
        """An extension has ended, or reported that it must."""


class Extensions:
    """Serves the extensions of one environment."""

    def __init__(
        self,
        environment: ExtensionEvents,
        function: FunctionVersion,
        journal: Journal,
        surroundings: Surroundings,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        open_socket: OpenSocket,
    ) -> None:
        """`open_socket` makes one in the environment's own network."""
        self._environment, self._function = environment, function
        self._journal, self._new_id = journal, surroundings.new_id
        self._clock, self._spawn, self._open_socket = surroundings.clock, spawn, open_socket
        self._session = ExtensionSession()
        self._parked: dict[str, Exchange] = {}  # by identifier
        self._is_initializing = False

    # --- what the environment does

    def started(self, names: Sequence[str], phase: str) -> None:
        """The processes of these names start; what is left of those before is not listened to, nor sent
        telemetry. `phase` is `init` or `invoke`."""
        journal, function = self._journal, self._function
        if journal.telemetry is not None:
            journal.telemetry.close()
        is_json = function.logging.log_format == "JSON"
        journal.telemetry = Telemetry(self._clock, self._spawn, self._open_socket, is_json=is_json)
        version = runtime_version(function.runtime)
        arn = runtime_version_arn(function.runtime, function.key.region)
        kind = journal.log.lines.initialization
        journal.tell("initStart", events.init_start(version, arn, phase, initialization=kind))
        self._parked.clear()
        self._session.started(names)
        self._is_initializing = True

    def runtime_ready(self) -> None:
        """The runtime has asked for its first invocation."""
        self._session.closed()

    def initialized(self) -> None:
        """The initialization is over: says where each extension is."""
        self._is_initializing = False
        if self._journal.telemetry is not None:
            self._journal.telemetry.initialized()
        for extension in self._session.extensions:
            self._record(extension)

    def invoke(self, invocation: Invocation, deadline_ms: EpochMs) -> None:
        """Tells of an invocation that has been handed to the runtime."""
        event = invoke_event(
            request_id=invocation.request_id,
            deadline_ms=deadline_ms,
            invoked_arn=invocation.invoked_arn,
            trace_id=invocation.trace_id,
        )
        for extension in self._session.invoked(event):
            self._hand_over(extension)

    def shut_down(self, reason: str, deadline_ms: EpochMs) -> None:
        """Tells that the environment ends."""
        for extension in self._session.shut_down(shutdown_event(reason=reason, deadline_ms=deadline_ms)):
            self._hand_over(extension)

    def ended(self, index: int, end: End, *, is_expected: bool) -> None:
        """The process of an external extension is gone."""
        extension = self._session.ended(index, is_launch_error=end.cause is EndCause.NOT_STARTED)
        failure = failures.extension_ended(extension.phase, extension.name, end)
        if not is_expected:
            extension.error_type = extension.error_type or failure.error_type
            self._record(extension)
        self._environment.on_extension_failed(failure)

    def _record(self, extension: Extension) -> None:
        record = events.extension(
            name=extension.name,
            state=extension.phase,
            events=extension.events,
            error_type=extension.error_type,
        )
        self._journal.platform("extension", record)

    # --- what is asked of it

    @property
    def have_registered(self) -> bool:
        """Every external extension has registered."""
        return self._session.has_registered

    @property
    def is_waiting(self) -> bool:
        """Every extension has asked for its next event."""
        return self._session.is_waiting

    @property
    def external_count(self) -> int:
        """Of registered extensions that are processes and run."""
        return self._session.external_count

    @property
    def internal_count(self) -> int:
        """Of registered extensions within the runtime."""
        return self._session.internal_count

    @property
    def shutdown_count(self) -> int:
        """Of external extensions that want to hear of the shutdown and still run."""
        return self._session.shutdown_count

    # --- serving

    def serve(self, exchange: Exchange) -> None:
        """Answers a call to one of PATHS."""
        path, method, headers = exchange.path.rstrip("/"), exchange.method, exchange.headers
        if path == _NEXT and method == "GET":
            self._next(exchange)
        elif path == _REGISTER and method == "POST":
            self._register(exchange)
        elif path in _ERRORS and method == "POST":
            answer = self._session.error(headers.get(_IDENTIFIER), _ERRORS[path], headers.get(_ERROR_TYPE))
            _respond(exchange, answer)
            extension = answer.extension
            if extension is not None and extension.index is None:
                said = failures.extension_said(extension.phase, extension.error_type)
                self._environment.on_extension_failed(said)
        elif path in _SUBSCRIBE and method == "PUT":
            self._subscribe(exchange, *_SUBSCRIBE[path])
        else:
            exchange.respond(404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n")

    def _register(self, exchange: Exchange) -> None:
        headers = exchange.headers
        had_registered = self._session.has_registered
        answer = self._session.register(headers.get(_NAME, ""), exchange.body, self._new_id())
        extension = answer.extension
        if extension is None:
            _respond(exchange, answer)
            return
        about = {
            "functionName": self._function.key.name,
            "functionVersion": self._function.version,
            "handler": self._function.handler,
        }
        if "accountId" in [feature.strip() for feature in headers.get(_FEATURES, "").split(",")]:
            about["accountId"] = self._function.key.account_id
        identifier = ("Lambda-Extension-Identifier", extension.identifier)
        exchange.respond(200, (_JSON, identifier), msgspec.json.encode(about))
        if not had_registered and self._session.has_registered:
            self._environment.on_extensions_registered()

    def _next(self, exchange: Exchange) -> None:
        identifier = exchange.headers.get(_IDENTIFIER)
        answer = self._session.next(identifier)
        if answer.extension is None:
            _respond(exchange, answer)
        elif answer.status:
            self._give(exchange, answer.body)
        else:
            self._parked[answer.extension.identifier] = exchange
            self._environment.on_extension_waiting()

    def _hand_over(self, extension: Extension) -> None:
        """Gives a waiting extension its event; one that does not wait gets it when it asks."""
        exchange = self._parked.pop(extension.identifier, None)
        if exchange is not None and not exchange.gone:
            event, extension.pending = extension.pending, b""
            self._give(exchange, event)

    def _give(self, exchange: Exchange, event: bytes) -> None:
        exchange.respond(200, (_JSON, ("Lambda-Extension-Event-Identifier", self._new_id())), event)

    def _subscribe(self, exchange: Exchange, api: str, kind: str) -> None:
        extension = self._session.subscriber(exchange.headers.get(_IDENTIFIER))
        if isinstance(extension, Answer):
            _respond(exchange, extension)
            return
        telemetry = self._journal.telemetry
        if telemetry is None or not self._is_initializing:
            message = f"{api} API subscription is closed already"
            _respond(exchange, refusal(f"{api}.SubscriptionClosed", message))
            return
        subscription = parse(api, exchange.body)
        problem = subscription if isinstance(subscription, str) else ""
        if not isinstance(subscription, str):
            problem = telemetry.subscribe(extension.name, subscription)
        if problem or isinstance(subscription, str):
            _respond(exchange, refusal("ValidationError", problem, 400))
            return
        exchange.respond(200, (_JSON,), b'"OK"')
        self._journal.platform(kind, events.subscription(name=extension.name, types=subscription.types))


def _respond(exchange: Exchange, answer: Answer) -> None:
    exchange.respond(answer.status, (_JSON,), answer.body)
