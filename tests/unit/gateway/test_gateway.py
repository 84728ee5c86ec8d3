"""The whole gateway in memory: requests signed by botocore go in as exchanges, answers come out."""

import asyncio
import gzip
import json
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from squib.clock import SystemClock
from squib.gateway.models import ServiceModels
from squib.gateway.server import Gateway, GatewayOptions
from squib.model.errors import PlatformError, ResourceConflict, ResourceNotFound, TooManyRequests
from squib.model.identity import AccessKey, role_session_principal, root_principal
from squib.model.limits import MAX_CREATE_REQUEST_BYTES, MAX_SYNC_PAYLOAD_BYTES
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
    def find(self, access_key_id: str) -> AccessKey | None:
        return {key.access_key_id: key for key in (ROOT, OTHER, ROLE, STALE)}.get(access_key_id)


class FixedEntropy:
    def draw(self) -> float:
        return 0.5

    def request_id(self) -> RequestId:
        return REQUEST_ID

    def environment_id(self) -> EnvironmentId:
        return EnvironmentId("0" * 32)

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
) -> Exchange:
    request = AWSRequest(method, f"http://squib.test{path}", dict(headers or {}), body)
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


def gateway(*, trust_any_credentials: bool = False, handlers: HandlerTable = HANDLERS) -> Gateway:
    return Gateway(
        handlers=handlers,
        credentials=Keys(),
        clock=SystemClock(),  # the one botocore signs by,
        entropy=FixedEntropy(),
        options=GatewayOptions(
            base_url="http://127.0.0.1:4566",
            default_account_id=ACCOUNT,
            default_region=Region("us-east-1"),
            trust_any_credentials=trust_any_credentials,
        ),
        pages={"/_squib/code/": page},
    )


def ask(exchange: Callable[[], Exchange], **options: Any) -> Exchange:
    """The exchange, answered by a fresh gateway."""

    async def run() -> Exchange:
        served = gateway(**options)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            asked = exchange()
            served.on_exchange(asked)
            await asked.answered.wait()
            await served.drain(1)
        return asked

    return asyncio.run(run())


def test_an_invoke_reaches_its_handler_and_back() -> None:
    answered = ask(lambda: signed(region="eu-west-1", body=b'{"a":1}'))
    assert answered.status == 200
    assert answered.json == {
        "account": ACCOUNT,
        "region": "eu-west-1",
        "caller": f"arn:aws:iam::{ACCOUNT}:root",
        "function": "f",
        "payload": '{"a":1}',
        "request": REQUEST_ID,
        "base": "http://127.0.0.1:4566",
    }
    assert answered.answer_headers["x-amz-executed-version"] == "1"
    assert answered.answer_headers["x-amzn-requestid"] == REQUEST_ID
    assert answered.answer_headers["content-type"] == "application/json"


def test_a_presigned_request_is_answered() -> None:
    answered = ask(
        lambda: signed(
            "GET",
            "/?Action=GetCallerIdentity&Version=2011-06-15",
            b"",
            service="sts",
            presigned=True,
        )
    )
    assert answered.status == 200
    assert f"<Account>{ACCOUNT}</Account>".encode() in answered.answer


FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
STS_IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"


def test_anybody_authenticated_may_ask_who_they_are() -> None:
    answered = ask(lambda: signed("POST", "/", STS_IDENTITY, FORM, key=ROLE, service="sts"))
    assert answered.status == 200
    assert b"assumed-role/r/f" in answered.answer
    assert f"<RequestId>{REQUEST_ID}</RequestId>".encode() in answered.answer


def test_logs_speak_json() -> None:
    headers = {
        "X-Amz-Target": "Logs_20140328.DescribeLogGroups",
        "Content-Type": "application/x-amz-json-1.1",
    }
    answered = ask(lambda: signed("POST", "/", b'{"logGroupNamePrefix":"/aws"}', headers, service="logs"))
    assert answered.json == {"logGroups": [{"logGroupName": "/aws"}]}
    assert answered.answer_headers["content-type"] == "application/x-amz-json-1.1"


def test_large_requests_are_read_off_the_loop() -> None:
    archive = bytes(3_000_000)
    body = json.dumps(
        {
            "FunctionName": "f",
            "Role": "arn:aws:iam::000000000000:role/r",
            "Code": {"ZipFile": b64encode(archive).decode()},
        }
    ).encode()
    answered = ask(lambda: signed("POST", "/2015-03-31/functions", body))
    assert (answered.status, answered.json) == (201, {"FunctionName": "f", "CodeSize": 3_000_000})


