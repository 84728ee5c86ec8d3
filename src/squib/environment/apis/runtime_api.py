"""The Runtime API of one environment over HTTP: the shell of `runtime_session`.

Any number of connections; runtimes use one for everything, or one for each kind of call. Requests that wait
for an invocation are parked here.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from squib.environment.apis.credentials import PATH as CREDENTIALS_PATH
from squib.environment.apis.extensions import PATHS as EXTENSION_PATHS
from squib.environment.apis.runtime_session import (
    ACCEPTED_BODY,
    ACCEPTED_STATUS,
    Meaning,
    Phase,
    RuntimeSession,
    Verdict,
)
from squib.http.exchange import Exchange
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer
from squib.model.invocation import Invocation
from squib.model.limits import MAX_SYNC_RESPONSE_BYTES
from squib.model.units import EpochMs

_LIMITS: Final = HttpLimits(
    max_body_bytes=MAX_SYNC_RESPONSE_BYTES,
    max_held_bytes=2 * MAX_SYNC_RESPONSE_BYTES,  # one answer, and an error beside it
    max_headers=64,
    max_connections=16,  # squib's choice: node's client opens 5; each is a descriptor of ours
    has_timeouts=False,  # a runtime may be frozen, or busy, for any time
)
_INVOCATION: Final = "/2018-06-01/runtime/invocation/"
_NEXT: Final = _INVOCATION + "next"
_INIT_ERROR: Final = "/2018-06-01/runtime/init/error"
_RESTORE_NEXT: Final = "/2018-06-01/runtime/restore/next"
_RESTORE_ERROR: Final = "/2018-06-01/runtime/restore/error"
_CONNECTIONS_PER_EXTENSION: Final = 4  # squib's choice: one that waits, and some for subscribing and errors
_JSON: Final = ("Content-Type", "application/json")
_ERROR_TYPE: Final = "lambda-runtime-function-error-type"
_ERROR_BODY: Final = "lambda-runtime-function-error-body"
_MODE: Final = "lambda-runtime-function-response-mode"
_ACCEPTED: Final = (
    f"HTTP/1.1 {ACCEPTED_STATUS} Accepted\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(ACCEPTED_BODY)}\r\n\r\n"
).encode() + ACCEPTED_BODY


class RuntimeEvents(Protocol):
    """What the environment is told. Only what makes sense in its state: the session has seen to that."""

    def on_ready(self) -> None:
        """The runtime is initialized."""

    def on_next(self) -> None:
        """The runtime asked for another invocation; told only when `tells_next` is set."""

    def on_extension_call(self, exchange: Exchange) -> None:
        """An extension called; the exchange is yours."""

    def on_handing_out(self) -> EpochMs:
        """The invocation is about to go to the runtime; gives back its deadline."""

    def on_handed_out(self) -> None:
        """It is on its way."""

    def on_response(self, payload: bytes) -> None: ...

    def on_error(self, error_type: str | None, payload: bytes) -> None: ...

    def on_refused_response(self, meaning: Meaning) -> None:
        """The runtime answered with TOO_LARGE or BAD_MODE."""

    def on_init_error(self, error_type: str | None, payload: bytes) -> None: ...

    def on_restore_error(self, error_type: str | None, payload: bytes) -> None:
        """A hook of the function has failed after the snapshot."""


class RuntimeApi:
    """Serves the Runtime API to one environment's runtime."""

    __slots__ = (
        "_current",
        "_deadline_ms",
        "_environment",
        "_http",
        "_parked",
        "_pending",
        "_session",
        "credentials",
        "tells_next",
    )

    def __init__(self, environment: RuntimeEvents, *, extension_count: int = 0) -> None:
        """`extension_count`: of processes that will call besides the runtime."""
        self._environment = environment
        self.credentials: Callable[[str], tuple[int, bytes]] | None = None
        """Answers who asks for credentials with this authorization; None: there is nothing to ask for."""
        self._session = RuntimeSession()
        self.tells_next = False
        limits = _LIMITS
        if extension_count:
            more = extension_count * _CONNECTIONS_PER_EXTENSION
            limits = replace(limits, max_connections=limits.max_connections + more)
        self._http = HttpServer(self._serve, limits, on_too_large=self._serve_too_large, with_date=False)
        self._parked: list[Exchange] = []  # may hold some whose client is gone
        self._pending: Invocation | None = None  # to be handed out
        self._current: Invocation | None = None  # handed out
        self._deadline_ms = EpochMs(0)

    def protocol(self) -> asyncio.Protocol:
        """Makes the protocol of one connection."""
        return self._http.protocol_factory()

    @property
    def is_waiting(self) -> bool:
        """The runtime has nothing to do and says so."""
        return self._session.phase is Phase.READY

    @property
    def was_handed_out(self) -> bool:
        """The runtime has got the invocation delivered last."""
        return self._pending is None

    def runtime_started(self) -> None:
        """A new runtime is about to run; what is left of the one before is not listened to."""
        self._http.close_connections()
        self._session.started()

    def runtime_restored(self) -> None:
        """A runtime goes on from a snapshot."""
        self._session.restored()

    def runtime_stopping(self) -> None:
        """Nothing the runtime says counts any more; extensions are listened to."""
        self._session.exited()
        self._pending = None

    def runtime_ended(self) -> None:
        """The runtime is gone or about to be killed: nothing it says counts, nothing is handed out."""
        self._session.exited()
        self._pending = None
        self._http.close_connections()

    def close(self) -> None:
        """Stops serving."""
        self._session.exited()
        self._http.abort()

    def deliver(self, invocation: Invocation) -> None:
        """Hands the invocation out: now when the runtime waits, or as soon as it asks."""
        self._pending = invocation
        if invocation.trace is not None:
            self.tells_next = True
        while self._parked:
            exchange = self._parked.pop()
            if not exchange.gone:
                self._hand_out(exchange)
                return

    # --- serving

    def _serve(self, exchange: Exchange) -> None:
        path = exchange.path
        if path == _NEXT:
            if exchange.method == "GET":
                self._next(exchange)
                return
        elif path.startswith(_INVOCATION):
            request_id, _, call = path[len(_INVOCATION) :].partition("/")
            if exchange.method == "POST":
                if call == "response":
                    self._response(exchange, request_id, len(exchange.body))
                    return
                if call == "error":
                    self._error(exchange, request_id, len(exchange.body))
                    return
        elif exchange.method == "POST":
            if path in (_INIT_ERROR, _RESTORE_ERROR):
                self._early_error(exchange)
                return
        elif exchange.method == "GET":
            if path == _RESTORE_NEXT:
                verdict = self._session.restore_next()
                exchange.respond(verdict.status, (_JSON,), verdict.body)
                return
            if path == CREDENTIALS_PATH and self.credentials is not None:
                authorization = exchange.headers.get("authorization", "")
                status, body = self.credentials(authorization)
                exchange.respond(status, (_JSON,), body)
                return
        if path.startswith(EXTENSION_PATHS):
            self._environment.on_extension_call(exchange)
        else:
            exchange.respond(404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n")

    def _serve_too_large(self, exchange: Exchange) -> None:
        """The body was not read."""
        request_id, _, call = exchange.path[len(_INVOCATION) :].partition("/")
        if call == "response":
            self._response(exchange, request_id, MAX_SYNC_RESPONSE_BYTES + 1)
        elif call == "error":
            self._error(exchange, request_id, MAX_SYNC_RESPONSE_BYTES + 1)
        else:
            exchange.respond(413, ())

    def _next(self, exchange: Exchange) -> None:
        verdict = self._session.next()
        if verdict.status:
            _refuse(exchange, verdict)
            return
        if verdict.meaning is Meaning.FIRST_NEXT:
            self._park(exchange)
            self._environment.on_ready()
            if self._pending is not None:
                self.deliver(self._pending)
        elif verdict.meaning is Meaning.AGAIN or self._pending is not None:
            self._hand_out(exchange)
        else:
            self._park(exchange)
            if self.tells_next:
                self._environment.on_next()

    def _park(self, exchange: Exchange) -> None:
        if len(self._parked) > _LIMITS.max_connections:
            self._parked = [parked for parked in self._parked if not parked.gone]
        self._parked.append(exchange)

    def _hand_out(self, exchange: Exchange) -> None:
        if self._pending is not None:
            self._current, self._pending = self._pending, None
            self._session.handed_out(self._current.request_id)
            self._deadline_ms = self._environment.on_handing_out()
        invocation = self._current
        assert invocation is not None, "there is an invocation to hand out"
        context = invocation.client_context
        extra = f"Lambda-Runtime-Client-Context: {context}\r\n" if context else ""
        exchange.respond_raw(
            (
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
                f"Lambda-Runtime-Deadline-Ms: {self._deadline_ms}\r\n"
                f"Lambda-Runtime-Invoked-Function-Arn: {invocation.invoked_arn}\r\n"
                f"Lambda-Runtime-Trace-Id: {invocation.trace_id}\r\n"
                f"{extra}Content-Length: {len(invocation.payload)}\r\n\r\n"
            ).encode("latin-1"),
            invocation.payload,
        )
        self._environment.on_handed_out()

    def _response(self, exchange: Exchange, request_id: str, size_bytes: int) -> None:
        headers = exchange.headers
        verdict = self._session.response(request_id, size_bytes, headers.get(_MODE))
        if verdict.meaning is Meaning.RESPONSE:
            trailers = exchange.trailers
            if _ERROR_TYPE in trailers:  # the function failed while it streamed
                body = _decode(trailers.get(_ERROR_BODY, "")) or exchange.body
                self._environment.on_error(trailers[_ERROR_TYPE], body)
            else:
                self._environment.on_response(exchange.body)
            exchange.respond_raw(_ACCEPTED)
            return
        _refuse(exchange, verdict)
        if verdict.meaning is not Meaning.NOTHING:
            self._environment.on_refused_response(verdict.meaning)

    def _error(self, exchange: Exchange, request_id: str, size_bytes: int) -> None:
        verdict = self._session.error(request_id, size_bytes)
        if verdict.meaning is Meaning.ERROR:
            self._environment.on_error(exchange.headers.get(_ERROR_TYPE), exchange.body)
            exchange.respond_raw(_ACCEPTED)
            return
        _refuse(exchange, verdict)
        if verdict.meaning is not Meaning.NOTHING:
            self._environment.on_refused_response(verdict.meaning)

    def _early_error(self, exchange: Exchange) -> None:
        """Before the first invocation."""
        is_init = exchange.path == _INIT_ERROR
        verdict = self._session.init_error() if is_init else self._session.restore_error()
        if verdict.meaning is Meaning.NOTHING:
            _refuse(exchange, verdict)
            return
        exchange.respond_raw(_ACCEPTED)
        tell = self._environment.on_init_error if is_init else self._environment.on_restore_error
        tell(exchange.headers.get(_ERROR_TYPE), exchange.body)


def _refuse(exchange: Exchange, verdict: Verdict) -> None:
    exchange.respond(verdict.status, (_JSON,), verdict.body)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
