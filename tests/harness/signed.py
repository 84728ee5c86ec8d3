"""Requests that no SDK of today sends, signed as one would."""

import http.client
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness.squib import Squib

FORM = "application/x-www-form-urlencoded; charset=utf-8"


def open_request(
    squib: Squib,
    service: str,
    *,
    body: bytes = b"",
    path: str = "/",
    method: str = "POST",
    region: str = "eu-west-1",
    headers: Mapping[str, str] | None = None,
) -> http.client.HTTPConnection:
    """Sends a signed request; gives its connection, on which the answer will come."""
    request = AWSRequest(method, squib.url + path, dict(headers or {}), body)
    SigV4Auth(Credentials(*squib.root_key()), service, region).add_auth(request)
    parts = urlsplit(squib.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request(method, path, body=body, headers=dict(request.headers.items()))
    return connection


def form(squib: Squib, service: str, path: str = "/", **parameters: str) -> tuple[int, str]:
    """Posts a form of the query protocol; gives status and text. A `_` in a name stands for a dot."""
    fields = {name.replace("_", "."): value for name, value in parameters.items()}
    connection = open_request(
        squib, service, path=path, body=urlencode(fields).encode(), headers={"Content-Type": FORM}
    )
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text
