"""Function URLs over HTTP: events, answers, who may, other origins; by path and by host name."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from harness.functions import Function
from harness.squib import Squib

SOURCE = """
import base64

def handler(event, context):
    path = event["rawPath"]
    if path == "/fail":
        raise ValueError("secret")
    if path == "/plain":
        return ["no", "status"]
    if path == "/bad":
        return {"statusCode": 200, "headers": {"x-a": "1\\r\\nx-b: 2"}}
    if path == "/binary":
        return {"statusCode": 201, "body": base64.b64encode(b"\\0\\1").decode(), "isBase64Encoded": True,
                "headers": {"Content-Type": "image/x"}, "cookies": ["a=1", "b=2"]}
    return {"statusCode": 200, "body": __import__("json").dumps(event)}
"""


class Answer:
    """One HTTP answer."""

    def __init__(self, status: int, headers: Message, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def value(self) -> Any:
        return json.loads(self.body)


def fetch(
    url: str, *, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


def open_to_all(function: Function, *actions: str) -> None:
    for action in actions or ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction"):
        given: dict[str, Any] = {"StatementId": action.partition(":")[2], "Action": action, "Principal": "*"}
        if action.endswith("Url"):
            given["FunctionUrlAuthType"] = "NONE"
        else:
            given["InvokedViaFunctionUrl"] = True
        function.client.add_permission(FunctionName=function.name, **given)


@pytest.fixture(scope="module")
def public(squib: Squib) -> tuple[Function, str]:
    function = squib.deploy(SOURCE)
    open_to_all(function)
    cors = {"AllowOrigins": ["https://a.test"], "AllowMethods": ["PUT"], "MaxAge": 60}
    made = function.client.create_function_url_config(FunctionName=function.name, AuthType="NONE", Cors=cors)
    return function, made["FunctionUrl"]


def test_function_gets_the_request_and_its_answer_is_sent(public: tuple[Function, str]) -> None:
    _, url = public
    answer = fetch(
        f"{url}a%20b?x=1&x=2&y=%C3%A9",
        method="POST",
        body=b'{"k": 1}',
        headers={"Content-Type": "application/json", "Cookie": "c=1; d=2", "X-Own": "yes"},
    )
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    event = answer.value
    assert (event["version"], event["rawPath"]) == ("2.0", "/a%20b")
    assert event["queryStringParameters"] == {"x": "1,2", "y": "é"}
    assert event["cookies"] == ["c=1", "d=2"]
    assert event["headers"]["x-own"] == "yes"
    assert (event["body"], event["isBase64Encoded"]) == ('{"k": 1}', False)
    context = event["requestContext"]
    assert context["http"]["method"] == "POST"
    assert context["http"]["sourceIp"] == "127.0.0.1"
    assert context["accountId"] == "anonymous"
    assert context["requestId"] == answer.headers["x-amzn-requestid"]


def test_every_kind_of_result_is_answered(public: tuple[Function, str]) -> None:
    _, url = public
    plain = fetch(f"{url}plain")
    assert (plain.status, plain.value) == (200, ["no", "status"])
    binary = fetch(f"{url}binary")
    assert (binary.status, binary.body, binary.headers["content-type"]) == (201, b"\0\1", "image/x")
    assert binary.headers.get_all("set-cookie") == ["a=1", "b=2"]
    for path in ("fail", "bad"):
        failed = fetch(f"{url}{path}")
        assert (failed.status, failed.body) == (502, b"Internal Server Error")


def test_url_is_found_by_its_host_name_too(public: tuple[Function, str]) -> None:
    _, url = public
    parts = urlsplit(url)
    url_id = parts.path.strip("/").rpartition("/")[2]
    host = f"{url_id}.lambda-url.eu-west-1.squib.test"
    answer = fetch(f"http://{parts.netloc}/some/path", headers={"Host": host})
    assert answer.value["rawPath"] == "/some/path"
    assert answer.value["headers"]["host"] == host
    unknown = fetch(f"http://{parts.netloc}/", headers={"Host": f"{'x' * 32}.lambda-url.eu-west-1.test"})
    assert unknown.status == 403


def test_pages_of_other_origins_are_answered_by_the_rules_of_the_url(public: tuple[Function, str]) -> None:
    _, url = public
    asks = {"Origin": "https://a.test", "Access-Control-Request-Method": "PUT"}
    preflight = fetch(url, method="OPTIONS", headers=asks)
    assert (preflight.status, preflight.body) == (200, b"")
    assert preflight.headers["access-control-allow-origin"] == "https://a.test"
    assert preflight.headers["access-control-allow-methods"] == "PUT"
    assert preflight.headers["access-control-max-age"] == "60"
    assert fetch(url, headers={"Origin": "https://a.test"}).headers["access-control-allow-origin"]
    assert fetch(url, headers={"Origin": "https://b.test"}).headers["access-control-allow-origin"] is None


def test_url_without_authentication_needs_both_permissions(squib: Squib) -> None:
    function = squib.deploy(SOURCE)
    url = function.client.create_function_url_config(FunctionName=function.name, AuthType="NONE")
    for action in ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction"):
        refused = fetch(url["FunctionUrl"])
        assert refused.status == 403
        assert refused.headers["x-amzn-errortype"] == "AccessDeniedException"
        assert refused.value["Message"].startswith("Forbidden. For troubleshooting Function URL")
        open_to_all(function, action)
    assert fetch(url["FunctionUrl"]).status == 200
    function.client.delete_function_url_config(FunctionName=function.name)
    assert fetch(url["FunctionUrl"]).status == 403


def test_throttled_url_says_429(squib: Squib) -> None:
    function = squib.deploy(SOURCE)
    open_to_all(function)
    url = function.client.create_function_url_config(FunctionName=function.name, AuthType="NONE")
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    assert fetch(url["FunctionUrl"]).status == 429


def test_signed_url_knows_its_caller_and_refuses_others(squib: Squib) -> None:
    function = squib.deploy(SOURCE)
    url = function.client.create_function_url_config(FunctionName=function.name, AuthType="AWS_IAM")
    target = f"{url['FunctionUrl']}p?x=1"
    assert fetch(target).status == 403
    key_id, secret = squib.root_key()

    def signed(secret: str) -> Answer:
        request = botocore.awsrequest.AWSRequest("GET", target)
        credentials = botocore.credentials.Credentials(key_id, secret)
        botocore.auth.SigV4Auth(credentials, "lambda", "eu-west-1").add_auth(request)
        return fetch(target, headers=dict(request.headers.items()))

    caller = signed(secret).value["requestContext"]["authorizer"]["iam"]
    assert caller["accessKey"] == key_id
    assert caller["userArn"].endswith(":root")
    assert signed(secret[::-1]).status == 403