def lambda_refusal(exchange: Exchange) -> tuple[int, str, Any]:
    assert exchange.answer_headers["x-amzn-requestid"] == REQUEST_ID
    return exchange.status, exchange.answer_headers["x-amzn-errortype"], exchange.json


def unsigned(method: str = "POST", path: str = INVOKE, headers: Mapping[str, str] | None = None) -> Exchange:
    return Exchange(method, path, "", {"host": "h", **(headers or {})}, b"")


def test_lambda_without_signature() -> None:
    assert lambda_refusal(ask(unsigned)) == (
        403,
        "MissingAuthenticationTokenException",
        {"message": "Missing Authentication Token"},
    )


def test_an_unknown_key() -> None:
    unknown = AccessKey(access_key_id="AKIANOBODY", secret_access_key="x", principal=ROOT.principal)
    assert lambda_refusal(ask(lambda: signed(key=unknown))) == (
        403,
        "UnrecognizedClientException",
        {"message": "The security token included in the request is invalid."},
    )


@pytest.mark.parametrize("token", ["another", None])
def test_a_temporary_key_with_another_token(token: str | None) -> None:
    stolen = AccessKey(
        access_key_id=ROLE.access_key_id,
        secret_access_key=ROLE.secret_access_key,
        principal=ROLE.principal,
        session_token=token,
    )
    assert lambda_refusal(ask(lambda: signed(key=stolen)))[1] == "UnrecognizedClientException"


def test_an_expired_token() -> None:
    assert lambda_refusal(ask(lambda: signed(key=STALE))) == (
        403,
        "ExpiredTokenException",
        {"message": "The security token included in the request is expired"},
    )


def test_a_wrong_secret() -> None:
    wrong = AccessKey(access_key_id=ROOT.access_key_id, secret_access_key="wrong", principal=ROOT.principal)
    status, code, body = lambda_refusal(ask(lambda: signed(key=wrong)))
    assert (status, code) == (403, "InvalidSignatureException")
    assert body["message"].startswith("The request signature we calculated does not match")


def test_a_scope_of_another_service() -> None:
    status, code, body = lambda_refusal(ask(lambda: signed(service="s3")))
    assert (status, code) == (403, "InvalidSignatureException")
    assert "Credential should be scoped to correct service: 'lambda'." in body["message"]


def test_an_operation_that_is_not_built_names_itself_and_is_counted() -> None:
    async def run() -> tuple[Exchange, Exchange]:
        served = gateway()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            asked = signed("GET", "/2018-10-31/layers", b"")
            served.on_exchange(asked)
            await asked.answered.wait()
            counted = unsigned("GET", "/_squib/not-built")
            served.on_exchange(counted)
            await counted.answered.wait()
            await served.drain(1)
        return asked, counted

    asked, counted = asyncio.run(run())
    assert lambda_refusal(asked) == (
        501,
        "NotImplementedException",
        {"message": "squib does not implement lambda:ListLayers yet."},
    )
    assert counted.json == {"lambda:ListLayers": 1}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        (
            "GET",
            "/2015-03-31/functions/f",
            (404, "ResourceNotFoundException", {"Type": "User", "Message": "Function not found: x"}),
        ),
        (
            "DELETE",
            "/2015-03-31/functions/f",
            (409, "ResourceConflictException", {"Type": "User", "message": "busy"}),
        ),
        (
            "GET",
            "/2015-03-31/functions",
            (
                500,
                "ServiceException",
                {"Type": "Service", "Message": "An error occurred and the request cannot be processed."},
            ),
        ),
        (
            "GET",
            "/2016-08-19/account-settings",
            (
                500,
                "ServiceException",
                {"Type": "Service", "Message": "An error occurred and the request cannot be processed."},
            ),
        ),
        (
            "GET",
            "/2015-03-31/functions/f/configuration",
            (
                429,
                "TooManyRequestsException",
                {"Reason": "ConcurrentInvocationLimitExceeded", "Type": "User", "message": "Rate Exceeded."},
            ),
        ),
        (
            "GET",
            "/2015-03-31/functions/a%20b",
            (
                400,
                "ValidationException",
                {
                    "message": "1 validation error detected: Value 'a b' at 'functionName' failed to satisfy "
                    "constraint: Member must satisfy regular expression pattern: "
                    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
                    r"(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
                },
            ),
        ),
        (
            "GET",
            "/2015-03-31/nothing",
            (
                404,
                "UnknownOperationException",
                {"message": "The requested operation is not recognized by the service."},
            ),
        ),
    ],
)
def test_errors_of_lambda(method: str, path: str, expected: tuple[int, str, Any]) -> None:
    assert lambda_refusal(ask(lambda: signed(method, path, b""))) == expected


