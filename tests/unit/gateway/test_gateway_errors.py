"""What the gateway refuses, in the words and shapes of each protocol."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from gateway_harness import (
    ACCOUNT,
    FORM,
    INVOKE,
    OTHER,
    REQUEST_ID,
    ROLE,
    ROOT,
    STALE,
    STS_IDENTITY,
    Exchange,
    ask,
    gateway,
    signed,
    unsigned,
)

from squib.model.identity import AccessKey
from squib.model.limits import MAX_CREATE_REQUEST_BYTES, MAX_SYNC_PAYLOAD_BYTES


def lambda_refusal(exchange: Exchange) -> tuple[int, str, Any]:
    assert exchange.answer_headers["x-amzn-requestid"] == REQUEST_ID
    return exchange.status, exchange.answer_headers["x-amzn-errortype"], exchange.json


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
                "message": "squib does not serve 'dynamodb'. "
                "It serves lambda, logs, sts, iam, sqs, monitoring, xray.",
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
            f"resource: arn:aws:iam::{ACCOUNT}:role/r because no identity-based policy allows the "
            "iam:GetRole action",
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
