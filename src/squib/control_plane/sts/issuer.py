"""The OpenID Connect issuer whose tokens AssumeRoleWithWebIdentity takes: its keys, and the check of a token.

One issuer is configured for all accounts, in place of AWS's OpenID Connect providers: its keys come from a
JWKS file or URL. RS256 and ES256 alone are taken; the library verifies the signature, the times are judged
here by squib's own clock.
"""

import asyncio
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt

from squib.clock import Clock
from squib.model.identity_errors import (
    ExpiredIdentityToken,
    IdentityProviderUnreachable,
    InvalidIdentityToken,
)
from squib.model.units import EpochMs

ALGORITHMS: Final = ("RS256", "ES256")
_MAX_JWKS_BYTES: Final = 1024 * 1024
_FETCH_TIMEOUT_S: Final = 5.0
_FRESH_MS: Final = 300_000  # our own choice: how long keys are used without asking again
_RETRY_MS: Final = 10_000  # and how long until an unknown key makes squib ask again
_CLOCK_SKEW_S: Final = 300  # as for signatures
_NO_KEY: Final = (
    "Couldn't retrieve verification key from your identity provider, please reference "
    "AssumeRoleWithWebIdentity documentation for requirements"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerOptions:
    """Who issues tokens, and for whom."""

    url: str
    """The `iss` of its tokens."""
    jwks: str
    """Where its public keys are: a file, or an https URL."""
    audience: str
    """The `aud` that tokens must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebIdentity:
    """Whom a token stands for, verified."""

    issuer: str
    """Without scheme: as condition keys and provider ARNs name it."""
    subject: str
    audience: str
    claims: Mapping[str, Any]


class Issuer:
    """Verifies tokens. On the event loop; keys are fetched beside it."""

    def __init__(self, options: IssuerOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._loaded_at_ms: float | None = None
        self._loading = asyncio.Lock()

    @property
    def name(self) -> str:
        """The issuer without scheme."""
        return self._options.url.split("://", 1)[1].rstrip("/")

    async def verify(self, token: str, now_ms: EpochMs) -> WebIdentity:
        """Whom the token stands for. Raises InvalidIdentityToken, ExpiredIdentityToken,
        IdentityProviderUnreachable. May wait for the issuer's keys."""
        try:
            header = jwt.get_unverified_header(token)
            claimed = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise InvalidIdentityToken("The ID Token provided is not a valid JWT.") from None
        if header.get("alg") not in ALGORITHMS:
            raise InvalidIdentityToken(f"Unsupported signature algorithm: {header.get('alg')}")
        if claimed.get("iss") != self._options.url:
            raise InvalidIdentityToken(
                f"No OpenIDConnect provider found in your account for {claimed.get('iss')}"
            )
        key = await self._key(header.get("kid"))
        if key is None:
            raise InvalidIdentityToken(_NO_KEY)
        return self._claims(token, key, header["alg"], now_ms)

    def _claims(self, token: str, key: jwt.PyJWK, algorithm: str, now_ms: EpochMs) -> WebIdentity:
        options: Any = {
            "require": ["iss", "sub", "aud", "exp", "iat"],
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        }
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._options.audience,
                issuer=self._options.url,
                options=options,
            )
        except jwt.InvalidAudienceError:
            raise InvalidIdentityToken("Incorrect token audience") from None
        except jwt.MissingRequiredClaimError as error:
            raise InvalidIdentityToken(f"Missing a required claim: {error.claim}") from None
        except (jwt.PyJWTError, TypeError, ValueError):
            raise InvalidIdentityToken("The ID Token's signature is not valid.") from None
        self._check_times(claims, now_ms // 1000)
        subject, audience = claims["sub"], claims.get("azp") or self._options.audience
        if not isinstance(subject, str) or not isinstance(audience, str) or not subject:
            raise InvalidIdentityToken("The ID Token's sub must be a string.")
        return WebIdentity(issuer=self.name, subject=subject, audience=audience, claims=claims)

    @staticmethod
    def _check_times(claims: Mapping[str, Any], now_s: int) -> None:
        for name in ("exp", "iat", "nbf"):
            value = claims.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise InvalidIdentityToken(f"The ID Token's {name} must be a number.")
        if now_s >= claims["exp"]:
            raise ExpiredIdentityToken(
                f"Token expired: current date/time {now_s} must be before the expiration date/time "
                f"{int(claims['exp'])}"
            )
        if max(claims["iat"], claims.get("nbf") or 0) > now_s + _CLOCK_SKEW_S:
            raise InvalidIdentityToken("The ID Token is not valid yet.")

    async def _key(self, kid: str | None) -> jwt.PyJWK | None:
        """The issuer's key of an id; its only one for a token that names none. Raises
        IdentityProviderUnreachable."""
        async with self._loading:
            age_ms = None if self._loaded_at_ms is None else self._clock.monotonic_ms() - self._loaded_at_ms
            is_known = kid in self._keys if kid is not None else bool(self._keys)
            if age_ms is None or age_ms > (_FRESH_MS if is_known else _RETRY_MS):
                self._loaded_at_ms = self._clock.monotonic_ms()
                try:
                    self._keys = await asyncio.to_thread(_load, self._options.jwks)
                except IdentityProviderUnreachable:
                    if not is_known:  # else the key of before does, until the issuer is there again
                        raise
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)


def _load(place: str) -> dict[str, jwt.PyJWK]:
    """The keys of a JWKS by their ids. Raises IdentityProviderUnreachable."""
    try:
        if place.startswith(("https://", "http://")):
            with urllib.request.urlopen(place, timeout=_FETCH_TIMEOUT_S) as answer:
                content = answer.read(_MAX_JWKS_BYTES)
        else:
            content = Path(place).read_bytes()
        found = jwt.PyJWKSet.from_json(content.decode())
    except (OSError, ValueError, TypeError, AttributeError, jwt.PyJWTError):
        raise IdentityProviderUnreachable(_NO_KEY) from None
    return {key.key_id or "": key for key in found.keys}
