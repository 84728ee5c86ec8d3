"""Sealed values open with their key, for their purpose, undamaged; and not otherwise."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.clock import SystemEntropy
from squib.model.errors import PlatformError
from squib.store.sealing import FILE_NAME, Seal, SealBroken

SEAL = Seal(b"k" * 32, SystemEntropy())


@given(st.binary(max_size=300), st.text(max_size=20))
def test_what_is_sealed_opens_again_and_shows_nothing(plain: bytes, purpose: str) -> None:
    sealed = SEAL.seal(plain, purpose=purpose)
    assert SEAL.open(sealed, purpose=purpose) == plain
    assert len(plain) < 8 or plain not in sealed
    assert SEAL.seal(plain, purpose=purpose) != sealed


def test_another_key_or_purpose_opens_nothing() -> None:
    sealed = SEAL.seal(b"secret", purpose="a")
    with pytest.raises(SealBroken):
        SEAL.open(sealed, purpose="b")
    with pytest.raises(SealBroken):
        Seal(b"l" * 32, SystemEntropy()).open(sealed, purpose="a")


def test_no_changed_or_shortened_bytes_open() -> None:
    sealed = SEAL.seal(b"secret", purpose="a")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(SealBroken):
            SEAL.open(bytes(changed), purpose="a")
        with pytest.raises(SealBroken):
            SEAL.open(sealed[:position], purpose="a")


def test_text_goes_through_and_other_text_is_refused() -> None:
    assert SEAL.open_text(SEAL.seal_text("schlüssel", purpose="a"), purpose="a") == "schlüssel"
    for text in ("", "!", "AAAA"):
        with pytest.raises(SealBroken):
            SEAL.open_text(text, purpose="a")


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    sealed = Seal.load_or_create(tmp_path, SystemEntropy()).seal(b"secret", purpose="a")
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert Seal.load_or_create(tmp_path, SystemEntropy()).open(sealed, purpose="a") == b"secret"


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"short")
    with pytest.raises(PlatformError, match="restore it"):
        Seal.load_or_create(tmp_path, SystemEntropy())
    assert (tmp_path / FILE_NAME).read_bytes() == b"short"
