"""Receipt handles come back whole, and are made up by nobody."""

from base64 import b64decode, b64encode

from hypothesis import given
from hypothesis import strategies as st

from squib.model.receipt import Receipt, seal, unseal
from squib.model.units import EpochMs

LONG = st.integers(0, 2**63 - 1)
RECEIPT = Receipt(7, 11, EpochMs(13), 17)
SECRET = b"k" * 16


@given(st.builds(Receipt, LONG, LONG, LONG.map(EpochMs), st.integers(0, 2**32 - 1)))
def test_a_handle_holds_its_receipt(receipt: Receipt) -> None:
    assert unseal(seal(receipt, SECRET), receipt.queue_id, SECRET) == receipt


def test_handles_of_others_and_changed_ones_are_none() -> None:
    handle = seal(RECEIPT, SECRET)
    assert unseal(handle, 8, SECRET) is None
    assert unseal(handle, 7, b"other") is None
    packed = b64decode(handle)
    for position in range(len(packed)):
        changed = bytearray(packed)
        changed[position] ^= 1
        assert unseal(b64encode(changed).decode(), 7, SECRET) is None
    for text in ("", "x", "ü", handle[:-4], handle + "AAAA", "%%%%"):
        assert unseal(text, 7, SECRET) is None
