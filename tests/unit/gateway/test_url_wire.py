"""Requests to function URLs as events, results as answers, and the rules of other origins."""

import base64
import json
from typing import Any

import pytest

from squib.gateway.wire.cors import cors_headers, is_preflight, with_cors
from squib.gateway.wire.url_event import event
from squib.gateway.wire.url_reply import BadReply, Reply, reply
from squib.model.function import FunctionKey
from squib.model.function_url import AWS_IAM, NONE, Cors, FunctionUrl
from squib.model.identity import ANONYMOUS, root_principal
from squib.model.operation import RawRequest
from squib.model.units import AccountId, EpochMs, Region, RequestId

ACCOUNT = AccountId("111111111111")
URL_ID = "a" * 32
DOMAIN = f"{URL_ID}.lambda-url.us-east-1.squib.test"
AT_MS = EpochMs(1_583_348_638_390)


def url(auth_type: str = NONE) -> FunctionUrl:
    function = FunctionKey(ACCOUNT, Region("us-east-1"), "f")
    return FunctionUrl(
        function=function, url_id=URL_ID, auth_type=auth_type, created_at_ms=AT_MS, modified_at_ms=AT_MS
    )


def made(
    auth_type: str = NONE,
    *,
    query: str = "",
    body: bytes = b"",
    path: str = "/",
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    request = RawRequest(
        method="POST",
        path=path,
        query=query,
        headers=headers or {},
        body=body,
        request_id=RequestId("id"),
        received_at_ms=AT_MS,
        base_url="http://127.0.0.1:4566",
    )
    principal = ANONYMOUS if auth_type == NONE else root_principal(ACCOUNT)
    text = event(
        request,
        url(auth_type),
        path=path,
        domain=DOMAIN,
        source_ip="192.0.2.1",
        principal=principal,
        access_key_id="" if auth_type == NONE else "AKID",
    )
    found: dict[str, Any] = json.loads(text)
    return found


def test_event_has_the_members_of_format_2_0() -> None:
    headers = {"host": DOMAIN, "user-agent": "agent", "cookie": "a=1; b=2", "x-forwarded-for": "forged"}
    assert made(query="a=1&b=x%20y&a=2&c", body=b"text", path="/p%20q", headers=headers) == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/p%20q",
        "rawQueryString": "a=1&b=x%20y&a=2&c",
        "cookies": ["a=1", "b=2"],
        "headers": {
            "host": DOMAIN,
            "user-agent": "agent",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "4566",
            "x-forwarded-proto": "http",
        },
        "queryStringParameters": {"a": "1,2", "b": "x y", "c": ""},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": URL_ID,
            "domainName": DOMAIN,
            "domainPrefix": URL_ID,
            "http": {
                "method": "POST",
                "path": "/p%20q",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "agent",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "04/Mar/2020:19:03:58 +0000",
            "timeEpoch": AT_MS,
        },
        "body": "text",
        "isBase64Encoded": False,
    }


def test_event_without_body_query_and_cookies_has_none_of_their_members() -> None:
    found = made()
    assert not found.keys() & {"body", "cookies", "queryStringParameters"}
    assert found["isBase64Encoded"] is False


def test_signed_request_says_who_signed() -> None:
    context = made(AWS_IAM)["requestContext"]
    assert context["accountId"] == ACCOUNT
    assert context["authorizer"]["iam"] == {
        "accessKey": "AKID",
        "accountId": ACCOUNT,
        "callerId": ACCOUNT,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": f"arn:aws:iam::{ACCOUNT}:root",
        "userId": ACCOUNT,
    }


@pytest.mark.parametrize(
    ("content_type", "body", "is_binary"),
    [
        ("application/json; charset=utf-8", b'{"a": "\xc3\xa9"}', False),
        ("text/plain", b"text", False),
        ("image/svg+xml", b"<svg/>", False),
        ("text/plain", b"\xff", True),
        ("application/x-www-form-urlencoded", b"a=1", True),
        ("application/octet-stream", b"text", True),
    ],
)
def test_body_is_text_or_base64_by_its_type(content_type: str, body: bytes, is_binary: bool) -> None:
    found = made(body=body, headers={"content-type": content_type})
    assert found["isBase64Encoded"] is is_binary
    assert found["body"] == (base64.b64encode(body).decode() if is_binary else body.decode())


