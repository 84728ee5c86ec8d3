"""Function URLs: which one a request means, who may, and what a caller hears of what goes wrong behind it."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from squib.access.denials import Denials
from squib.access.permissions import Judgement
from squib.gateway.function_url import FunctionUrls
from squib.gateway.wire.url_reply import Reply
from squib.iam.caller import caller_of
from squib.iam.context import Context, Value
from squib.iam.evaluate import Decision, Missing, Outcome, Request, RootAccess
from squib.model.errors import (
    ApiError,
    MissingAuthenticationToken,
    PlatformError,
    ResourceConflict,
    ResourceNotFound,
    SquibError,
    TooManyRequests,
)
from squib.model.function import FunctionKey
from squib.model.function_url import AWS_IAM, NONE, PATH_PREFIX, FunctionUrl
from squib.model.identity import ANONYMOUS, Principal, root_principal
from squib.model.item import ItemKey
from squib.model.limits import MAX_SYNC_PAYLOAD_BYTES
from squib.model.operation import AuthenticatedCall, AuthorizedCall, OperationResult, RawRequest, RoutedCall
from squib.model.policy import PolicyType
from squib.model.units import AccountId, EpochMs, Region, RequestId

ACCOUNT, REGION = AccountId("111111111111"), Region("us-east-1")
AT_MS = EpochMs(0)


def url(url_id: str, auth_type: str = NONE, qualifier: str | None = None) -> FunctionUrl:
    return FunctionUrl(
        function=FunctionKey(ACCOUNT, REGION, "f"),
        qualifier=qualifier,
        url_id=url_id,
        auth_type=auth_type,
        created_at_ms=AT_MS,
        modified_at_ms=AT_MS,
    )


class Urls:
    """URLs in memory."""

    def __init__(self, *urls: FunctionUrl) -> None:
        self.urls = urls
        self.generation = 0

    def all(self) -> Sequence[FunctionUrl]:
        return self.urls

    def peek(self, key: ItemKey) -> FunctionUrl | None:
        raise NotImplementedError

    def page(self, *_: Any, **__: Any) -> Sequence[FunctionUrl]:
        raise NotImplementedError

    async def changed(self, seen: int) -> int:
        raise NotImplementedError

    def follow(self) -> Any:
        raise NotImplementedError


class World:
    """URLs on a function that answers `result`, or raises it."""

    def __init__(self, *urls: FunctionUrl, result: bytes | SquibError = b'"ok"') -> None:
        self.stored = Urls(*urls)
        self.result = result
        self.allowed = {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
        self.asked: list[tuple[str, str, str]] = []
        self.keys: list[Mapping[str, Value]] = []
        self.calls: list[AuthorizedCall] = []
        self.signer: Principal | None = None
        self.denials = Denials()
        self.function_urls = FunctionUrls(self.stored, self, self.invoke, self.denials)

    def judge(
        self,
        principal: Principal,
        action: str,
        resource: str,
        account_id: AccountId,
        call_keys: Callable[[], Mapping[str, Value]],
    ) -> Judgement:
        self.asked.append((principal.arn, action, resource))
        self.keys.append(call_keys())
        if action in self.allowed:
            decision = Decision(Outcome.ALLOW, RootAccess())
        else:
            decision = Decision(Outcome.IMPLICIT_DENY, Missing(PolicyType.RESOURCE))
        request = Request(
            caller=caller_of(principal),
            action=action,
            resource=resource,
            account_id=account_id,
            context=Context({}, now_ms=AT_MS),
        )
        return Judgement(request, decision)

    async def invoke(self, call: AuthorizedCall) -> OperationResult:
        self.calls.append(call)
        if isinstance(self.result, SquibError):
            raise self.result
        return OperationResult(output={"StatusCode": 200, "Payload": self.result})

    def authenticate(self, routed: RoutedCall) -> AuthenticatedCall:
        if self.signer is None:
            raise MissingAuthenticationToken()
        return AuthenticatedCall(routed=routed, principal=self.signer, access_key_id="AKID", region=REGION)

    def get(self, path: str, body: bytes = b"", **headers: str) -> Reply:
        request = RawRequest(
            method="GET",
            path=path,
            query="",
            headers=headers,
            body=body,
            request_id=RequestId("id"),
            received_at_ms=AT_MS,
            base_url="http://127.0.0.1:4566",
            source_ip="192.0.2.1",
        )
        assert self.function_urls.claims(request)
        return asyncio.run(self.function_urls.answer(request, self.authenticate))


def message(answer: Reply) -> str:
    text: str = json.loads(answer.body)["Message"]
    return text


def test_url_is_found_by_path_and_by_host() -> None:
    world = World(url("one"), url("two", qualifier="live"))
    assert world.get(f"{PATH_PREFIX}one/a/b").status == 200
    assert world.get(f"{PATH_PREFIX}one").status == 200
    assert world.get("/c", host="TWO.lambda-url.us-east-1.squib.test:80").status == 200
    payloads = [json.loads(call.input["Payload"])["rawPath"] for call in world.calls]
    assert payloads == ["/a/b", "/", "/c"]
    assert [call.input["Qualifier"] for call in world.calls] == [None, None, "live"]


def test_what_is_made_or_deleted_counts_at_once() -> None:
    world = World(url("one"))
    world.get(f"{PATH_PREFIX}one/")
    world.stored.urls, world.stored.generation = (url("two"),), 1
    assert world.get(f"{PATH_PREFIX}one/").status == 403
    assert world.get(f"{PATH_PREFIX}two/").status == 200


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/2015-03-31/functions", "lambda.us-east-1.test"),
        ("http://one.lambda-url.us-east-1.test/", "two.lambda-url.us-east-1.test"),
    ],
)
def test_any_other_request_is_left_to_the_api(path: str, host: str) -> None:
    request = RawRequest(
        method="GET",
        path=path,
        query="",
        headers={"host": host},
        body=b"",
        request_id=RequestId("id"),
        received_at_ms=AT_MS,
        base_url="http://127.0.0.1:4566",
    )
    assert not FunctionUrls.claims(request)


def test_policies_are_asked_about_the_alias_and_the_way_it_is_called() -> None:
    world = World(url("one", qualifier="live"))
    world.get(f"{PATH_PREFIX}one/")
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f:live"
    actions = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
    assert world.asked == [(ANONYMOUS.arn, action, arn) for action in actions]
    assert world.keys[0]["lambda:FunctionUrlAuthType"] == "NONE"
    assert world.keys[0]["lambda:InvokedViaFunctionUrl"] is True
    assert world.keys[0]["aws:SourceIp"] == "192.0.2.1"


@pytest.mark.parametrize("missing", ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"])
def test_each_of_the_two_actions_is_needed(missing: str) -> None:
    world = World(url("one"))
    world.allowed.discard(missing)
    answer = world.get(f"{PATH_PREFIX}one/")
    assert answer.status == 403 and message(answer).startswith("Forbidden.")
    denial = world.denials.find(RequestId("id"))
    assert denial is not None and denial.policy_type == "resource"
    assert ("x-amzn-ErrorType", "AccessDeniedException") in answer.headers
    assert world.calls == []


def test_signed_url_takes_no_unsigned_request() -> None:
    world = World(url("one", AWS_IAM))
    assert message(world.get(f"{PATH_PREFIX}one/")).startswith("Forbidden.")
    world.signer = root_principal(ACCOUNT)
    assert world.get(f"{PATH_PREFIX}one/").status == 200
    assert world.asked[0][0] == world.signer.arn


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (TooManyRequests("ConcurrentInvocationLimitExceeded"), 429),
        (ResourceNotFound("Function not found: secret"), 502),
        (ResourceConflict("secret"), 502),
        (PlatformError("secret"), 502),
        (ApiError("secret", code="KMSDisabledException", status=502), 502),
        (b"not JSON", 502),
    ],
)
def test_caller_hears_nothing_of_the_function_behind(result: bytes | SquibError, status: int) -> None:
    answer = World(url("one"), result=result).get(f"{PATH_PREFIX}one/")
    assert answer.status == status
    assert b"secret" not in answer.body


def test_request_over_the_limit_of_payloads_is_refused() -> None:
    world = World(url("one"))
    assert world.get(f"{PATH_PREFIX}one/", body=bytes(MAX_SYNC_PAYLOAD_BYTES + 1)).status == 413
    assert world.calls == []
