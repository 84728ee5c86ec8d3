"""CBOR (RFC 8949), as far as AWS's rpc-v2-cbor protocol has it: the values of JSON, bytes, and times (tag 1).

Own and small rather than a library's: bytes of strangers are read before anybody is known, so no other tag
is taken, nothing is made that was not sent, and depth has a bound.
"""

import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

MAX_DEPTH: Final = 32  # our own choice: no member of the models lies deeper

_BREAK: Final = 0xFF
_EPOCH_TAG: Final = 1
_SIMPLE: Final = {20: False, 21: True, 22: None, 23: None}
_FLOATS: Final = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}


class NotCbor(ValueError):
    """The bytes are not one value of the kind read here."""


def decode(data: bytes) -> Any:
    """The value that `data` is, times as numbers of seconds. Raises NotCbor."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise NotCbor("there is more than one value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise NotCbor("nested too deeply")
        first = self._take(1)[0]
        major, info = first >> 5, first & 31
        match major:
            case 0:
                return self._argument(info)
            case 1:
                return -1 - self._argument(info)
            case 2 | 3:
                content = self._string(major, info)
                return content if major == 2 else _text(content)
            case 4:
                return list(self._items(info, lambda: self.value(depth + 1)))
            case 5:
                return dict(self._items(info, lambda: self._pair(depth + 1)))
            case 6:
                if self._argument(info) != _EPOCH_TAG:
                    raise NotCbor("a tag that is not a time's")
                moment = self.value(depth + 1)
                if isinstance(moment, bool) or not isinstance(moment, int | float):
                    raise NotCbor("a time that is no number")
                return moment
            case _:
                if info in _FLOATS:
                    form, size = _FLOATS[info]
                    return struct.unpack(form, self._take(size))[0]
                if info not in _SIMPLE:
                    raise NotCbor("an unknown simple value")
                return _SIMPLE[info]

    def _pair(self, depth: int) -> tuple[str, Any]:
        key = self.value(depth)
        if not isinstance(key, str):
            raise NotCbor("a key that is no text")
        return key, self.value(depth)

    def _items(self, info: int, one: Callable[[], Any]) -> list[Any]:
        items = []
        if info == 31:
            while not self._is_break():
                items.append(one())
            return items
        for _ in range(self._argument(info)):
            items.append(one())
        return items

    def _string(self, major: int, info: int) -> bytes:
        if info != 31:
            return self._take(self._argument(info))
        parts = []
        while not self._is_break():
            first = self._take(1)[0]
            if first >> 5 != major or first & 31 == 31:
                raise NotCbor("a string in pieces of another kind")
            parts.append(self._take(self._argument(first & 31)))
        return b"".join(parts)

    def _is_break(self) -> bool:
        if self._data[self.at : self.at + 1] == bytes((_BREAK,)):
            self.at += 1
            return True
        return False

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise NotCbor("an impossible length")
        return int.from_bytes(self._take(1 << (info - 24)), "big")

    def _take(self, size: int) -> bytes:
        taken = self._data[self.at : self.at + size]
        if len(taken) != size:
            raise NotCbor("it ends too early")
        self.at += size
        return taken


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise NotCbor("a text that is not UTF-8") from None


def encode(value: Any) -> bytes:
    """A value as CBOR; datetimes become times."""
    parts: list[bytes] = []
    _write(value, parts.append)
    return b"".join(parts)


def _write(value: Any, add: Callable[[bytes], None]) -> None:
    match value:
        case None:
            add(b"\xf6")
        case bool():
            add(b"\xf5" if value else b"\xf4")
        case int():
            add(_head(0, value) if value >= 0 else _head(1, -1 - value))
        case float():
            add(b"\xfb" + struct.pack(">d", value))
        case str():
            content = value.encode()
            add(_head(3, len(content)) + content)
        case bytes():
            add(_head(2, len(value)) + value)
        case datetime():
            add(_head(6, _EPOCH_TAG))
            _write(value.timestamp(), add)
        case Mapping():
            add(_head(5, len(value)))
            for key, item in value.items():
                _write(key, add)
                _write(item, add)
        case list() | tuple():
            add(_head(4, len(value)))
            for item in value:
                _write(item, add)
        case _:
            raise TypeError(f"{type(value).__name__} has no place in CBOR")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes(((major << 5) | number,))
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes(((major << 5) | info,)) + number.to_bytes(size, "big")
    raise OverflowError("a number of more than 64 bits")
