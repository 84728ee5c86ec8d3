"""Recognizing requests whose headers were parsed before on the same connection, byte for byte.

A runtime's requests differ in the request id and the body only. Parsing them anew costs more than all else
that is done for them, so the header fields of the last few requests are kept by their bytes. What is not
recognized for certain goes to the parser.
"""

import re
from collections.abc import Mapping
from typing import Final

_MAX_HEAD_BYTES: Final = 2048
_MAX_KNOWN: Final = 4  # squib's choice: a runtime has two kinds of request, a client that repeats itself one
_REQUEST_LINE: Final = re.compile(rb"(GET|POST) (/[A-Za-z0-9/._~%-]*)(?:\?([A-Za-z0-9/._~%=&-]*))? HTTP/1\.1")
_UNUSUAL: Final = frozenset({"transfer-encoding", "expect", "upgrade", "trailer"})


class KnownHeads:
    """The header blocks of one connection's last requests."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[bytes, tuple[Mapping[str, str], int]] = {}  # -> fields, body size

    def learn(self, data: bytes, headers: Mapping[str, str]) -> None:
        """Notes the headers of `data`, which the parser took for one whole request."""
        end = data.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES)
        if end < 0 or not _UNUSUAL.isdisjoint(headers):
            return
        if headers.get("connection", "keep-alive").lower() != "keep-alive":
            return
        size = int(headers.get("content-length", "0"))
        if len(data) != end + 4 + size:
            return
        if len(self._blocks) >= _MAX_KNOWN:
            self._blocks.clear()
        self._blocks[data[data.find(b"\r\n") : end]] = headers, size

    def recognize(self, data: bytes) -> tuple[str, str, str, Mapping[str, str], bytes] | None:
        """Method, path, query, headers and body when `data` is one whole request with known headers."""
        end = data.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES)
        line_end = data.find(b"\r\n", 0, end + 2)
        known = self._blocks.get(data[line_end:end])
        if known is None or len(data) != end + 4 + known[1]:
            return None
        line = _REQUEST_LINE.fullmatch(data, 0, line_end)
        if line is None:
            return None
        method, path, query = line.groups()
        return (
            method.decode(),
            path.decode(),
            query.decode() if query else "",
            known[0],
            data[end + 4 :],
        )
