"""Signature Version 4, the verifying side: reading a signature, judging its scope and time, recomputing it.

Header form and presigned query form, for services that encode the path twice (all but S3). Chunked payload
signatures (`STREAMING-...`) are refused: no service served uses them. Looking up the key is the caller's.
Texts are AWS's (IAM user guide, "Troubleshoot signed requests"; tests/cases/signatures.json).
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

import msgspec

from squib.model.errors import IncompleteSignature, InvalidSignature, MissingAuthenticationToken
from squib.model.limits import CLOCK_SKEW_MS
from squib.model.units import EpochMs, Region

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
MAX_EXPIRES_S: Final = 604_800  # Signature Version 4 reference, X-Amz-Expires: seven days

_TERMINATOR: Final = "aws4_request"
_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
_UNRESERVED_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_.~-]*[A-Za-z0-9_~-])+")  # no empty and no dot segment
_VALUE_LENGTH: Final = 64  # of a signature: a SHA-256 in hex
_USUAL_HEAD: Final = re.compile(
    rf"{ALGORITHM} Credential=([^\s,=]+), ?SignedHeaders=([a-z0-9;-]+), ?Signature=", re.ASCII
)
_MAX_USUAL_LENGTH: Final = 512  # our own choice: what one of a thousand remembered may take
_REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]{1,16}){1,3}-[0-9]{1,2}", re.ASCII)
_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)

SigningKeys: TypeAlias = MutableMapping[tuple[str, str, str, str], hmac.HMAC]
"""(secret, date, region, service) -> HMAC with the signing key, without a message. Owned by the caller, who
bounds it."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A signature as the request carries it; nothing of it is believed yet."""

    access_key_id: str
    date: str
    region: Region
    service: str
    terminator: str
    signed_headers: str
    """Names, lower case, joined by semicolons, as sent."""
    value: str
    timestamp: str
    """`YYYYMMDDTHHMMSSZ`."""
    signed_at_ms: EpochMs
    session_token: str | None = None
    expires_s: int | None = None
    """Only in the presigned form."""


def read(headers: Mapping[str, str], query: str) -> Signature:
    """The signature of a request, from its Authorization header or else its query string.

    Raises MissingAuthenticationToken when there is none, IncompleteSignature when it is malformed.
    """
    authorization = headers.get("authorization")
    if authorization is not None:
        return _read_header(authorization, headers)
    if "X-Amz-Signature=" in query or "X-Amz-Credential=" in query or "X-Amz-Algorithm=" in query:
        return _read_query(query)
    raise MissingAuthenticationToken()


def scope_service(headers: Mapping[str, str], query: str) -> str | None:
    """The service that the credential scope names, unjudged; None when there is no scope to read."""
    authorization = headers.get("authorization")
    if authorization is not None:
        credential = authorization.partition("Credential=")[2].partition(",")[0]
    elif "X-Amz-Credential=" in query:
        credential = unquote(query.partition("X-Amz-Credential=")[2].partition("&")[0])
    else:
        return None
    parts = credential.strip().split("/")
    return parts[-2] if len(parts) >= 5 else None


def is_region(text: str) -> bool:
    """Whether `text` has the form of a region's name."""
    return _REGION.fullmatch(text) is not None


def _read_header(authorization: str, headers: Mapping[str, str]) -> Signature:
    timestamp = headers.get("x-amz-date")
    head, value = authorization[:-_VALUE_LENGTH], authorization[-_VALUE_LENGTH:]
    if timestamp and value.isalnum() and len(head) <= _MAX_USUAL_LENGTH:
        known = _usual_head(head)
        if known is not None:
            return _signature(*known, value, timestamp, headers.get("x-amz-security-token"), None)
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignature(f"Unsupported AWS 'algorithm': '{algorithm}'.")
    fields: dict[str, str] = {}
    for pair in rest.split(","):
        name, equals, value = pair.strip().partition("=")
        if not equals:
            raise IncompleteSignature(
                f"'{pair.strip()}' not a valid key=value pair (missing equal-sign) in Authorization header: "
                f"'{authorization}'."
            )
        fields[name] = value
    missing = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not fields.get(name)
    ]
    timestamp = headers.get("x-amz-date") or headers.get("date")
    if timestamp is None:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing or timestamp is None:
        raise IncompleteSignature(f"{' '.join(missing)} Authorization={authorization}")
    return _signature(
        fields["Credential"],
        fields["SignedHeaders"],
        fields["Signature"],
        timestamp,
        headers.get("x-amz-security-token"),
        None,
    )


