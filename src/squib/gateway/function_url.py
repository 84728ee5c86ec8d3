"""Function URLs served: which URL a request means, who may, the function invoked, its answer sent.

A URL is reached by its host name, `ID.lambda-url.REGION.` and any domain, or by path, `/_squib/url/ID/`.
Which of the two the API shows is a setting; both always work.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from squib.access.denials import Denials
from squib.access.permissions import Judgement
from squib.gateway.wire import cors, url_event, url_reply
from squib.iam.context import Value, lambda_keys
from squib.model.errors import (
    AccessDenied,
    ApiError,
    MissingAuthenticationToken,
    RequestTooLarge,
    ServiceUnavailable,
    TooManyRequests,
)
from squib.model.function_url import AWS_IAM, PATH_PREFIX, FunctionUrl
from squib.model.identity import ANONYMOUS, Principal
from squib.model.item import ItemKey
from squib.model.limits import MAX_SYNC_PAYLOAD_BYTES
from squib.model.operation import AuthenticatedCall, AuthorizedCall, Handler, RawRequest, RoutedCall
from squib.model.units import AccountId
from squib.store.base import Collection

log: Final = logging.getLogger("squib.gateway")

_LABEL: Final = ".lambda-url."
_ACTIONS: Final = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
"""Both are needed (developer guide, "Control access to Lambda function URLs")."""
_FORBIDDEN: Final = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)  # recorded

Authenticate = Callable[[RoutedCall], AuthenticatedCall]
"""Who signed a call. Raises ApiError."""


class Judge(Protocol):
    """Decides by all policies of caller and function."""

    def judge(
        self,
        principal: Principal,
        action: str,
        resource: str,
        account_id: AccountId,
        call_keys: Callable[[], Mapping[str, Value]],
    ) -> Judgement: ...


class FunctionUrls:
    """Answers requests to URLs. Lives on one event loop."""

    def __init__(
        self,
        urls: Collection[ItemKey, FunctionUrl],
        judge: Judge,
        invoke: Handler,
        denials: Denials,
        *,
        domain: str | None = None,
    ) -> None:
        """`invoke` is the handler of Invoke. `domain` is what ends the host names that functions are told."""
        self._urls = urls
        self._judge = judge
        self._invoke = invoke
        self._denials = denials
        self._domain = domain or "localhost"
        self._by_id: dict[str, FunctionUrl] = {}
        self._generation = -1

    @staticmethod
    def claims(request: RawRequest) -> bool:
        """Whether a request is to some URL, be it known or not."""
        path = request.path  # one with a host of its own, which may be another, is nobody's
        return path.startswith(PATH_PREFIX) or (
            path.startswith("/") and _LABEL in request.headers.get("host", "")
        )

    async def answer(self, request: RawRequest, authenticate: Authenticate) -> url_reply.Reply:
        """The answer to a request that is claimed. Never raises but when cancelled."""
        url_id, path = _place(request)
        url = self._find(url_id)
        if url is None:
            return _error(AccessDenied(_FORBIDDEN))
        added: list[tuple[str, str]] = []
        if url.cors is not None:
            is_preflight = cors.is_preflight(request.method, request.headers)
            added = cors.cors_headers(url.cors, request.headers, is_preflight=is_preflight)
            if is_preflight:
                return url_reply.Reply(200, added, b"")
        try:
            answer = await self._invoked(request, url, path, authenticate)
        except ApiError as error:
            answer = _error(_seen(error))
        except url_reply.BadReply as error:
            log.info("url_reply_invalid function_arn=%s reason=%s", url.function.arn(url.qualifier), error)
            answer = _BAD_GATEWAY
        except Exception:
            log.exception("url_request_failed request_id=%s", request.request_id)
            answer = _BAD_GATEWAY
        headers = cors.with_cors(answer.headers, added) if url.cors is not None else answer.headers
        return url_reply.Reply(answer.status, headers, answer.body)

    async def _invoked(
        self, request: RawRequest, url: FunctionUrl, path: str, authenticate: Authenticate
    ) -> url_reply.Reply:
        principal, access_key_id = self._permitted(request, url, authenticate)
        if len(request.body) > MAX_SYNC_PAYLOAD_BYTES:
            raise RequestTooLarge(f"Request must be smaller than {MAX_SYNC_PAYLOAD_BYTES} bytes")
        payload = url_event.event(
            request,
            url,
            path=path,
            domain=f"{url.url_id}{_LABEL}{url.function.region}.{self._domain}",
            source_ip=request.source_ip,
            principal=principal,
            access_key_id=access_key_id,
        )
        given = {"FunctionName": url.function.name, "Qualifier": url.qualifier, "Payload": payload}
        result = await self._invoke(
            AuthorizedCall(
                service="lambda",
                operation="Invoke",
                input=given,
                principal=principal,
                access_key_id=access_key_id,
                account_id=url.function.account_id,
                region=url.function.region,
                request_id=request.request_id,
                received_at_ms=request.received_at_ms,
                base_url=request.base_url,
                headers=request.headers,
            )
        )
        if result.output.get("FunctionError") is not None:
            return _BAD_GATEWAY
        return url_reply.reply(result.output["Payload"])

    def _permitted(
        self, request: RawRequest, url: FunctionUrl, authenticate: Authenticate
    ) -> tuple[Principal, str]:
        """Who calls, nobody for a URL without authentication. Raises AccessDenied and what authentication
        raises."""
        principal, access_key_id = ANONYMOUS, ""
        if url.auth_type == AWS_IAM:
            routed = RoutedCall(
                request=request,
                service="lambda",
                operation="InvokeFunctionUrl",
                protocol="rest-json",
                path_labels={},
            )
            call = authenticate(routed)
            if call.region != url.function.region:
                raise AccessDenied(_FORBIDDEN)
            principal, access_key_id = call.principal, call.access_key_id
        arn = url.function.arn(url.qualifier)

        def keys() -> Mapping[str, Value]:
            return {
                **lambda_keys(
                    function_arn=arn,
                    function_url_auth_type=url.auth_type,
                    is_invoked_via_function_url=True,
                ),
                "aws:SourceIp": request.source_ip or None,
            }

        for action in _ACTIONS:
            judgement = self._judge.judge(principal, action, arn, url.function.account_id, keys)
            if not judgement.is_allowed:
                self._denials.note(request.request_id, judgement, at_ms=request.received_at_ms)
                raise AccessDenied(_FORBIDDEN)
        return principal, access_key_id

    def _find(self, url_id: str) -> FunctionUrl | None:
        if self._generation != self._urls.generation:
            self._generation = self._urls.generation
            self._by_id = {url.url_id: url for url in self._urls.all()}
        return self._by_id.get(url_id)


def _place(request: RawRequest) -> tuple[str, str]:
    """The id of the URL that a request means, and the path below it."""
    if request.path.startswith(PATH_PREFIX):
        url_id, slash, rest = request.path.removeprefix(PATH_PREFIX).partition("/")
        return url_id, f"/{rest}" if slash else "/"
    return request.headers["host"].partition(_LABEL)[0].lower(), request.path


def _seen(error: ApiError) -> ApiError:
    """What the caller of a URL is told of a refusal: nothing of the function behind it."""
    if isinstance(error, MissingAuthenticationToken):
        return AccessDenied(_FORBIDDEN)
    if isinstance(error, TooManyRequests | RequestTooLarge | ServiceUnavailable) or error.status == 403:
        return error
    return ApiError("Internal Server Error", code="InternalServerErrorException", status=502)


def _error(error: ApiError) -> url_reply.Reply:
    headers = [("content-type", "application/json"), ("x-amzn-ErrorType", error.code)]
    return url_reply.Reply(error.status, headers, msgspec.json.encode({"Message": error.message or None}))


_BAD_GATEWAY: Final = url_reply.Reply(502, [("content-type", "application/json")], b"Internal Server Error")
