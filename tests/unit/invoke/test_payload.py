"""What a caller sends with an invocation: what is passed on, and that anything else is the caller's error."""

import base64

import pytest

from squib.invoke.payload import checked_event, client_context
from squib.model.errors import InvalidRequestContent


def context_of(content: bytes) -> str:
    return client_context(base64.b64encode(content).decode())


def test_an_event_is_passed_on_as_it_is_and_none_is_an_empty_object() -> None:
    assert checked_event(b' {"a": 1} ') == b' {"a": 1} '
    assert checked_event(b"") == b"{}"


@pytest.mark.parametrize("event", [b"{", b"\xff", b"nul", b"[" * 100_000, b'{"a":' * 100_000])
def test_an_event_that_is_no_json_is_refused(event: bytes) -> None:
    with pytest.raises(InvalidRequestContent, match="Could not parse request body into json"):
        checked_event(event)


def test_a_client_context_becomes_one_line_of_ascii() -> None:
    assert context_of('{"a": "\\r\\n\u00e9"}'.encode()) == '{"a":"\\r\\n\\u00e9"}'


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b'{"a":' + b"[" * 2_600, b'{"a":1e999}'])
def test_a_client_context_that_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequestContent, match="Base64-encoded JSON object"):
        context_of(content)


@pytest.mark.parametrize("text", ["\u00e9", "e30", "e30=\n", "%%%"])
def test_a_client_context_that_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestContent, match="Base64-encoded JSON object"):
        client_context(text)
