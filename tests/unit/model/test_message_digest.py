"""Digests and sizes of messages, by values that SDKs check answers against."""

import hashlib
import struct

from squib.model.message_digest import attributes_md5, body_md5, message_bytes
from squib.model.queue import MessageAttribute


def part(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def test_a_body_is_digested_as_utf_8() -> None:
    assert body_md5("hi") == "49f68a5c8493ec2c0bf489821c21fc3b"
    assert body_md5("ü") == hashlib.md5("ü".encode()).hexdigest()


def test_attributes_are_digested_by_name_with_their_lengths() -> None:
    attributes = {"b": MessageAttribute("Binary", data=b"\0\1"), "a": MessageAttribute("String.x", "ü")}
    expected = (
        part(b"a") + part(b"String.x") + b"\1" + part("ü".encode())
        + part(b"b") + part(b"Binary") + b"\2" + part(b"\0\1")
    )  # fmt: skip
    assert attributes_md5(attributes) == hashlib.md5(expected).hexdigest()
    assert attributes_md5({"x": MessageAttribute("String", "v")}) == "87830d60ab2150f9348b9e26b86f8fde"


def test_a_message_counts_its_body_and_all_of_its_attributes() -> None:
    assert message_bytes("ü", {}) == 2
    assert message_bytes("x", {"ab": MessageAttribute("Binary", data=b"123")}) == 1 + 2 + 6 + 3
