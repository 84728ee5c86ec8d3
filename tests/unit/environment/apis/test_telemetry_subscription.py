"""Request bodies of the Telemetry API and the Logs API."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.environment.apis.telemetry_subscription import LOGS, TELEMETRY, Subscription, parse

WHOLE: dict[str, Any] = {
    "schemaVersion": "2022-12-13",
    "types": ["function", "platform"],
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/logs?a=b"},
    "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
}


def asked(api: str = TELEMETRY, **changes: Any) -> Subscription | str:
    body = {**WHOLE, **changes}
    return parse(api, json.dumps({name: value for name, value in body.items() if value is not None}).encode())


def test_whole_subscription() -> None:
    assert asked() == Subscription(
        api=TELEMETRY,
        schema_version="2022-12-13",
        types=("platform", "function"),
        protocol="HTTP",
        port=8080,
        host="sandbox.localdomain",
        path="/logs?a=b",
        max_items=1000,
        max_bytes=262144,
        timeout_ms=25,
    )


def test_defaults_of_buffering() -> None:
    subscription = asked(buffering=None)
    assert isinstance(subscription, Subscription)
    assert (subscription.max_items, subscription.max_bytes, subscription.timeout_ms) == (
        10_000,
        262_144,
        1_000,
    )


def test_tcp_by_uri_or_by_port() -> None:
    for destination in ({"URI": "tcp://sandbox:8080"}, {"port": 8080}):
        subscription = asked(destination={"protocol": "TCP", **destination})
        assert isinstance(subscription, Subscription)
        assert (subscription.protocol, subscription.port) == ("TCP", 8080)


def test_logs_api_has_versions_of_its_own() -> None:
    for version in ("2020-08-15", "2021-03-18", None):
        subscription = asked(LOGS, schemaVersion=version)
        assert isinstance(subscription, Subscription)
        assert subscription.schema_version == (version or "2020-08-15")
    assert asked(LOGS) == "schemaVersion is not supported"
    assert asked(schemaVersion=None) == "schemaVersion is not provided"


def http(uri: Any) -> dict[str, Any]:
    return {"protocol": "HTTP", "URI": uri}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"types": []}, "types should not be empty"),
        ({"types": ["platform", "dinner"]}, "types should be among platform, function, extension"),
        ({"destination": None}, "destination is not provided"),
        ({"destination": {"protocol": "UDP"}}, "destination protocol should be HTTP or TCP"),
        ({"destination": http("http://sandbox.localdomain")}, "URI port is not provided"),
        ({"destination": http("http://sandbox.localdomain:9001")}, "port 9001 is reserved"),
        ({"destination": http("http://sandbox.localdomain:0")}, "URI port is not valid"),
        ({"destination": http("http://sandbox.localdomain:99999")}, "URI is not valid"),
        ({"destination": http("http://10.0.0.1:80")}, "URI host should be sandbox.localdomain"),
        ({"destination": http("https://sandbox:80")}, "URI scheme should be http"),
        ({"destination": http("http://sandbox:80/a b")}, "URI is not valid"),
        ({"destination": http("http://sandbox:80/\r\nX: y")}, None),
        ({"destination": http(7)}, "URI is not provided"),
        ({"destination": {"protocol": "TCP", "port": True}}, "URI port is not valid"),
        ({"buffering": {"maxItems": 999}}, "maxItems should be between 1000 and 10000"),
        ({"buffering": {"maxBytes": 1048577}}, "maxBytes should be between 262144 and 1048576"),
        ({"buffering": {"timeoutMs": 24}}, "timeoutMs should be between 25 and 30000"),
        ({"buffering": []}, "buffering should be an object"),
        (
            {"types": [], "destination": http("http://sandbox.localdomain")},
            "URI port is not provided; types should not be empty",
        ),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], wrong: str | None) -> None:
    answer = asked(**changes)
    if wrong is None:  # line breaks are not kept: what is left may be valid, and is one line
        assert isinstance(answer, str) or "\n" not in answer.path
    else:
        assert answer == wrong


def test_what_is_nested_too_deep_is_refused() -> None:
    assert parse(TELEMETRY, b'{"types": ' + b"[" * 100_000) == "request body is not a JSON object"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_subscription_or_a_refusal(body: bytes) -> None:
    assert isinstance(parse(TELEMETRY, body), str)