@lru_cache(maxsize=1024)
def _usual_head(head: str) -> tuple[str, str] | None:
    """Credential and signed headers of an Authorization header without the signature's value, as SDKs write
    it; None when it may be another way. Cached: it is the same for all that a client sends in a day."""
    found = _USUAL_HEAD.fullmatch(head)
    return None if found is None else (found[1], found[2])


def _read_query(query: str) -> Signature:
    fields = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name.startswith("X-Amz-"):
            fields[name] = unquote(value)
    required = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
    missing = [
        f"AWS query-string parameters must include 'X-Amz-{name}'."
        for name in required
        if not fields.get(f"X-Amz-{name}")
    ]
    if missing:
        raise IncompleteSignature(f"{' '.join(missing)} Re-examine the query-string parameters.")
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise IncompleteSignature(f"Unsupported AWS 'algorithm': '{fields['X-Amz-Algorithm']}'.")
    expires = fields["X-Amz-Expires"]
    if not (expires.isascii() and expires.isdigit()) or not expires.strip("0"):
        raise IncompleteSignature(f"X-Amz-Expires should be a positive number of seconds, got '{expires}'.")
    if len(expires) > 9 or int(expires) > MAX_EXPIRES_S:
        raise IncompleteSignature(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be "
            f"less than {MAX_EXPIRES_S} seconds"
        )
    return _signature(
        fields["X-Amz-Credential"],
        fields["X-Amz-SignedHeaders"],
        fields["X-Amz-Signature"],
        fields["X-Amz-Date"],
        fields.get("X-Amz-Security-Token"),
        int(expires),
    )


def _signature(
    credential: str,
    signed_headers: str,
    value: str,
    timestamp: str,
    session_token: str | None,
    expires_s: int | None,
) -> Signature:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{credential}'"
        )
    if f";{signed_headers};".find(";host;") < 0:
        raise InvalidSignature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    basic, signed_at_ms = _instant(timestamp)
    return Signature(
        access_key_id=parts[0],
        date=parts[1],
        region=Region(parts[2]),
        service=parts[3],
        terminator=parts[4],
        signed_headers=signed_headers,
        value=value,
        timestamp=basic,
        signed_at_ms=signed_at_ms,
        session_token=session_token,
        expires_s=expires_s,
    )


