"""boto3 over real HTTP against the gateway, with handlers that answer at once."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.access import root_only
from squib.clock import SystemClock, SystemEntropy
from squib.gateway.server import Gateway, GatewayOptions
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer
from squib.model.errors import ResourceNotFound
from squib.model.identity import AccessKey, root_principal
from squib.model.limits import MAX_CREATE_REQUEST_BYTES, MAX_SYNC_PAYLOAD_BYTES
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.units import AccountId, EpochMs, Region

KEY = AccessKey(
    access_key_id="AKIAROOT000000000000",
    secret_access_key="s" * 40,
    principal=root_principal(AccountId("000000000000")),
)


class Keys:
    def find(self, access_key_id: str, session_token: str | None = None) -> AccessKey | None:
        return KEY if access_key_id == KEY.access_key_id else None

    def used(self, key: AccessKey, service: str, region: str, at_ms: EpochMs) -> None:
        pass


async def invoke(call: AuthorizedCall) -> OperationResult:
    output = {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": call.input["Payload"]}
    if call.input.get("LogType") == "Tail":
        output |= {"LogResult": "bG9n", "FunctionError": "Unhandled"}
    return OperationResult(output=output)


async def missing(call: AuthorizedCall) -> OperationResult:
    raise ResourceNotFound(f"Function not found: {call.input['FunctionName']}")


async def create(call: AuthorizedCall) -> OperationResult:
    given = dict(call.input)
    size_bytes = len(given.pop("Code")["ZipFile"])
    assert given.pop("Tags") == {"k": "v"}
    return OperationResult(output={**given, "CodeSize": size_bytes, "State": "Pending"})


async def identity(call: AuthorizedCall) -> OperationResult:
    principal = call.principal
    return OperationResult(
        output={"UserId": principal.user_id, "Account": principal.account_id, "Arn": principal.arn}
    )


async def streams(call: AuthorizedCall) -> OperationResult:
    return OperationResult(
        output={"logStreams": [{"logStreamName": call.input["logGroupName"], "creationTime": 1}]}
    )


HANDLERS = {
    ("lambda", "Invoke"): invoke,
    ("lambda", "GetFunction"): missing,
    ("lambda", "CreateFunction"): create,
    ("sts", "GetCallerIdentity"): identity,
    ("logs", "DescribeLogStreams"): streams,
}


async def _serve(ready: threading.Event, place: dict[str, Any]) -> None:
    stop = asyncio.Event()
    gateway = Gateway(
        handlers=HANDLERS,
        credentials=Keys(),
        authorizer=root_only(),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        options=GatewayOptions(
            base_url="http://127.0.0.1:0",
            default_account_id=AccountId("000000000000"),
            default_region=Region("us-east-1"),
        ),
    )
    server = HttpServer(
        gateway.on_exchange,
        HttpLimits(max_body_bytes=MAX_CREATE_REQUEST_BYTES),
        on_too_large=gateway.on_too_large,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(gateway.run())
        _, port = await server.listen("127.0.0.1", 0)
        place.update(url=f"http://127.0.0.1:{port}", stop=stop, loop=asyncio.get_running_loop())
        ready.set()
        await stop.wait()
        await gateway.drain(5)
        await server.drain(5)


@contextmanager
def _served() -> Iterator[str]:
    ready, place = threading.Event(), dict[str, Any]()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(ready, place)))
    thread.start()
    try:
        assert ready.wait(10)
        yield place["url"]
    finally:
        if place:
            place["loop"].call_soon_threadsafe(place["stop"].set)
        thread.join(10)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with _served() as url:
        yield url


def client(url: str, service: Any, **more: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id=KEY.access_key_id,
        aws_secret_access_key=more.pop("secret", KEY.secret_access_key),
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_invoke(url: str) -> None:
    answer = client(url, "lambda").invoke(
        FunctionName="arn:aws:lambda:eu-west-1:000000000000:function:f", LogType="Tail", Payload=b'{"a": 1}'
    )
    assert answer["Payload"].read() == b'{"a": 1}'
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert (answer["LogResult"], answer["FunctionError"]) == ("bG9n", "Unhandled")


def test_invoke_with_the_largest_payload(url: str) -> None:
    payload = b'"' + b"x" * (MAX_SYNC_PAYLOAD_BYTES - 2) + b'"'
    answer = client(url, "lambda").invoke(FunctionName="f", Payload=payload)
    assert answer["Payload"].read() == payload


def test_an_oversize_payload_is_refused_by_name(url: str) -> None:
    functions = client(url, "lambda")
    with pytest.raises(functions.exceptions.RequestTooLargeException):
        functions.invoke(FunctionName="f", Payload=b" " * (MAX_SYNC_PAYLOAD_BYTES + 1))


def test_create(url: str) -> None:
    answer = client(url, "lambda").create_function(
        FunctionName="f",
        Role="arn:aws:iam::000000000000:role/r",
        Runtime="python3.12",
        Handler="a.b",
        Description="größe ☃",
        Code={"ZipFile": bytes(2_000_000)},
        Environment={"Variables": {"AB": "c"}},
        Tags={"k": "v"},
    )
    assert (answer["CodeSize"], answer["Description"], answer["State"]) == (2_000_000, "größe ☃", "Pending")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert answer["Environment"] == {"Variables": {"AB": "c"}}


def test_errors_are_the_sdks_own_classes(url: str) -> None:
    functions = client(url, "lambda")
    with pytest.raises(functions.exceptions.ResourceNotFoundException) as refused:
        functions.get_function(FunctionName="a:b")
    assert refused.value.response["Error"]["Message"] == "Function not found: a:b"
    assert refused.value.response["Type"] == "User"
    assert refused.value.response["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize(
    ("service", "operation", "given", "code"),
    [
        ("lambda", "list_functions", {}, "InvalidSignatureException"),
        ("sts", "get_caller_identity", {}, "SignatureDoesNotMatch"),
        ("logs", "describe_log_groups", {}, "InvalidSignatureException"),
        ("iam", "list_roles", {}, "SignatureDoesNotMatch"),
    ],
)
def test_a_wrong_secret_in_each_protocol(
    url: str, service: str, operation: str, given: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client(url, service, secret="wrong"), operation)(**given)
    assert refused.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("lambda", "list_capacity_providers", "NotImplementedException"),
        ("iam", "list_server_certificates", "NotImplemented"),
        ("logs", "describe_queries", "NotImplementedException"),
        ("kinesis", "list_streams", "UnknownOperationException"),
        ("sns", "list_topics", "InvalidAction"),
        ("dynamodb", "list_tables", "UnknownOperationException"),
    ],
)
def test_what_is_not_built_says_so(url: str, service: str, operation: str, code: str) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client(url, service), operation)()
    assert refused.value.response["Error"]["Code"] == code
    assert "squib does not" in refused.value.response["Error"]["Message"]


def test_identity_and_logs(url: str) -> None:
    assert client(url, "sts").get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:root"
    found = client(url, "logs").describe_log_streams(logGroupName="/aws/lambda/f")
    assert found["logStreams"] == [{"logStreamName": "/aws/lambda/f", "creationTime": 1}]


def test_a_presigned_url_works_until_it_is_changed(url: str) -> None:
    signed = client(url, "sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    assert urllib3.request("GET", signed).status == 200
    assert urllib3.request("GET", signed.replace("eu-west-1", "eu-west-2")).status == 403
