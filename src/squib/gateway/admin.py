"""squib's own pages under `/_squib/`: unsigned, read only, about the process and no account."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from squib.model.operation import RawRequest

PREFIX: Final = "/_squib/"

Headers: TypeAlias = Sequence[tuple[str, str]]
Page: TypeAlias = Callable[[RawRequest], Awaitable[tuple[int, Headers, bytes]]]
"""Takes a request; answers status, headers and body. What needs protection protects itself."""


class Admin:
    """The table of pages: path prefix -> page, the longest prefix of a path counts."""

    def __init__(
        self, is_ready: Callable[[], bool], not_built: Mapping[str, int], pages: Mapping[str, Page]
    ) -> None:
        """`pages` are further ones; their prefixes begin with `/_squib/`. `not_built` is not copied."""
        self._is_ready = is_ready
        self._not_built = not_built
        own: dict[str, Page] = {
            f"{PREFIX}health": self._health,
            f"{PREFIX}ready": self._ready,
            f"{PREFIX}not-built": self._count_not_built,
        }
        self._pages = dict(sorted({**own, **pages}.items(), key=lambda row: -len(row[0])))

    async def answer(self, request: RawRequest) -> tuple[int, Headers, bytes]:
        """The page of a request: 404 when there is none, 405 for anything but GET and HEAD."""
        if request.method not in ("GET", "HEAD"):
            status, headers, body = _json(405, {"message": "squib's own pages are only read"})
            return status, [*headers, ("Allow", "GET, HEAD")], body
        for prefix, page in self._pages.items():
            if request.path == prefix or (request.path.startswith(prefix) and prefix.endswith("/")):
                return await page(request)
        return _json(404, {"message": "no such page"})

    async def _health(self, request: RawRequest) -> tuple[int, Headers, bytes]:
        return _json(200, {"status": "ok"})

    async def _ready(self, request: RawRequest) -> tuple[int, Headers, bytes]:
        return _json(200, {"ready": True}) if self._is_ready() else _json(503, {"ready": False})

    async def _count_not_built(self, request: RawRequest) -> tuple[int, Headers, bytes]:
        return _json(200, self._not_built)


def _json(status: int, value: Mapping[str, object]) -> tuple[int, Headers, bytes]:
    return status, [("Content-Type", "application/json")], msgspec.json.encode(value)
