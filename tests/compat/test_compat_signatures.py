"""Calls that are not, or wrongly, signed: refused as AWS does."""

import datetime
import http.client
import json
import urllib.parse
from typing import Any

import botocore.config
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from harness.squib import Squib

PATH = "/2015-03-31/functions/"


def refusal(squib: Squib, service: str = "lambda", **changes: Any) -> tuple[int, str, str]:
    client = squib.client(service, **changes)
    with pytest.raises(ClientError) as refused:
        client.list_functions() if service == "lambda" else client.get_caller_identity()
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def send(
    squib: Squib, headers: dict[str, str], path: str = PATH, method: str = "GET", body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    address = urllib.parse.urlsplit(squib.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def signed(squib: Squib, **replaced: str) -> dict[str, str]:
    """Headers of a right ListFunctions call, then changed."""
    request = AWSRequest("GET", squib.url + PATH)
    SigV4Auth(Credentials(*squib.root_key()), "lambda", "eu-west-1").add_auth(request)
    return {**dict(request.headers.items()), **replaced}


def test_a_rightly_signed_call_passes(squib: Squib) -> None:
    assert send(squib, signed(squib))[0] == 200


@pytest.mark.parametrize("service", ["lambda", "sts"])
def test_unknown_key(squib: Squib, service: str) -> None:
    status, code, message = refusal(squib, service, aws_access_key_id="AKIAIOSFODNN7EXAMPLE")
    assert status == 403
    assert code == {"lambda": "UnrecognizedClientException", "sts": "InvalidClientTokenId"}[service]
    assert message.rstrip(".") == "The security token included in the request is invalid"


@pytest.mark.parametrize("service", ["lambda", "sts"])
def test_wrong_secret(squib: Squib, service: str) -> None:
    status, code, message = refusal(squib, service, aws_secret_access_key="x" * 40)
    assert status == 403
    assert code == {"lambda": "InvalidSignatureException", "sts": "SignatureDoesNotMatch"}[service]
    assert message.startswith(
        "The request signature we calculated does not match the signature you provided."
    )


def test_a_token_that_does_not_belong_to_the_key(squib: Squib) -> None:
    status, code, _ = refusal(squib, aws_session_token="made-up")
    assert (status, code) == (403, "UnrecognizedClientException")


def test_no_signature_at_all(squib: Squib) -> None:
    status, code, message = refusal(squib, config=botocore.config.Config(signature_version=UNSIGNED))
    assert (status, code, message) == (
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )


@pytest.mark.parametrize(("hours", "word"), [(-1, "expired"), (1, "not yet current")])
def test_a_clock_that_is_wrong(squib: Squib, monkeypatch: pytest.MonkeyPatch, hours: int, word: str) -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda **_: moment.replace(tzinfo=None), raising=True
    )
    headers = signed(squib)
    monkeypatch.undo()
    assert headers["X-Amz-Date"].startswith(f"{moment:%Y%m%dT%H}")
    status, answer, body = send(squib, headers)
    assert status == 403
    assert answer["x-amzn-ErrorType"].startswith("InvalidSignatureException")
    assert f"Signature {word}" in json.loads(body)["message"]


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a",
        "Basic dXNlcjpwYXNz",
        "AWS4-HMAC-SHA256 " + "x" * 4000,
    ],
    ids=lambda text: text[:24],
)
def test_malformed_authorization(squib: Squib, header: str) -> None:
    status, answer, _ = send(squib, signed(squib, Authorization=header))
    assert status in (400, 403)
    kind = answer["x-amzn-ErrorType"].split(":")[0]
    assert kind in (
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    )


def test_a_changed_body_and_a_changed_path_do_not_pass(squib: Squib) -> None:
    headers = signed(squib)
    assert send(squib, headers, path=PATH + "?MaxItems=1")[0] == 403
    assert send(squib, headers, method="POST", body=b"{}")[0] == 403
    assert send(squib, {**headers, "X-Amz-Date": "20200101T000000Z"})[0] == 403


def test_another_services_signature_does_not_pass(squib: Squib) -> None:
    request = AWSRequest("GET", squib.url + PATH)
    SigV4Auth(Credentials(*squib.root_key()), "sts", "eu-west-1").add_auth(request)
    assert send(squib, dict(request.headers.items()))[0] in (400, 403, 404)


def test_who_am_i(squib: Squib) -> None:
    identity = squib.client("sts").get_caller_identity()
    assert identity["Account"] == "000000000000"
    assert identity["Arn"] == "arn:aws:iam::000000000000:root"