def test_retry_after_is_a_header() -> None:
    answered = ask(lambda: signed("GET", "/2015-03-31/functions/f/configuration", b""))
    assert answered.answer_headers["retry-after"] == "1"


def test_our_own_failures_are_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    answered = ask(lambda: signed("GET", "/2015-03-31/functions", b""))
    assert b"secret detail" not in answered.answer
    assert "secret detail" in caplog.text
    assert REQUEST_ID in caplog.text


LOG_STREAMS = {"X-Amz-Target": "Logs_20140328.DescribeLogStreams"}


@pytest.mark.parametrize(
    ("exchange", "status", "body"),
    [
        (
            lambda: signed("POST", "/", b'{"logGroupName":"g"}', LOG_STREAMS, service="logs"),
            400,
            {"__type": "ResourceNotFoundException", "message": "The specified log group does not exist."},
        ),
        (
            lambda: unsigned("POST", "/", {"x-amz-target": "Logs_20140328.DescribeLogStreams"}),
            400,
            {"__type": "MissingAuthenticationTokenException", "message": "Missing Authentication Token"},
        ),
        (
            lambda: signed("POST", "/", b'{"logGroupName":""}', LOG_STREAMS, service="logs"),
            400,
            {
                "__type": "InvalidParameterException",
                "message": "2 validation errors detected: Value '' at 'logGroupName' failed to satisfy "
                r"constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+; Value '' "
                "at 'logGroupName' failed to satisfy constraint: Member must have length greater than or "
                "equal to 1",
            },
        ),
        (
            lambda: signed("POST", "/", b"{}", {"X-Amz-Target": "Logs_20140328.Nothing"}, service="logs"),
            400,
            {
                "__type": "UnknownOperationException",
                "message": "The requested operation is not recognized by the service.",
            },
        ),
        (
            lambda: signed(
                "POST", "/", b"{}", {"X-Amz-Target": "DynamoDB_20120810.ListTables"}, service="dynamodb"
            ),
            400,
            {
                "__type": "UnknownOperationException",
                "message": "squib does not serve 'dynamodb'. It serves lambda, logs, sts, iam.",
            },
        ),
    ],
)
def test_errors_of_json_services(exchange: Callable[[], Exchange], status: int, body: Any) -> None:
    answered = ask(exchange)
    assert (answered.status, answered.json) == (status, body)
    assert answered.answer_headers["content-type"] == "application/x-amz-json-1.1"


@pytest.mark.parametrize(
    ("exchange", "status", "code", "message"),
    [
        (
            lambda: Exchange(
                "POST", "/", "", {"host": "h", "content-type": FORM["Content-Type"]}, STS_IDENTITY
            ),
            403,
            "MissingAuthenticationToken",
            "Request is missing Authentication Token",
        ),
        (
            lambda: signed("POST", "/", STS_IDENTITY, FORM, key=STALE, service="sts"),
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
        ),
        (
            lambda: signed("POST", "/", b"Action=GetNothing&Version=2011-06-15", FORM, service="sts"),
            400,
            "InvalidAction",
            "Could not find operation GetNothing for version 2011-06-15",
        ),
        (
            lambda: signed("POST", "/", b"Version=2011-06-15", FORM, service="sts"),
            400,
            "InvalidAction",
            "The request must contain the parameter Action.",
        ),
        (
            lambda: signed("POST", "/", b"Action=AssumeRole&Version=2011-06-15", FORM, service="sts"),
            501,
            "NotImplemented",
            "squib does not implement sts:AssumeRole yet.",
        ),
        (
            lambda: signed("POST", "/", b"Action=GetRole&Version=2010-05-08", FORM, service="iam"),
            400,
            "ValidationError",
            "1 validation error detected: Value null at 'roleName' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            lambda: signed(
                "POST", "/", b"Action=GetRole&Version=2010-05-08&RoleName=r", FORM, key=ROLE, service="iam"
            ),
            403,
            "AccessDenied",
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/r/f is not authorized to perform: iam:GetRole on "
            "resource: * because no identity-based policy allows the iam:GetRole action",
        ),
        (
            lambda: signed("POST", "/", b"x=" + bytes(1024 * 1024), FORM, service="sts"),
            413,
            "RequestEntityTooLargeException",
            "Request must be smaller than 1048576 bytes",
        ),
    ],
)
def test_errors_of_query_services(
    exchange: Callable[[], Exchange], status: int, code: str, message: str
) -> None:
    answered = ask(exchange)
    text = answered.answer.decode()
    assert answered.status == status
    assert f"<Type>{'Sender' if status < 500 else 'Receiver'}</Type><Code>{code}</Code>" in text
    assert f"<Message>{message}</Message></Error><RequestId>{REQUEST_ID}</RequestId>" in text


