"""MD5 digests of messages, and what a message counts against size limits (SQS developer guide, "Calculating
the MD5 message digest for message attributes")."""

import hashlib
import struct
from typing import Final

from squib.model.queue import Attributes

_STRING: Final = b"\x01"
_BINARY: Final = b"\x02"


def body_md5(body: str) -> str:
    """Hex digest of the body's UTF-8."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def attributes_md5(attributes: Attributes) -> str:
    """Hex digest of attributes: by name, each part after its length."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        is_text = isinstance(attribute.value, str)
        for part in (_bytes(name), _bytes(attribute.data_type)):
            digest.update(struct.pack(">I", len(part)) + part)
        value = _bytes(attribute.value)
        digest.update((_STRING if is_text else _BINARY) + struct.pack(">I", len(value)))
        digest.update(value)
    return digest.hexdigest()


def message_bytes(body: str, attributes: Attributes) -> int:
    """What a message counts: its body and the names, types and values of its attributes."""
    size_bytes = text_bytes(body)
    for name, attribute in attributes.items():
        size_bytes += text_bytes(name) + text_bytes(attribute.data_type)
        value = attribute.value
        size_bytes += text_bytes(value) if isinstance(value, str) else len(value)
    return size_bytes


def text_bytes(text: str) -> int:
    """The length of a text's UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