@lru_cache(maxsize=64)
def _instant(timestamp: str) -> tuple[str, EpochMs]:
    """A date as ISO 8601 basic format and as milliseconds. Cached: many requests are signed in one second."""
    for form in ("%Y%m%dT%H%M%SZ", "%a, %d %b %Y %H:%M:%S GMT"):
        try:
            moment = datetime.strptime(timestamp, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return moment.strftime("%Y%m%dT%H%M%SZ"), EpochMs(int(moment.timestamp()) * 1000)
    raise IncompleteSignature(
        f"Date must be in ISO-8601 'basic format'. Got '{timestamp}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )


def check_scope(signature: Signature, service: str) -> None:
    """Raises InvalidSignature, saying all that is wrong, when the scope is not one for `service`."""
    if (
        signature.service == service
        and signature.terminator == _TERMINATOR
        and signature.timestamp.startswith(signature.date)
        and len(signature.date) == 8
        and _REGION.fullmatch(signature.region)
    ):
        return
    wrong = []
    if not _REGION.fullmatch(signature.region):
        wrong.append(f"Credential should be scoped to a valid region, not '{signature.region}'. ")
    if signature.service != service:
        wrong.append(f"Credential should be scoped to correct service: '{service}'. ")
    if signature.terminator != _TERMINATOR:
        wrong.append(
            f"Credential should be scoped with a valid terminator: '{_TERMINATOR}', not "
            f"'{signature.terminator}'. "
        )
    if signature.timestamp[:8] != signature.date:
        wrong.append(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{signature.date}' != '{signature.timestamp[:8]}', from '{signature.timestamp}'. "
        )
    raise InvalidSignature("".join(wrong))


def check_time(signature: Signature, now_ms: EpochMs) -> None:
    """Raises InvalidSignature when the signature is not yet valid or no longer: five minutes either way, and
    `expires_s` for a presigned one."""
    ahead_ms = signature.signed_at_ms - now_ms
    if ahead_ms > CLOCK_SKEW_MS:
        raise InvalidSignature(
            f"Signature not yet current: {signature.timestamp} is still later than "
            f"{_basic(now_ms + CLOCK_SKEW_MS)} ({_basic(now_ms)} + {CLOCK_SKEW_MS // 60_000} min.)"
        )
    if signature.expires_s is not None:
        end_ms = signature.signed_at_ms + signature.expires_s * 1000
        if now_ms > end_ms:
            raise InvalidSignature(
                f"Signature expired: {_basic(end_ms)} is now earlier than {_basic(now_ms)}"
            )
    elif -ahead_ms > CLOCK_SKEW_MS:
        raise InvalidSignature(
            f"Signature expired: {signature.timestamp} is now earlier than "
            f"{_basic(now_ms - CLOCK_SKEW_MS)} ({_basic(now_ms)} - {CLOCK_SKEW_MS // 60_000} min.)"
        )


def _basic(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key that signs for one day, region and service."""
    key = hmac.digest(b"AWS4" + secret.encode(), date.encode(), "sha256")
    for part in (region, service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def check_value(
    signature: Signature,
    secret: str,
    keys: SigningKeys,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
) -> None:
    """Recomputes the signature of a request, path and query as sent, and compares in constant time.

    Derived signing keys are looked up in and added to `keys`. Raises InvalidSignature.
    """
    _check_signed_headers(headers, signature.signed_headers)
    place = (secret, signature.date, signature.region, signature.service)
    key = keys.get(place)
    if key is None:
        key = keys[place] = hmac.new(signing_key(*place), digestmod="sha256")
    payload = _payload_hash(signature, headers, query, body)
    canonical = canonical_request(method, path, query, headers, signature.signed_headers, payload)
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    text = (
        f"{ALGORITHM}\n{signature.timestamp}\n"
        f"{signature.date}/{signature.region}/{signature.service}/{_TERMINATOR}\n{digest}"
    )
    calculated = key.copy()  # which has taken the key in: half of the work
    calculated.update(text.encode())
    if not hmac.compare_digest(calculated.hexdigest().encode(), signature.value.encode()):
        raise InvalidSignature(_MISMATCH)


def _check_signed_headers(headers: Mapping[str, str], signed_headers: str) -> None:
    """All of AWS's own headers must be signed; the body's hash proves itself."""
    names = f";{signed_headers};"
    for name in headers:
        if name[:6] == "x-amz-" and f";{name};" not in names and name != "x-amz-content-sha256":
            raise InvalidSignature(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def _payload_hash(signature: Signature, headers: Mapping[str, str], query: str, body: bytes) -> str:
    """What the canonical request says of the body. Always the body's own hash, whatever a header claims, but
    for presigned requests that say, under signature, that theirs is unsigned."""
    actual = hashlib.sha256(body).hexdigest() if body else _EMPTY_SHA256
    claimed = headers.get("x-amz-content-sha256")
    if claimed is None and signature.expires_s is not None and "X-Amz-Content-Sha256=" in query:
        claimed = query.partition("X-Amz-Content-Sha256=")[2].partition("&")[0]
    if claimed is None or claimed == actual:
        return actual
    if claimed.startswith("STREAMING-"):
        raise InvalidSignature(
            f"x-amz-content-sha256 '{claimed}' is not supported: the payload must be signed as a whole."
        )
    if claimed == UNSIGNED_PAYLOAD and signature.expires_s is not None:
        return claimed
    raise InvalidSignature("The provided 'x-amz-content-sha256' header does not match what was computed.")


def canonical_request(
    method: str, path: str, query: str, headers: Mapping[str, str], signed_headers: str, payload_hash: str
) -> str:
    """The canonical request. Headers that are signed but absent count as empty, so their signature fails."""
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed_headers.split(";")]
    return (
        f"{method}\n{canonical_path(path)}\n{canonical_query(query) if query else ''}\n"
        f"{''.join(lines)}\n{signed_headers}\n{payload_hash}"
    )


def canonical_path(path: str) -> str:
    """The path as sent, dot segments and empty segments removed, percent-encoded once more."""
    if _UNRESERVED_PATH.fullmatch(path):
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    tail = "/" if kept and path.endswith("/") else ""
    return quote(f"/{'/'.join(kept)}{tail}", safe="/~", encoding="latin-1")


def canonical_query(query: str) -> str:
    """The pairs of the query string, encoded anew and sorted, without the signature itself."""
    pairs = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if pair and name != "X-Amz-Signature":
            pairs.append((_encode(name), _encode(value)))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*")


def _encode(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return quote(unquote(text, errors="surrogateescape"), safe="~", errors="surrogateescape")
