"""A request's stages in order: route, authenticate, find the handler, parse, authorize, handle, serialize.

Each stage takes what the one before returned. The order is what callers see when several things are wrong.
Errors are turned into answers in one place.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from squib.gateway.authenticate import Authenticator
from squib.gateway.authorize import Authorizer
from squib.gateway.models import ServiceModels
from squib.gateway.route import invoke_call, protocol_of, route, service_of
from squib.gateway.wire import error_shapes, invoke, json_rpc, query, rest_json, rpc_cbor, validate
from squib.model.errors import (
    ApiError,
    NotImplementedYet,
    ServiceException,
    SquibError,
    ValidationException,
)
from squib.model.operation import (
    AuthenticatedCall,
    Handler,
    HandlerTable,
    OperationCall,
    OperationResult,
    PromptHandler,
    RawRequest,
    RoutedCall,
)

log: Final = logging.getLogger("squib.gateway")

_LARGE_BYTES: Final = 1024 * 1024  # our own choice: hashing and decoding this much takes about a millisecond


class Response(NamedTuple):
    """An answer, whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Chain:
    """Answers requests with `handlers`. Owned by one event loop."""

    def __init__(
        self,
        handlers: HandlerTable,
        authenticator: Authenticator,
        authorizer: Authorizer,
        models: ServiceModels,
        prompt_handlers: Mapping[tuple[str, str], PromptHandler],
    ) -> None:
        self._handlers = handlers
        self._prompt_handlers = prompt_handlers
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._models = models
        self._not_built: Counter[str] = Counter()

    @property
    def not_built(self) -> Mapping[str, int]:
        """How often each `service:Operation` that is not built was asked for."""
        return self._not_built

    async def answer(self, request: RawRequest) -> Response:
        """The answer to a request. Never raises but when cancelled; as slow as the operation's handler."""
        service = service_of(request)
        try:
            routed = route(request, service, self._models)
            if len(request.body) <= _LARGE_BYTES:
                authenticated = self._authenticator.authenticate(routed)
                handler = self._handler(routed)
                call = self._parse(authenticated)
            else:
                # Off the loop, where it would stand in the way of others. The dicts that caches are made of
                # take writes from any thread, and a lost write costs no more than doing it again.
                authenticated = await asyncio.to_thread(self._authenticator.authenticate, routed)
                handler = self._handler(routed)
                call = await asyncio.to_thread(self._parse, authenticated)
            result = await handler(self._authorizer.authorize(call))
            response = self._serialize(routed, result)
        except Exception as error:
            response = self._failed(request, service, error)
        response.headers.append(("x-amzn-RequestId", request.request_id))
        return response

    def answer_promptly(self, request: RawRequest, respond: Callable[[Response], None]) -> bool:
        """The same without a task, for the operations that can; the stages and their order are those of
        `answer`. False, and nothing done, when `answer` must be asked; else `respond` is called once, perhaps
        at once."""
        label = invoke.function_label(request.method, request.path)
        if label is None or len(request.body) > _LARGE_BYTES:
            return False
        routed = invoke_call(request, label)
        handler = self._prompt_handlers.get((routed.service, routed.operation))
        if handler is None:
            return False

        def answered(outcome: OperationResult | SquibError) -> None:
            try:
                if isinstance(outcome, SquibError):
                    raise outcome
                response = self._serialize(routed, outcome)
            except Exception as error:
                response = self._failed(request, routed.service, error)
            response.headers.append(("x-amzn-RequestId", request.request_id))
            respond(response)

        try:
            call = self._parse(self._authenticator.authenticate(routed))
            return handler(self._authorizer.authorize(call), answered)
        except Exception as error:
            response = self._failed(request, routed.service, error)
        response.headers.append(("x-amzn-RequestId", request.request_id))
        respond(response)
        return True

    def _failed(self, request: RawRequest, service: str | None, error: Exception) -> Response:
        if isinstance(error, ApiError):
            return self._refuse(request, service, error)
        log.error("request_failed request_id=%s service=%s", request.request_id, service, exc_info=error)
        return self._refuse(request, service, ServiceException())

    def _handler(self, call: RoutedCall) -> Handler:
        handler = self._handlers.get((call.service, call.operation))
        if handler is None:
            self._not_built[f"{call.service}:{call.operation}"] += 1
            raise NotImplementedYet(call.service, call.operation)
        return handler

    def _parse(self, call: AuthenticatedCall) -> OperationCall:
        routed = call.routed
        request = routed.request
        if routed.operation == "Invoke":
            name = routed.path_labels["FunctionName"]
            short = invoke.parse(name, request.query, request.headers, request.body)
            if short is not None:
                return OperationCall(authenticated=call, input=short)
        model = self._models.spoken(routed.service, routed.protocol)
        operation = routed.operation
        match routed.protocol:
            case "rest-json":
                given = rest_json.parse(
                    model,
                    operation,
                    labels=routed.path_labels,
                    query=request.query,
                    headers=request.headers,
                    body=request.body,
                )
            case "cbor":
                given = rpc_cbor.parse(model, operation, request.body)
            case "json":
                given = json_rpc.parse(model, operation, request.body)
            case _:
                parameters = query.parameters(request.headers, request.query, request.body)
                given = {**routed.path_labels, **query.parse(model, operation, parameters)}
        shape = model.input_shape(operation)
        found = [] if shape is None else validate.violations(model, shape, given)
        if found:
            raise ValidationException(validate.message(found))
        return OperationCall(authenticated=call, input=given)

    def _serialize(self, call: RoutedCall, result: OperationResult) -> Response:
        answer = invoke.serialize(result) if call.operation == "Invoke" else None
        if answer is None:
            model = self._models.spoken(call.service, call.protocol)
            match call.protocol:
                case "rest-json":
                    answer = rest_json.serialize(model, call.operation, result.output, result.status)
                case "cbor":
                    answer = rpc_cbor.serialize(model, call.operation, result.output)
                case "json":
                    answer = json_rpc.serialize(model, call.operation, result.output)
                case _:
                    answer = query.serialize(model, call.operation, result.output, call.request.request_id)
        status, headers, body = answer
        if result.headers:
            headers.extend(result.headers.items())
        return Response(status, headers, body)

    def _refuse(self, request: RawRequest, service: str | None, error: ApiError) -> Response:
        protocol = protocol_of(request, service)
        model = None if service is None else self._models.spoken(service, protocol)
        return Response(*error_shapes.render(protocol, model, error, request.request_id))