JSON = ("content-type", "application/json")
REPLIES: list[tuple[Any, Reply]] = [
    ("text", Reply(200, [JSON], b'"text"')),
    (None, Reply(200, [JSON], b"null")),
    ({"a": 1}, Reply(200, [JSON], b'{"a": 1}')),
    ([1], Reply(200, [JSON], b"[1]")),
    ({"statusCode": 204}, Reply(204, [JSON], b"")),
    ({"statusCode": "201", "body": "x"}, Reply(201, [JSON], b"x")),
    ({"statusCode": 200, "headers": {"Content-Type": "text/html", "X-A": 1, "X-B": True,
                                      "Content-Length": "9"},
      "cookies": ["a=1; Secure", "b=2"], "body": "<p>"},
     Reply(200, [("content-type", "text/html"), ("x-a", "1"), ("x-b", "true"), ("set-cookie", "a=1; Secure"),
                 ("set-cookie", "b=2")], b"<p>")),
    ({"statusCode": 200, "body": "AAE=", "isBase64Encoded": True}, Reply(200, [JSON], b"\0\1")),
    ({"statusCode": 200, "body": {"a": 1}}, Reply(200, [JSON], b'{"a":1}')),
]  # fmt: skip


@pytest.mark.parametrize(("result", "expected"), REPLIES)
def test_result_means_an_answer(result: Any, expected: Reply) -> None:
    assert reply(json.dumps(result).encode()) == expected


BAD: list[Any] = [
    {"statusCode": "ok"},
    {"statusCode": True},
    {"statusCode": 99},
    {"statusCode": 200, "headers": ["a"]},
    {"statusCode": 200, "headers": {"a b": "c"}},
    {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
    {"statusCode": 200, "headers": {"a": "\u2713"}},
    {"statusCode": "2" * 5000},
    {"statusCode": 200, "headers": {"\u00e9": "c"}},
    {"statusCode": 200, "headers": {"\u2713": "c"}},
    {"statusCode": 200, "headers": {"a": "b\x7f"}},
    {"statusCode": 200, "headers": {"a": {}}},
    {"statusCode": 200, "cookies": "a=1"},
    {"statusCode": 200, "cookies": ["a=1\nb"]},
    {"statusCode": 200, "body": "!", "isBase64Encoded": True},
]


@pytest.mark.parametrize("result", BAD, ids=json.dumps)
def test_result_that_is_no_answer_is_refused(result: Any) -> None:
    with pytest.raises(BadReply):
        reply(json.dumps(result).encode())


def test_result_that_is_not_json_is_refused() -> None:
    with pytest.raises(BadReply):
        reply(b"plain")


ORIGIN = {"origin": "https://a.test"}
CORS: list[tuple[Cors, bool, list[tuple[str, str]]]] = [
    (Cors(), False, []),
    (Cors(allow_origins=["https://b.test"]), False, []),
    (Cors(allow_origins=["*"]), False, [("access-control-allow-origin", "*")]),
    (Cors(allow_origins=["https://a.test"], expose_headers=["x-a", "x-b"]), False,
     [("access-control-allow-origin", "https://a.test"), ("vary", "Origin"),
      ("access-control-expose-headers", "x-a,x-b")]),
    (Cors(allow_origins=["*"], allow_credentials=True), False,
     [("access-control-allow-origin", "https://a.test"), ("vary", "Origin"),
      ("access-control-allow-credentials", "true")]),
    (Cors(allow_origins=["*"], allow_methods=["GET", "PUT"], allow_headers=["x-a"], max_age_s=0), True,
     [("access-control-allow-origin", "*"), ("access-control-allow-methods", "GET,PUT"),
      ("access-control-allow-headers", "x-a"), ("access-control-max-age", "0")]),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "preflight", "expected"), CORS)
def test_pages_of_other_origins_read_what_they_may(
    rules: Cors, preflight: bool, expected: list[tuple[str, str]]
) -> None:
    assert cors_headers(rules, ORIGIN, is_preflight=preflight) == expected
    assert cors_headers(rules, {}, is_preflight=preflight) == []


def test_preflight_is_told_from_any_other_request() -> None:
    asks = {**ORIGIN, "access-control-request-method": "PUT"}
    assert is_preflight("OPTIONS", asks)
    assert not is_preflight("OPTIONS", ORIGIN)
    assert not is_preflight("GET", asks)


def test_headers_of_the_url_count_before_those_of_the_function() -> None:
    own = [("access-control-allow-origin", "https://evil.test"), ("x-a", "1")]
    added = [("access-control-allow-origin", "*")]
    assert with_cors(own, added) == [("x-a", "1"), *added]
