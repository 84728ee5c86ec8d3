"""The OpenID Connect issuer whose tokens AssumeRoleWithWebIdentity takes: the check of a token.

One issuer is configured for all accounts, in place of AWS's OpenID Connect providers: its keys come from a
JWKS file or URL. RS256 and ES256 alone are taken; the library verifies the signature, the times are judged
here by squib's own clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from squib.clock import Clock
from squib.control_plane.sts.issuer_keys import NO_KEY, IssuerKeys
from squib.model.identity_errors import (
    ExpiredIdentityToken,
    InvalidIdentityToken,
)
from squib.model.units import EpochMs

ALGORITHMS: Final = ("RS256", "ES256")
_CLOCK_SKEW_S: Final = 300  # as for signatures
_BAD_SIGNATURE: Final = "The ID Token's signature is not valid."


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
        self._options = options
        self._keys = IssuerKeys(options.jwks, clock)

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
        except (jwt.PyJWTError, RecursionError):
            raise InvalidIdentityToken("The ID Token provided is not a valid JWT.") from None
        if header.get("alg") not in ALGORITHMS:
            raise InvalidIdentityToken(f"Unsupported signature algorithm: {header.get('alg')}")
        if claimed.get("iss") != self._options.url:
            raise InvalidIdentityToken(
                f"No OpenIDConnect provider found in your account for {claimed.get('iss')}"
            )
        key = await self._keys.find(header.get("kid"))
        if key is None:
            raise InvalidIdentityToken(NO_KEY)
        if key.algorithm_name != header["alg"]:  # a key is for one algorithm (RFC 8725, section 3.1)
            raise InvalidIdentityToken(_BAD_SIGNATURE)
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
            raise InvalidIdentityToken(_BAD_SIGNATURE) from None
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
