"""Where the code of a function can be fetched: links that prove themselves and end after ten minutes."""

import hmac
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs

from squib.clock import Clock
from squib.model.limits import CODE_LOCATION_LIFETIME_S
from squib.model.operation import RawRequest
from squib.model.units import ArchiveDigest
from squib.store.base import Blobs

PREFIX: Final = "/_squib/code/"
"""Paths that `CodeLocations.download` answers."""

_PLAIN: Final = (("content-type", "text/plain; charset=utf-8"),)


class CodeLocations:
    """Makes the links of GetFunction and serves them. They end with the process whose secret signed them."""

    def __init__(self, secret: bytes, clock: Clock, blobs: Blobs) -> None:
        self._secret = secret
        self._clock = clock
        self._blobs = blobs

    def url(self, base_url: str, digest: ArchiveDigest) -> str:
        """A link to the archive below `base_url`, good for CODE_LOCATION_LIFETIME_S."""
        expires = self._clock.now_ms() // 1000 + CODE_LOCATION_LIFETIME_S
        return f"{base_url}{PREFIX}{digest}?expires={expires}&signature={self._sign(digest, str(expires))}"

    async def download(self, request: RawRequest) -> tuple[int, Sequence[tuple[str, str]], bytes]:
        """Answers a GET below PREFIX with (status, headers, body)."""
        if request.method not in ("GET", "HEAD"):
            return 405, (*_PLAIN, ("allow", "GET, HEAD")), b"Only GET and HEAD are allowed here.\n"
        digest = ArchiveDigest(request.path.removeprefix(PREFIX))
        parameters = parse_qs(request.query)
        expires = parameters.get("expires", [""])[0]
        signature = parameters.get("signature", [""])[0]
        if not hmac.compare_digest(self._sign(digest, expires).encode(), signature.encode()):
            return 403, _PLAIN, b"The signature of this link does not match.\n"
        if self._clock.now_ms() >= int(expires) * 1000:
            return 403, _PLAIN, b"Request has expired\n"
        try:
            content = await self._blobs.read(digest)
        except FileNotFoundError:
            return 404, _PLAIN, b"This code is no longer used by any function.\n"
        return 200, (("content-type", "application/zip"),), content

    def _sign(self, digest: str, expires: str) -> str:
        return hmac.digest(self._secret, f"{digest} {expires}".encode(), "sha256").hex()
