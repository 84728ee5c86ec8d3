"""Verification against botocore as the signer, AWS's texts from the case file, and any changed byte."""

import hmac
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from squib.iam import sigv4
from squib.model.errors import ApiError, IncompleteSignature, InvalidSignature, MissingAuthenticationToken
from squib.model.units import EpochMs

CASES = json.loads((Path(__file__).parents[2] / "cases" / "signatures.json").read_text())
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
logging.getLogger("botocore").setLevel(logging.WARNING)


class Sent:
    """A request as it arrives, signed by botocore just now."""

    def __init__(
        self,
        method: str = "POST",
        url: str = "http://127.0.0.1:4566/2015-03-31/functions/f/invocations",
        headers: dict[str, str] | None = None,
        body: bytes = b"{}",
        *,
        token: str | None = None,
        expires_s: int | None = None,
    ) -> None:
        request = AWSRequest(method, url, headers or {}, body)
        credentials = Credentials("AKIDEXAMPLE000000000", SECRET, token)
        if expires_s is None:
            SigV4Auth(credentials, "lambda", "eu-west-1").add_auth(request)
        else:
            SigV4QueryAuth(credentials, "lambda", "eu-west-1", expires=expires_s).add_auth(request)
        prepared = request.prepare()
        parts = urlsplit(prepared.url)
        self.method, self.path, self.query, self.body = method, parts.path, parts.query, body
        self.headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in prepared.headers.items()
        }
        self.headers["host"] = parts.netloc

    def verify(self, keys: dict[tuple[str, str, str, str], hmac.HMAC] | None = None, **changed: Any) -> str:
        arrived: dict[str, Any] = {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body,
        }
        arrived |= changed
        signature = sigv4.read(arrived["headers"], arrived["query"])
        sigv4.check_scope(signature, "lambda")
        sigv4.check_time(signature, signature.signed_at_ms)
        sigv4.check_value(signature, SECRET, {} if keys is None else keys, **arrived)
        return signature.access_key_id


def test_what_botocore_signs_is_verified() -> None:
    assert Sent().verify() == "AKIDEXAMPLE000000000"


def test_a_session_token_is_read_from_the_signed_header() -> None:
    sent = Sent(token="tok/en==")
    assert sent.verify()
    assert sigv4.read(sent.headers, "").session_token == "tok/en=="


def test_a_presigned_request_is_verified() -> None:
    sent = Sent("GET", expires_s=60, body=b"", token="a+b/c=")
    assert "authorization" not in sent.headers
    assert sent.verify()
    assert sigv4.read(sent.headers, sent.query).session_token == "a+b/c="


def test_signing_keys_are_derived_once() -> None:
    keys: dict[tuple[str, str, str, str], hmac.HMAC] = {}
    sent = Sent()
    sent.verify(keys)
    sent.verify(keys)
    (place,) = keys
    keys[place] = hmac.new(b"another key", digestmod="sha256")
    with pytest.raises(InvalidSignature):
        sent.verify(keys)


path_segments = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
header_values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(path_segments, min_size=1, max_size=4),
    st.lists(st.tuples(path_segments, st.text(max_size=8)), max_size=4),
    header_values,
    st.binary(max_size=64),
)
@example(["2015-03-31", "functions", "arn:aws:lambda:eu-west-1:000000000000:function:f:v"], [], "x", b"")
@example([".", "..", "a"], [("k", "2"), ("k", "1"), ("k", "")], "a  b", b"\xff")
def test_any_path_query_header_and_body_that_botocore_signs(
    segments: list[str], pairs: list[tuple[str, str]], header: str, body: bytes
) -> None:
    path = "/".join(quote(segment, safe="-._~") for segment in segments)
    query = "&".join(f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}" for name, value in pairs)
    sent = Sent("PUT", f"http://localhost/{path}?{query}", {"X-Amz-Thing": header}, body)
    assert sent.verify()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["method", "path", "query", "headers", "body"]), st.data())
def test_a_changed_byte_anywhere_fails(part: str, data: st.DataObject) -> None:
    sent = Sent(
        "PUT",
        "http://localhost/2015-03-31/functions/a%3Ab/code?Qualifier=prod&x=y",
        {"X-Amz-Client-Context": "e30=", "Content-Type": "application/json"},
        b'{"Publish": true}',
    )
    changed: Any
    if part == "headers":
        names = sent.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        name = data.draw(st.sampled_from([*names, "authorization"]))
        text = sent.headers[name]
        # The access key id is not signed: another one is another key, whose secret makes another signature.
        start = text.index("/") if name == "authorization" else 0
        changed = {**sent.headers, name: text[:start] + _one_changed(data, text[start:])}
    elif part == "body":
        changed = _one_changed(data, sent.body.decode()).encode()
    else:
        changed = _one_changed(data, getattr(sent, part))
    with pytest.raises(ApiError) as refused:
        sent.verify(**{part: changed})
    assert refused.value.status == 403


def _one_changed(data: st.DataObject, text: str) -> str:
    position = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019").filter(lambda letter: letter != text[position]))
    return text[:position] + letter + text[position + 1 :]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_byte_in_a_presigned_query_fails(data: st.DataObject) -> None:
    sent = Sent("GET", "http://localhost/2015-03-31/functions?Marker=m", expires_s=300, body=b"")
    query = _one_changed(data, sent.query)
    with pytest.raises(ApiError):
        sent.verify(query=query)


