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


class _Block:
    """One header block: what it says, and the request line seen with it last."""

    __slots__ = ("fields", "line", "size", "target")

    def __init__(self, fields: Mapping[str, str], size: int) -> None:
        self.fields = fields
        self.size = size  # of the body
        self.line = b""
        self.target = ("", "", "")  # method, path, query


class KnownHeads:
    """The header blocks of one connection's last requests."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[bytes, _Block] = {}

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
        self._blocks[data[data.find(b"\r\n") : end]] = _Block(headers, size)

    def recognize(self, data: bytes) -> tuple[str, str, str, Mapping[str, str], bytes] | None:
        """Method, path, query, headers and body when `data` is one whole request with known headers."""
        end = data.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES)
        line_end = data.find(b"\r\n", 0, end + 2)
        block = self._blocks.get(data[line_end:end])
        if block is None or len(data) != end + 4 + block.size:
            return None
        line = data[:line_end]
        if line != block.line:
            parts = _REQUEST_LINE.fullmatch(line)
            if parts is None:
                return None
            block.line = line
            block.target = (parts[1].decode(), parts[2].decode(), (parts[3] or b"").decode())
        return *block.target, block.fields, data[end + 4 :]
