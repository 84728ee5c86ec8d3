"""The event of a request to a function URL: payload format 2.0 (developer guide, "Invoking function URLs").

Members that have no value are left out, as AWS does.
"""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from squib.model.function_url import AWS_IAM, FunctionUrl
from squib.model.identity import Principal
from squib.model.operation import RawRequest
from squib.model.units import EpochMs

_TEXT: Final = ("application/json", "application/javascript", "application/xml")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def event(
    request: RawRequest,
    url: FunctionUrl,
    *,
    path: str,
    domain: str,
    source_ip: str,
    principal: Principal,
    access_key_id: str,
) -> bytes:
    """The event as JSON. `path` is that below the URL, `domain` the URL's host name."""
    headers, cookies = _headers(request, source_ip)
    context: dict[str, Any] = {
        "accountId": principal.account_id if url.auth_type == AWS_IAM else "anonymous",
        "apiId": url.url_id,
        "domainName": domain,
        "domainPrefix": url.url_id,
        "http": {
            "method": request.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": source_ip,
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": request.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": _clf_time(request.received_at_ms),
        "timeEpoch": request.received_at_ms,
    }
    if url.auth_type == AWS_IAM:
        context["authorizer"] = {"iam": _identity(principal, access_key_id)}
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": context,
    }
    if cookies:
        made["cookies"] = cookies
    parameters = _parameters(request.query)
    if parameters:
        made["queryStringParameters"] = parameters
    text = None if _is_binary(request.headers.get("content-type")) else _text(request.body)
    if request.body:
        made["body"] = b64encode(request.body).decode() if text is None else text
    made["isBase64Encoded"] = bool(request.body) and text is None
    return msgspec.json.encode(made)


def _headers(request: RawRequest, source_ip: str) -> tuple[dict[str, str], list[str]]:
    """The headers but for cookies, which are apart. Where the request came from is not left to the caller."""
    headers = {name: value for name, value in request.headers.items() if name != "cookie"}
    scheme, _, authority = request.base_url.partition("://")
    port = authority[authority.rfind("]") + 1 :].partition(":")[2]
    headers |= {
        "x-forwarded-for": source_ip,
        "x-forwarded-proto": scheme,
        "x-forwarded-port": port or ("443" if scheme == "https" else "80"),
    }
    given = request.headers.get("cookie", "")
    return headers, [cookie.strip() for cookie in given.split(";") if cookie.strip()]


def _parameters(query: str) -> Mapping[str, str]:
    """Decoded; the values of a repeated name are joined by commas."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=None):
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _identity(principal: Principal, access_key_id: str) -> Mapping[str, Any]:
    return {
        "accessKey": access_key_id,
        "accountId": principal.account_id,
        "callerId": principal.user_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": principal.arn,
        "userId": principal.user_id,
    }


def _is_binary(content_type: str | None) -> bool:
    """Forms are sent as binary, too."""
    if content_type is None:
        return False
    kind = content_type.partition(";")[0].strip().lower()
    return not (kind.startswith("text/") or kind in _TEXT or kind.endswith(("+json", "+xml")))


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _clf_time(at_ms: EpochMs) -> str:
    """`12/Mar/2020:19:03:58 +0000`, whatever the locale."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{at.day:02d}/{_MONTHS[at.month - 1]}/{at.year}:{at:%H:%M:%S} +0000"
