"""CBOR against the examples of RFC 8949, whatever can be encoded, and bytes that nobody meant."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.gateway.wire.cbor import MAX_DEPTH, NotCbor, decode, encode

EXAMPLES = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("1903e8", 1000),
    ("1bffffffffffffffff", 2**64 - 1),
    ("20", -1),
    ("3903e7", -1000),
    ("fb3ff199999999999a", 1.1),
    ("f93c00", 1.0),
    ("fa47c35000", 100_000.0),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("f7", None),
    ("c11a514b67b0", 1_363_896_240),
    ("c1fb41d452d9ec200000", 1_363_896_240.5),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("62c3bc", "ü"),
    ("83010203", [1, 2, 3]),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
    ("7f657374726561646d696e67ff", "streaming"),
    ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
    ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
]  # RFC 8949, Appendix A

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(("text", "value"), EXAMPLES)
def test_the_examples_of_the_standard_are_read(text: str, value: Any) -> None:
    assert decode(bytes.fromhex(text)) == value


@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert decode(encode(value)) == value


def test_times_are_tagged_and_read_as_seconds() -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 500_000, UTC)
    assert encode(moment) == b"\xc1\xfb" + struct.pack(">d", moment.timestamp())
    assert decode(encode([moment])) == [moment.timestamp()]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0000",  # two values
        "ff",
        "18",
        "1c",
        "62c3",
        "61ff",  # no UTF-8
        "a1",
        "a10102",  # a key that is no text
        "9f01",
        "c001",  # another tag
        "c16161",
        "c1f5",
        "5f6161ff",  # pieces of another kind
        "5f5fffff",
        "f820",
        "9bffffffffffffffff",  # a list longer than any
        "5bffffffffffffffff00",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(NotCbor):
        decode(bytes.fromhex(text))


def test_depth_has_a_bound() -> None:
    assert decode(b"\x81" * MAX_DEPTH + b"\x00")
    with pytest.raises(NotCbor):
        decode(b"\x81" * (MAX_DEPTH + 1) + b"\x00")
    with pytest.raises(NotCbor):
        decode(b"\x81" * 100_000)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except NotCbor:
        pass


def test_what_has_no_place_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError):
        encode(object())
    with pytest.raises(OverflowError):
        encode(2**64)
