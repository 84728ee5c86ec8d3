"""Signature version 4 for one HTTP/1.1 request, as bytes that may be sent for five minutes."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

REGION = "us-east-1"
INVOKE_PATH = "/2015-03-31/functions/{}/invocations"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A key pair to sign with."""

    access_key_id: str
    secret_access_key: str


def signed(
    method: str,
    port: int,
    path: str,
    body: bytes,
    key: AccessKey,
    *,
    service: str = "lambda",
    target: str | None = None,
    invocation_type: str | None = None,
    content_type: str = "application/json",
) -> bytes:
    """The whole request for an API on 127.0.0.1, signed with the time of now; `target` is X-Amz-Target,
    `invocation_type` X-Amz-Invocation-Type."""
    host = f"127.0.0.1:{port}"
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{REGION}/{service}/aws4_request"
    given = {"X-Amz-Date": stamp, "X-Amz-Invocation-Type": invocation_type, "X-Amz-Target": target}
    headers = {name: value for name, value in given.items() if value is not None}
    names = ";".join(["host", *(name.lower() for name in headers)])
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/-_.~"),
            "",
            f"host:{host}",
            *(f"{name.lower()}:{value}" for name, value in headers.items()),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing_key = f"AWS4{key.secret_access_key}".encode()
    for part in scope.split("/"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    signature = hmac.digest(signing_key, to_sign.encode(), "sha256").hex()
    head = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Authorization: AWS4-HMAC-SHA256 Credential={key.access_key_id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
