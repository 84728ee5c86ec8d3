"""Public keys of an OpenID Connect issuer, from a JWKS file or URL.

Who asks for a key that is known does not wait. A URL leads where it says: redirects are not followed, an
answer has a size and a time, and one that takes for ever keeps one thread, and no caller.
"""

import asyncio
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt

from squib.clock import Clock
from squib.model.identity_errors import IdentityProviderUnreachable

NO_KEY: Final = (
    "Couldn't retrieve verification key from your identity provider, please reference "
    "AssumeRoleWithWebIdentity documentation for requirements"
)
_MAX_JWKS_BYTES: Final = 1024 * 1024
_FETCH_TIMEOUT_S: Final = 5.0
_FRESH_MS: Final = 300_000  # our own choice: how long keys are used without asking again
_RETRY_MS: Final = 10_000  # and how long until an unknown key makes squib ask again
_STALE_MS: Final = 3_600_000  # and how long while the issuer does not answer
_KINDS: Final = frozenset(("RSA", "EC"))  # what has a public half


class IssuerKeys:
    """The keys at one place. On the event loop; they are fetched beside it."""

    def __init__(self, place: str, clock: Clock, *, timeout_s: float = _FETCH_TIMEOUT_S) -> None:
        self._place, self._clock, self._timeout_s = place, clock, timeout_s
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._asked_at_ms = self._had_at_ms = float("-inf")
        self._loading = asyncio.Lock()
        self._is_fetching = False

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key of an id; the only one for a token that names none. Raises IdentityProviderUnreachable."""
        if not self._is_known(kid) or self._age_ms > _FRESH_MS:
            async with self._loading:
                is_known = self._is_known(kid)
                if self._age_ms > (_FRESH_MS if is_known else _RETRY_MS):
                    await self._ask(may_fail=is_known)
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _is_known(self, kid: str | None) -> bool:
        return kid in self._keys if kid is not None else bool(self._keys)

    @property
    def _age_ms(self) -> float:
        return self._clock.monotonic_ms() - self._asked_at_ms

    async def _ask(self, *, may_fail: bool) -> None:
        """`may_fail`: the key of before does, for a time, until the issuer is there again."""
        self._asked_at_ms = self._clock.monotonic_ms()
        try:
            self._keys = await self._fetch()
            self._had_at_ms = self._asked_at_ms
        except IdentityProviderUnreachable:
            if self._asked_at_ms - self._had_at_ms > _STALE_MS:
                self._keys = {}
            if not may_fail or not self._keys:
                raise

    async def _fetch(self) -> Mapping[str, jwt.PyJWK]:
        if self._is_fetching:
            raise IdentityProviderUnreachable(NO_KEY)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Mapping[str, jwt.PyJWK]] = loop.create_future()

        def tell(keys: Mapping[str, jwt.PyJWK] | None) -> None:
            self._is_fetching = False
            if answered.done():
                return
            if keys is None:
                answered.set_exception(IdentityProviderUnreachable(NO_KEY))
            else:
                answered.set_result(keys)

        def work() -> None:
            try:
                keys = _load(self._place, self._timeout_s)
            except (OSError, ValueError, TypeError, AttributeError, RecursionError, jwt.PyJWTError):
                keys = None
            try:
                loop.call_soon_threadsafe(tell, keys)
            except RuntimeError:  # the loop is closed: nobody waits any more
                pass

        # A daemon, for nothing ends a thread whose peer sends a byte now and then.
        self._is_fetching = True
        threading.Thread(target=work, name="issuer-keys", daemon=True).start()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answered
        except TimeoutError:
            raise IdentityProviderUnreachable(NO_KEY) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An issuer's answer is at the address that squib was given, or nowhere."""

    def redirect_request(self, *_: Any) -> None:
        """Nothing: the answer is an error then."""


def _load(place: str, timeout_s: float) -> Mapping[str, jwt.PyJWK]:
    """The public keys of a JWKS by their ids."""
    if place.startswith(("https://", "http://")):
        opener = urllib.request.build_opener(_NoRedirects)
        with opener.open(place, timeout=timeout_s) as answer:
            content = answer.read(_MAX_JWKS_BYTES + 1)
        if len(content) > _MAX_JWKS_BYTES:
            raise ValueError("larger than any set of keys")
    else:
        content = Path(place).read_bytes()
    found = jwt.PyJWKSet.from_json(content.decode())
    return {key.key_id or "": key for key in found.keys if key.key_type in _KINDS}
