"""What a function answers to a request of its URL, as HTTP (developer guide, "Response payload format")."""

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

_JSON: Final = ("content-type", "application/json")
_NOT_PASSED: Final = frozenset(
    ("connection", "content-length", "date", "keep-alive", "proxy-connection", "te", "trailer")
) | {"transfer-encoding", "upgrade"}
"""Headers that belong to the connection, which is not the function's."""


_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NO_SIGNS: Final = dict.fromkeys(map(ord, "-_.!#$%&'*+^`|~"), "x")


class BadReply(ValueError):
    """Not an answer that can be sent: the caller sees a 502."""


class Reply(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def reply(payload: bytes) -> Reply:
    """The answer that a function's result means. Raises BadReply.

    An object with a `statusCode` says everything itself; any other JSON is a body with status 200."""
    try:
        result = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadReply("it is not JSON") from error
    if not isinstance(result, dict) or "statusCode" not in result:
        return Reply(200, [_JSON], payload)
    headers = _headers(result.get("headers") or {})
    if all(name != "content-type" for name, _ in headers):
        headers.append(_JSON)
    cookies = result.get("cookies") or []
    if not isinstance(cookies, list):
        raise BadReply("its cookies are no list")
    headers += [("set-cookie", _line(cookie)) for cookie in cookies]
    return Reply(_status(result["statusCode"]), headers, _body(result))


def _status(value: Any) -> int:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        raise BadReply("its statusCode is no HTTP status")
    return value


def _headers(given: Any) -> list[tuple[str, str]]:
    if not isinstance(given, Mapping):
        raise BadReply("its headers are no object")
    headers = []
    for name, value in given.items():
        name = name.lower()
        if not name.isascii() or not name or not name.translate(_NO_SIGNS).isalnum():
            raise BadReply("it has a header of no valid name")
        if name not in _NOT_PASSED and value is not None:
            headers.append((name, _line(value)))
    return headers


def _line(value: Any) -> str:
    match value:
        case bool():
            text = "true" if value else "false"
        case str() | int() | float():
            text = str(value)
        case _:
            raise BadReply("a header or cookie is no text")
    if _CONTROL.search(text) or not _is_latin_1(text):
        raise BadReply("a header or cookie has a character that no header can have")
    return text


def _is_latin_1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _body(result: Mapping[str, Any]) -> bytes:
    body = result.get("body")
    if body is None:
        return b""
    try:
        if not isinstance(body, str):
            return msgspec.json.encode(body)
        return b64decode(body, validate=True) if result.get("isBase64Encoded") is True else body.encode()
    except (ValueError, RecursionError) as error:
        raise BadReply("its body cannot be decoded") from error