@pytest.mark.parametrize(
    ("key", "path", "method", "message"),
    [
        (
            ROLE,
            INVOKE + "?Qualifier=prod",
            "POST",
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/r/f is not authorized to perform: "
            f"lambda:InvokeFunction on resource: arn:aws:lambda:us-east-1:{ACCOUNT}:function:f:prod "
            "because no identity-based policy allows the lambda:InvokeFunction action",
        ),
        (
            ROLE,
            "/2015-03-31/functions",
            "GET",
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/r/f is not authorized to perform: "
            "lambda:ListFunctions on resource: * "
            "because no identity-based policy allows the lambda:ListFunctions action",
        ),
        (
            OTHER,
            f"/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A{ACCOUNT}%3Afunction%3Amyfunction%3A7",
            "GET",
            "User: arn:aws:iam::111111111111:root is not authorized to perform: lambda:GetFunction on "
            f"resource: arn:aws:lambda:us-east-1:{ACCOUNT}:function:myfunction:7 "
            "because no resource-based policy allows the lambda:GetFunction action",
        ),
    ],
)
def test_who_is_not_root_of_the_account_is_denied(
    key: AccessKey, path: str, method: str, message: str
) -> None:
    answered = ask(lambda: signed(method, path, b"", key=key))
    assert lambda_refusal(answered) == (403, "AccessDeniedException", {"Message": message})


def test_creating_in_another_account_is_denied_without_a_word() -> None:
    body = json.dumps(
        {
            "FunctionName": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f",
            "Role": f"arn:aws:iam::{ACCOUNT}:role/r",
            "Code": {},
        }
    ).encode()
    answered = ask(lambda: signed("POST", "/2015-03-31/functions", body, key=OTHER))
    assert lambda_refusal(answered) == (403, "AccessDeniedException", {"Message": None})


def test_the_account_of_a_full_arn_is_the_one_acted_on() -> None:
    path = f"/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A{ACCOUNT}%3Afunction%3Af/invocations"
    assert ask(lambda: signed(path=path)).json["account"] == ACCOUNT


def test_an_invoke_may_not_pass_six_mebibytes() -> None:
    answered = ask(lambda: signed(body=bytes(MAX_SYNC_PAYLOAD_BYTES + 1)))
    assert lambda_refusal(answered) == (
        413,
        "RequestTooLargeException",
        {
            "Type": "User",
            "message": "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
        },
    )


TOO_LARGE = "Request must be smaller than 70167211 bytes for the CreateFunction operation"


def test_no_request_may_pass_its_limit() -> None:
    def exchange() -> Exchange:
        asked = unsigned("POST", "/2015-03-31/functions")
        asked.body = bytes(MAX_CREATE_REQUEST_BYTES + 1)
        return asked

    assert lambda_refusal(ask(exchange)) == (413, "RequestEntityTooLargeException", {"message": TOO_LARGE})


def test_a_body_that_was_not_even_read_is_refused_likewise() -> None:
    async def run() -> tuple[Exchange, Exchange]:
        known, unknown = unsigned("POST", "/2015-03-31/functions"), unsigned("PUT", "/x")
        gateway().on_too_large(known)
        gateway().on_too_large(unknown)
        return known, unknown

    known, unknown = asyncio.run(run())
    assert lambda_refusal(known) == (413, "RequestEntityTooLargeException", {"message": TOO_LARGE})
    assert unknown.status == 413


@pytest.mark.parametrize(
    ("key_id", "account"),
    [("111111111111", "111111111111"), ("test", ACCOUNT), ("AKIAOTHER00000000000", "111111111111")],
)
def test_trusting_any_credentials_takes_the_account_from_the_key(key_id: str, account: str) -> None:
    dummy = AccessKey(access_key_id=key_id, secret_access_key="test", principal=ROOT.principal)
    answered = ask(lambda: signed(key=dummy, region="ap-south-1"), trust_any_credentials=True)
    assert answered.json["caller"] == f"arn:aws:iam::{account}:root"
    assert answered.json["region"] == "ap-south-1"


