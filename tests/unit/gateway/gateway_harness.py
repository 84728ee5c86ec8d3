"""What the gateway tests share: keys, handlers, signed exchanges, and a gateway that answers them."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness.access import root_only
from squib.clock import SystemClock
from squib.gateway.pages.signed import SignedPage, WatchedPage
from squib.gateway.server import Gateway, GatewayOptions
from squib.model.errors import PlatformError, ResourceConflict, ResourceNotFound, TooManyRequests
from squib.model.identity import AccessKey, role_session_principal, root_principal
from squib.model.operation import AuthorizedCall, HandlerTable, OperationResult, RawRequest
from squib.model.units import AccountId, EnvironmentId, EpochMs, Region, RequestId

logging.getLogger("botocore").setLevel(logging.WARNING)

ACCOUNT = AccountId("000000000000")
ROOT = AccessKey(
    access_key_id="AKIAROOT000000000000", secret_access_key="s" * 40, principal=root_principal(ACCOUNT)
)
OTHER = AccessKey(
    access_key_id="AKIAOTHER00000000000",
    secret_access_key="o" * 40,
    principal=root_principal(AccountId("111111111111")),
)
ROLE = AccessKey(
    access_key_id="ASIAROLE000000000000",
    secret_access_key="r" * 40,
    principal=role_session_principal(
        role_arn=f"arn:aws:iam::{ACCOUNT}:role/r", session_name="f", role_id="AROA"
    ),
    session_token="the-token",
    expires_at_ms=EpochMs(2**62),
)
STALE = AccessKey(
    access_key_id="ASIASTALE00000000000",
    secret_access_key="t" * 40,
    principal=ROLE.principal,
    session_token="old",
    expires_at_ms=EpochMs(1),
)
INVOKE = "/2015-03-31/functions/f/invocations"
REQUEST_ID = RequestId("8476a536-e9f4-41e8-9739-000000000001")


class Keys:
    def __init__(self) -> None:
        self.uses: list[tuple[str, str, str]] = []

    def find(self, access_key_id: str, session_token: str | None = None) -> AccessKey | None:
        return {key.access_key_id: key for key in (ROOT, OTHER, ROLE, STALE)}.get(access_key_id)

    def used(self, key: AccessKey, service: str, region: str, at_ms: EpochMs) -> None:
        self.uses.append((key.access_key_id, service, region))


class FixedEntropy:
    def draw(self) -> float:
        return 0.5

    def request_id(self) -> RequestId:
        return REQUEST_ID

    def environment_id(self) -> EnvironmentId:
        return EnvironmentId("0" * 32)

    def noise(self, size_bytes: int) -> bytes:
        return self.token(size_bytes)

    def token(self, size_bytes: int) -> bytes:
        return bytes(size_bytes)


class Exchange:
    """A request of the HTTP layer, its answer kept."""

    def __init__(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes = b""
    ) -> None:
        self.method, self.path, self.query = method, path, query
        self.headers, self.body = headers, body
        self.gone = False
        self.on_gone: Callable[[], None] | None = None
        self.remote_host = "127.0.0.1"
        self.status = 0
        self.answer_headers: dict[str, str] = {}
        self.answer = b""
        self.answered = asyncio.Event()

    def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes | bytearray | memoryview = b""
    ) -> None:
        if not self.gone:
            assert not self.answered.is_set()
            if any("\n" in value for _, value in headers):
                raise ValueError("a header holds a line break")
            self.status, self.answer = status, bytes(body)
            self.answer_headers = {name.lower(): value for name, value in headers}
            self.answered.set()

    @property
    def json(self) -> Any:
        return json.loads(self.answer)


def signed(
    method: str = "POST",
    path: str = INVOKE,
    body: bytes = b"{}",
    headers: Mapping[str, str] | None = None,
    *,
    key: AccessKey = ROOT,
    service: str = "lambda",
    region: str = "us-east-1",
    presigned: bool = False,
    host: str = "squib.test",
) -> Exchange:
    request = AWSRequest(method, f"http://{host}{path}", dict(headers or {}), body)
    credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    signer = SigV4QueryAuth if presigned else SigV4Auth
    signer(credentials, service, region).add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    arrived = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in prepared.headers.items()
    }
    return Exchange(method, parts.path, parts.query, {**arrived, "host": parts.netloc}, body)


async def echo(call: AuthorizedCall) -> OperationResult:
    """An Invoke that answers what it was told."""
    said = {
        "account": call.account_id,
        "region": call.region,
        "caller": call.principal.arn,
        "function": call.input["FunctionName"],
        "payload": call.input["Payload"].decode("latin-1"),
        "request": call.request_id,
        "base": call.base_url,
    }
    return OperationResult(
        output={"StatusCode": 200, "ExecutedVersion": "1", "Payload": json.dumps(said).encode()}
    )


async def whoami(call: AuthorizedCall) -> OperationResult:
    principal = call.principal
    return OperationResult(
        output={"UserId": principal.user_id, "Account": principal.account_id, "Arn": principal.arn}
    )


def raising(error: Exception) -> Callable[[AuthorizedCall], Awaitable[OperationResult]]:
    async def handler(call: AuthorizedCall) -> OperationResult:
        raise error

    return handler


async def groups(call: AuthorizedCall) -> OperationResult:
    return OperationResult(output={"logGroups": [{"logGroupName": call.input["logGroupNamePrefix"]}]})


async def created(call: AuthorizedCall) -> OperationResult:
    size_bytes = len(call.input["Code"]["ZipFile"])
    return OperationResult(output={"FunctionName": call.input["FunctionName"], "CodeSize": size_bytes})


async def page(request: RawRequest) -> tuple[int, list[tuple[str, str]], bytes]:
    if request.query == "fail":
        raise PlatformError("broken")
    return 200, [("Content-Type", "application/zip")], request.path.encode()


HANDLERS: HandlerTable = {
    ("lambda", "Invoke"): echo,
    ("lambda", "CreateFunction"): created,
    ("lambda", "GetFunction"): raising(ResourceNotFound("Function not found: x")),
    ("lambda", "DeleteFunction"): raising(ResourceConflict("busy")),
    ("lambda", "ListFunctions"): raising(PlatformError("secret detail")),
    ("lambda", "GetAccountSettings"): raising(KeyError("bug")),
    ("lambda", "GetFunctionConfiguration"): raising(
        TooManyRequests("ConcurrentInvocationLimitExceeded", retry_after_s=1)
    ),
    ("sts", "GetCallerIdentity"): whoami,
    ("logs", "DescribeLogGroups"): groups,
    ("logs", "DescribeLogStreams"): raising(ResourceNotFound("The specified log group does not exist.")),
    ("iam", "GetRole"): raising(ResourceNotFound("The role with name r cannot be found.")),
}


def gateway(
    *,
    trust_any_credentials: bool = False,
    handlers: HandlerTable = HANDLERS,
    signed_pages: Mapping[str, SignedPage] | None = None,
    metrics: WatchedPage | None = None,
    metrics_token: str | None = None,
) -> Gateway:
    return Gateway(
        handlers=handlers,
        credentials=Keys(),
        authorizer=root_only(),
        clock=SystemClock(),  # the one botocore signs by,
        entropy=FixedEntropy(),
        options=GatewayOptions(
            base_url="http://127.0.0.1:4566",
            default_account_id=ACCOUNT,
            default_region=Region("us-east-1"),
            trust_any_credentials=trust_any_credentials,
            metrics_token=metrics_token,
        ),
        pages={"/_squib/code/": page},
        signed_pages=signed_pages,
        metrics=metrics,
    )


def ask(exchange: Callable[[], Exchange], base_url: str | None = None, **options: Any) -> Exchange:
    """The exchange, answered by a fresh gateway; with `base_url` as one of a function."""

    async def run() -> Exchange:
        served = gateway(**options)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            asked = exchange()
            served.on_exchange(asked, base_url)
            await asked.answered.wait()
            await served.drain(1)
        return asked

    return asyncio.run(run())


FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
STS_IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"


def unsigned(method: str = "POST", path: str = INVOKE, headers: Mapping[str, str] | None = None) -> Exchange:
    return Exchange(method, path, "", {"host": "h", **(headers or {})}, b"")
