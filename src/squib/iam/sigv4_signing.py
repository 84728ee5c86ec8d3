"""Signature Version 4, the signing side: headers for a request of squib's own command line. Pure."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from squib.iam.sigv4 import ALGORITHM, canonical_request, signing_key
from squib.model.units import EpochMs, Region

_SIGNED = "host;x-amz-date"


def signed_headers(
    *,
    access_key_id: str,
    secret_access_key: str,
    region: Region,
    service: str,
    host: str,
    path: str,
    query: str = "",
    now_ms: EpochMs,
) -> Mapping[str, str]:
    """The headers, beside Host, of a GET without a body."""
    stamp = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    date = stamp[:8]
    headers = {"host": host, "x-amz-date": stamp}
    payload_hash = hashlib.sha256(b"").hexdigest()
    canonical = canonical_request("GET", path, query, headers, _SIGNED, payload_hash)
    scope = f"{date}/{region}/{service}/aws4_request"
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = signing_key(secret_access_key, date, region, service)
    value = hmac.digest(key, text.encode(), "sha256").hex()
    authorization = (
        f"{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={_SIGNED}, Signature={value}"
    )
    return {"X-Amz-Date": stamp, "Authorization": authorization}
