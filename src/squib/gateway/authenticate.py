"""Who signed a call: the shell of `iam.sigv4`, with access keys looked up and signing keys remembered."""

import hmac
import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from squib.iam import sigv4
from squib.model.errors import AccessDenied, ApiError, ExpiredToken, UnrecognizedClient
from squib.model.identity import ANONYMOUS, AccessKey, root_principal
from squib.model.operation import AuthenticatedCall, RawRequest, RoutedCall
from squib.model.units import AccountId, EpochMs, Region

_MAX_SIGNING_KEYS: Final = 1_024  # our own choice: a key is ~1 KB and takes 6 us to derive anew
_UNSIGNED: Final = frozenset((("sts", "AssumeRoleWithWebIdentity"),))
"""What nobody signs, as the caller has no key yet (STS reference)."""
_ACCOUNT: Final = re.compile(r"[0-9]{12}")


class Credentials(Protocol):
    """Every access key that may sign now, long-lived and temporary."""

    def find(self, access_key_id: str, session_token: str | None = None) -> AccessKey | None:
        """The key of that id; None when there is none. The token is for keys that are found by it; it is not
        compared. Answers from memory."""

    def used(self, key: AccessKey, service: str, region: str, at_ms: EpochMs) -> None:
        """A key has signed a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How calls are believed."""

    trust_any_credentials: bool = False
    """Verify next to nothing: see `Authenticator`."""
    default_account_id: AccountId
    default_region: Region


class Authenticator:
    """Finds the principal of a call.

    With `trust_any_credentials` nothing is verified and nothing need be signed. Everybody is the root of an
    account: of a known key's own, of the one that a key id of twelve digits spells, else of the default one.
    But for functions, which have keys of their own and no trust, and web pages, which whoever runs squib only
    looks at.
    """

    def __init__(self, credentials: Credentials, trust: Trust) -> None:
        self._credentials = credentials
        self._trust = trust
        self._signing_keys: dict[tuple[str, str, str, str], hmac.HMAC] = {}

    def authenticate(self, call: RoutedCall) -> AuthenticatedCall:
        """The call with its signer. Raises MissingAuthenticationToken, IncompleteSignature, InvalidSignature,
        UnrecognizedClient, ExpiredToken or AccessDenied."""
        if (call.service, call.operation) in _UNSIGNED:
            return AuthenticatedCall(
                routed=call, principal=ANONYMOUS, access_key_id="", region=self._trust.default_region
            )
        if self._trust.trust_any_credentials and not call.request.from_function:
            return self._believe(call)
        request = call.request
        signature = sigv4.read(request.headers, request.query)
        sigv4.check_scope(signature, call.service)
        sigv4.check_time(signature, request.received_at_ms)
        key = self._credentials.find(signature.access_key_id, signature.session_token)
        if key is None or not _same_token(key.session_token, signature.session_token):
            raise UnrecognizedClient()
        if len(self._signing_keys) >= _MAX_SIGNING_KEYS:
            self._signing_keys.clear()
        sigv4.check_value(
            signature,
            key.secret_access_key,
            self._signing_keys,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
        )
        if key.expires_at_ms is not None and request.received_at_ms >= key.expires_at_ms:
            raise ExpiredToken()
        self._credentials.used(key, call.service, signature.region, request.received_at_ms)
        return AuthenticatedCall(
            routed=call,
            principal=key.principal,
            access_key_id=signature.access_key_id,
            region=signature.region,
        )

    def _believe(self, call: RoutedCall) -> AuthenticatedCall:
        _refuse_web_page(call.request)
        access_key_id, region = "", self._trust.default_region
        try:
            signature = sigv4.read(call.request.headers, call.request.query)
            access_key_id = signature.access_key_id
            region = signature.region if sigv4.is_region(signature.region) else region
        except ApiError:
            pass  # unsigned, or signed in some other way: believed all the same
        key = self._credentials.find(access_key_id)
        if key is not None:
            account_id = key.principal.account_id
        elif _ACCOUNT.fullmatch(access_key_id):
            account_id = AccountId(access_key_id)
        else:
            account_id = self._trust.default_account_id
        return AuthenticatedCall(
            routed=call, principal=root_principal(account_id), access_key_id=access_key_id, region=region
        )


def _refuse_web_page(request: RawRequest) -> None:
    """Raises AccessDenied for what a browser sends for somebody's page: it names the page's origin,
    or takes squib for a host whose name the page's owner has made point here."""
    if "origin" in request.headers:
        raise AccessDenied(
            "Requests of web pages (with an Origin header) are refused while any credentials are trusted."
        )
    host = request.headers.get("host", "")
    if host and not _is_own(host, request.base_url):
        raise AccessDenied(
            f"The Host header '{host[:255]}' names neither a loopback address nor the one that squib listens "
            "on; others are refused while any credentials are trusted."
        )


def _is_own(host: str, base_url: str) -> bool:
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
        if name == "localhost" or name.endswith(".localhost") or name == urlsplit(base_url).hostname:
            return True
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _same_token(expected: str | None, given: str | None) -> bool:
    """A long-lived key takes no token; a temporary one only its own."""
    if expected is None or given is None:
        return expected is None and given is None
    return hmac.compare_digest(expected.encode(), given.encode())