@pytest.mark.parametrize(
    "authorization", [None, "Basic Zm9vOmJhcg==", "AWS4-HMAC-SHA256 Credential=a/b/../c/d"]
)
def test_trusting_any_credentials_takes_unsigned_calls(authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answered = ask(lambda: unsigned(headers=headers), trust_any_credentials=True)
    assert answered.json["caller"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert answered.json["region"] == "us-east-1"


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/_squib/health", 200, b'{"status":"ok"}'),
        ("GET", "/_squib/ready", 200, b'{"ready":true}'),
        ("GET", "/_squib/code/abc", 200, b"/_squib/code/abc"),
        ("GET", "/_squib/nothing", 404, b'{"message":"no such page"}'),
        ("GET", "/_squib/healthy", 404, b'{"message":"no such page"}'),
        ("POST", "/_squib/health", 405, b'{"message":"squib\'s own pages are only read"}'),
    ],
)
def test_pages_of_squib_itself_need_no_signature(method: str, path: str, status: int, body: bytes) -> None:
    answered = ask(lambda: unsigned(method, path))
    assert (answered.status, answered.answer) == (status, body)
    assert answered.answer_headers["x-amzn-requestid"] == REQUEST_ID


def test_a_page_that_fails_harms_no_other_request() -> None:
    async def run() -> tuple[int, int]:
        served = gateway()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            failing, fine = unsigned("GET", "/_squib/code/x"), signed()
            failing.query = "fail"
            for exchange in (failing, fine):
                served.on_exchange(exchange)
                await exchange.answered.wait()
            await served.drain(1)
        return failing.status, fine.status

    assert asyncio.run(run()) == (500, 200)


class Slow:
    """A handler that is told when to end."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, call: AuthorizedCall) -> OperationResult:
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("finished")
        return OperationResult(output={"StatusCode": 200, "Payload": b"1"})


def test_a_client_that_goes_away_does_not_end_its_invocation() -> None:
    async def run() -> tuple[list[str], Exchange]:
        slow = Slow()
        served = gateway(handlers={("lambda", "Invoke"): slow})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            asked = signed()
            served.on_exchange(asked)
            await slow.started.wait()
            asked.gone = True
            slow.release.set()
            await served.drain(1)
        return slow.ended, asked

    ended, asked = asyncio.run(run())
    assert (ended, asked.status) == (["finished"], 0)


def test_draining_waits_for_open_requests_and_takes_no_more() -> None:
    async def run() -> tuple[Exchange, Exchange, bool]:
        slow = Slow()
        served = gateway(handlers={("lambda", "Invoke"): slow})
        early = signed()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            served.on_exchange(early)
            await slow.started.wait()
            draining = tasks.create_task(served.drain(5))
            await asyncio.sleep(0)
            late = signed()
            served.on_exchange(late)
            was_ready = served.is_ready
            slow.release.set()
            await draining
        return early, late, was_ready

    early, late, was_ready = asyncio.run(run())
    assert early.status == 200
    assert (late.status, late.answer_headers["x-amzn-errortype"]) == (503, "ServiceUnavailableException")
    assert not was_ready


def test_what_is_open_after_the_drain_is_cancelled() -> None:
    async def run() -> list[str]:
        slow = Slow()
        served = gateway(handlers={("lambda", "Invoke"): slow})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            served.on_exchange(signed())
            await slow.started.wait()
            await served.drain(0)
        return slow.ended

    assert asyncio.run(run()) == ["cancelled"]


def test_base_url_may_be_given_by_the_listener() -> None:
    async def run() -> Exchange:
        served = gateway()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            asked = signed()
            served.on_exchange(asked, "http://127.0.0.1:9100")
            await asked.answered.wait()
            await served.drain(1)
        return asked

    assert asyncio.run(run()).json["base"] == "http://127.0.0.1:9100"


def test_models_are_read_from_any_folder(tmp_path: Path) -> None:
    folder = tmp_path / "lambda" / "2015-03-31"
    folder.mkdir(parents=True)
    raw = b'{"metadata":{"protocol":"rest-json","apiVersion":"1"},"operations":{},"shapes":{}}'
    (folder / "service-2.json.gz").write_bytes(gzip.compress(raw))
    assert ServiceModels(tmp_path).get("lambda").metadata.api_version == "1"