def test_a_header_that_is_signed_but_taken_away_fails() -> None:
    sent = Sent(headers={"X-Amz-Invocation-Type": "DryRun"})
    sent.headers.pop("x-amz-invocation-type")
    with pytest.raises(InvalidSignature):
        sent.verify()


def test_folded_white_space_in_headers_does_not_matter() -> None:
    sent = Sent(headers={"X-Amz-Thing": "a b"})
    sent.headers["x-amz-thing"] = "  a    b "
    assert sent.verify()


def test_repeated_query_keys_are_sorted_by_value() -> None:
    assert sigv4.canonical_query("b=2&a=2&a=1&a=&c") == "a=&a=1&a=2&b=2&c="


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/a//b/./c/../d", "/a/b/d"),
        ("/../..", "/"),
        ("/fn%3A1", "/fn%253A1"),
        ("/a:b c", "/a%3Ab%20c"),
        ("/\u00e9", "/%E9"),  # the byte E9, as HTTP hands it over
    ],
)
def test_paths_are_normalized_and_encoded_once_more(path: str, canonical: str) -> None:
    assert sigv4.canonical_path(path) == canonical


def test_the_payload_is_hashed_whatever_the_header_claims() -> None:
    sent = Sent(headers={"X-Amz-Content-SHA256": sigv4.UNSIGNED_PAYLOAD})
    with pytest.raises(InvalidSignature, match="does not match what was computed"):
        sent.verify()


def test_an_unsigned_payload_is_taken_when_presigned_so() -> None:
    sent = Sent(
        "PUT",
        "http://localhost/x",
        {"X-Amz-Content-SHA256": sigv4.UNSIGNED_PAYLOAD},
        expires_s=60,
        body=b"",
    )
    assert sent.verify(body=b"two")


def test_a_presigned_payload_cannot_be_declared_unsigned_afterwards() -> None:
    sent = Sent("PUT", expires_s=60, body=b"")
    with pytest.raises(InvalidSignature):
        sent.verify(headers={**sent.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, body=b"two")


def test_chunked_payload_signatures_are_refused_by_name() -> None:
    sent = Sent(headers={"X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"})
    with pytest.raises(InvalidSignature, match="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):
        sent.verify()


def test_no_signature_at_all() -> None:
    with pytest.raises(MissingAuthenticationToken):
        sigv4.read({"host": "h"}, "a=b")


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["name"])
def test_refusals_in_awss_words(case: dict[str, Any]) -> None:
    now_ms = EpochMs(int(datetime.fromisoformat(case["now"]).replace(tzinfo=UTC).timestamp() * 1000))
    with pytest.raises(ApiError) as refused:
        signature = sigv4.read(case["headers"], case.get("query", ""))
        sigv4.check_scope(signature, "lambda")
        sigv4.check_time(signature, now_ms)
    assert (refused.value.code, refused.value.message) == (case["code"], case["message"])


@pytest.mark.parametrize("case", CASES["accepted"], ids=lambda case: case["name"])
def test_scope_and_time_accepted(case: dict[str, Any]) -> None:
    now_ms = EpochMs(int(datetime.fromisoformat(case["now"]).replace(tzinfo=UTC).timestamp() * 1000))
    signature = sigv4.read(case["headers"], case.get("query", ""))
    sigv4.check_scope(signature, "lambda")
    sigv4.check_time(signature, now_ms)
    assert signature.access_key_id == "AKID"


@pytest.mark.parametrize(
    ("authorization", "service"),
    [
        ("AWS4-HMAC-SHA256 Credential=AKID/20261101/us-east-1/sts/aws4_request, SignedHeaders=h", "sts"),
        ("AWS4-HMAC-SHA256 SignedHeaders=h,Credential=A/K/20261101/r/logs/aws4_request", "logs"),
        ("AWS4-HMAC-SHA256 Credential=AKID", None),
        ("Basic Zm9v", None),
    ],
)
def test_the_service_of_the_scope(authorization: str, service: str | None) -> None:
    assert sigv4.scope_service({"authorization": authorization}, "") == service


@pytest.mark.parametrize("expires", ["0", "000", "-1", "604801", "00000000199999999999", "1" * 5000])
def test_a_presigned_request_lasts_a_week_at_most(expires: str) -> None:
    sent = Sent("GET", expires_s=60, body=b"")
    with pytest.raises(IncompleteSignature, match="X-Amz-Expires"):
        sigv4.read({}, sent.query.replace("X-Amz-Expires=60", f"X-Amz-Expires={expires}"))


@pytest.mark.parametrize("expires_s", [None, 60])
def test_a_header_of_aws_that_is_not_signed_is_refused(expires_s: int | None) -> None:
    sent = Sent("GET", body=b"", expires_s=expires_s)
    sent.headers |= {"x-amzn-trace-id": "Root=1", "user-agent": "x", "accept": "*/*"}
    assert sent.verify()
    sent.headers["x-amz-invocation-type"] = "Event"
    with pytest.raises(InvalidSignature) as refused:
        sent.verify()
    assert str(refused.value) == "'x-amz-invocation-type' must be a 'SignedHeader' in the AWS Authorization."
