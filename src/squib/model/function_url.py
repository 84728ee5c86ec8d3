"""The URL of a function or alias: an HTTP endpoint of its own."""

from collections.abc import Sequence
from typing import Final

import msgspec

from squib.model.function import FunctionKey
from squib.model.item import ItemKey, Kind
from squib.model.units import EpochMs

BUFFERED: Final = "BUFFERED"
NONE: Final = "NONE"
AWS_IAM: Final = "AWS_IAM"


class Cors(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which web pages may read the answers. None: not set, and not shown."""

    allow_credentials: bool | None = None
    allow_headers: Sequence[str] | None = None
    allow_methods: Sequence[str] | None = None
    allow_origins: Sequence[str] | None = None
    expose_headers: Sequence[str] | None = None
    max_age_s: int | None = None


class FunctionUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A function URL as declared."""

    function: FunctionKey
    qualifier: str | None = None
    """An alias's name; None: the function itself."""
    url_id: str
    """The first label of its host name."""
    auth_type: str
    """`NONE` or `AWS_IAM`."""
    invoke_mode: str = BUFFERED
    cors: Cors | None = None
    created_at_ms: EpochMs
    modified_at_ms: EpochMs


FUNCTION_URLS: Final = Kind("function_url", ItemKey, FunctionUrl)
"""Named FUNCTION or FUNCTION:ALIAS."""


PATH_PREFIX: Final = "/_squib/url/"
"""Paths below which every URL is served too: for machines whose names do not lead to squib."""


class FunctionUrlAddress(msgspec.Struct, frozen=True):
    """Where function URLs are served."""

    domain: str | None = None
    """What follows `.lambda-url.REGION.` in their host names; None: they are given by path."""

    def url(self, base_url: str, url: FunctionUrl) -> str:
        """The address of one; `base_url` is squib's own, `http://HOST:PORT`."""
        if self.domain is None:
            return f"{base_url}{PATH_PREFIX}{url.url_id}/"
        scheme, _, authority = base_url.partition("://")
        port = authority[authority.rfind("]") + 1 :].partition(":")[2]
        host = f"{url.url_id}.lambda-url.{url.function.region}.{self.domain}"
        return f"{scheme}://{host}{f':{port}' if port else ''}/"
