"""The gateway: exchanges of `http/` into the chain, one task each, and their answers back.

Decides nothing about a request but who looks at it: the chain, or squib's own pages. A client that goes away
does not end what it asked for; only the answer is dropped.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from squib.clock import Clock, Entropy
from squib.gateway.admin import PREFIX, Admin, Page
from squib.gateway.authenticate import Authenticator, Credentials, Trust
from squib.gateway.authorize import Authorizer
from squib.gateway.chain import Chain, Response
from squib.gateway.function_url import FunctionUrls
from squib.gateway.models import ServiceModels
from squib.gateway.pages.metrics import PATH as METRICS
from squib.gateway.pages.signed import SignedPage, WatchedPage, signed, watched
from squib.gateway.route import protocol_of, route, service_of, too_large
from squib.gateway.wire import error_shapes
from squib.model.errors import ApiError, ServiceUnavailable
from squib.model.operation import HandlerTable, PromptHandler, RawRequest
from squib.model.units import AccountId, Region, RequestId
from squib.store.endpoint import url_of

log: Final = logging.getLogger("squib.gateway")


class Exchange(Protocol):
    """A request of `http/` and the means to answer it, as far as the gateway uses them."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    gone: bool
    on_gone: Callable[[], None] | None

    @property
    def local_address(self) -> tuple[str, int]: ...

    @property
    def remote_host(self) -> str: ...

    def respond(self, status: int, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        """Answers, once; silent when the client has gone. Raises ValueError for a header of two lines."""


class _DrainOver(Exception):
    """Ends the task group and with it what is still open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """How the gateway is set up."""

    base_url: str | None
    """`http://HOST:PORT` of squib, without a slash at the end, for links in answers; None when it listens on
    every address: then the one that the caller has connected to."""
    default_account_id: AccountId
    default_region: Region
    trust_any_credentials: bool = False
    metrics_token: str | None = field(default=None, repr=False)
    """Whoever bears it may read the metrics of all accounts."""


class Gateway:
    """Serves exchanges while `run` runs. Lives on one event loop."""

    def __init__(
        self,
        *,
        handlers: HandlerTable,
        credentials: Credentials,
        authorizer: Authorizer,
        clock: Clock,
        entropy: Entropy,
        options: GatewayOptions,
        pages: Mapping[str, Page] | None = None,
        signed_pages: Mapping[str, SignedPage] | None = None,
        metrics: WatchedPage | None = None,
        prompt_handlers: Mapping[tuple[str, str], PromptHandler] | None = None,
        urls: FunctionUrls | None = None,
    ) -> None:
        """`pages` are further pages of `Admin`, `signed_pages` those for the roots of accounts;
        `prompt_handlers` are asked before `handlers`."""
        self._clock = clock
        self._entropy = entropy
        self._options = options
        self._models = ServiceModels()
        trust = Trust(
            trust_any_credentials=options.trust_any_credentials,
            default_account_id=options.default_account_id,
            default_region=options.default_region,
        )
        self._authenticator = Authenticator(credentials, trust)
        self._urls = urls
        self._chain = Chain(handlers, self._authenticator, authorizer, self._models, prompt_handlers or {})
        rooted = {path: signed(page, self._authenticator) for path, page in (signed_pages or {}).items()}
        if metrics is not None:
            rooted[METRICS] = watched(metrics, self._authenticator, options.metrics_token)
        self._admin = Admin(lambda: self.is_ready, self._chain.not_built, {**(pages or {}), **rooted})
        self._tasks: asyncio.TaskGroup | None = None
        self._open = 0
        self._closing = False
        self._leaving = False
        self._ended = asyncio.Event()
        self._idle = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken, and will be for a while."""
        return self._tasks is not None and not self._closing and not self._leaving

    def leave(self) -> None:
        """squib is about to stop: nobody should begin to count on it. What comes is still answered."""
        self._leaving = True

    @property
    def not_built(self) -> Mapping[str, int]:
        """How often each `service:Operation` that is not built was asked for."""
        return self._chain.not_built

    async def run(self) -> None:
        """Owns the tasks of all exchanges. Returns after `drain`; cancelling it cancels them."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    await self._ended.wait()
                finally:
                    self._closing = True
                if self._open:
                    raise _DrainOver
        except* _DrainOver:
            log.warning("requests_cancelled")

    async def drain(self, timeout_s: float) -> None:
        """Takes no more requests, waits at most `timeout_s` for the open ones, then lets `run` end, which
        cancels what is left."""
        self._closing = True
        if self._open:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._idle.wait()
            except TimeoutError:
                log.warning("drain_timed_out open_requests=%d", self._open)
        self._ended.set()

    def on_exchange(self, exchange: Exchange, base_url: str | None = None) -> None:
        """Takes a request; answers it later. `base_url` is given for a function's own endpoint, and replaces
        that of the options."""
        request = self._request(exchange, base_url)
        tasks = self._tasks
        if tasks is None or self._closing:
            self._refuse(exchange, request, ServiceUnavailable())
            return
        self._open += 1

        def respond(response: Response) -> None:
            try:
                exchange.respond(response.status, response.headers, response.body)
            except Exception:
                log.exception("request_failed request_id=%s", request.request_id)
                _give_up(exchange, request.request_id)
            self._ended_one()

        if self._is_to_url(request) or not self._chain.answer_promptly(request, respond):
            tasks.create_task(self._serve(exchange, request))

    def on_too_large(self, exchange: Exchange) -> None:
        """Answers a request whose body was not read because it is over every limit."""
        request = self._request(exchange, None)
        try:
            operation = route(request, service_of(request), self._models).operation
        except ApiError:
            operation = "requested"
        self._refuse(exchange, request, too_large(operation))

    def _request(self, exchange: Exchange, base_url: str | None) -> RawRequest:
        return RawRequest(
            method=exchange.method,
            path=exchange.path,
            query=exchange.query,
            headers=exchange.headers,
            body=exchange.body,
            request_id=self._entropy.request_id(),
            received_at_ms=self._clock.now_ms(),
            base_url=base_url or self._options.base_url or url_of(*exchange.local_address),
            source_ip=exchange.remote_host,
            from_function=base_url is not None,
            when_gone=partial(_when_gone, exchange),
        )

    async def _serve(self, exchange: Exchange, request: RawRequest) -> None:
        try:
            if self._urls is not None and self._is_to_url(request):
                status, headers, body = await self._urls.answer(request, self._authenticator.authenticate)
                headers = [*headers, ("x-amzn-RequestId", request.request_id)]
            elif request.path.startswith(PREFIX):
                status, page_headers, body = await self._admin.answer(request)
                headers = [*page_headers, ("x-amzn-RequestId", request.request_id)]
            else:
                status, headers, body = await self._chain.answer(request)
            if log.isEnabledFor(logging.DEBUG):
                log.debug(
                    "request_answered request_id=%s method=%s path=%s status=%d duration_ms=%d is_gone=%s",
                    request.request_id,
                    request.method,
                    request.path,
                    status,
                    self._clock.now_ms() - request.received_at_ms,
                    exchange.gone,
                )
            exchange.respond(status, headers, body)
        except Exception:
            # A page that fails, or an answer that cannot be sent: one request's matter, not the group's.
            log.exception("request_failed request_id=%s", request.request_id)
            _give_up(exchange, request.request_id)
        finally:
            self._ended_one()

    def _is_to_url(self, request: RawRequest) -> bool:
        return self._urls is not None and self._urls.claims(request)

    def _ended_one(self) -> None:
        self._open -= 1
        if self._closing and not self._open:
            self._idle.set()

    def _refuse(self, exchange: Exchange, request: RawRequest, error: ApiError) -> None:
        service = service_of(request)
        protocol = protocol_of(request, service)
        model = None if service is None else self._models.spoken(service, protocol)
        status, headers, body = error_shapes.render(protocol, model, error, request.request_id)
        headers.append(("x-amzn-RequestId", request.request_id))
        exchange.respond(status, headers, body)


def _when_gone(exchange: Exchange, then: Callable[[], None]) -> None:
    """Calls `then` when the client leaves, or now, if it has left."""
    exchange.on_gone = then
    if exchange.gone:
        then()


def _give_up(exchange: Exchange, request_id: RequestId) -> None:
    try:
        exchange.respond(500, [("x-amzn-RequestId", request_id)], b"")
    except Exception:
        log.exception("answer_failed request_id=%s", request_id)
