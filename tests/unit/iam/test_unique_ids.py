"""Ids in AWS's form; an access key's spells its account."""

import re

from hypothesis import given
from hypothesis import strategies as st

from squib.iam.unique_ids import KEY_NOISE_BYTES, NOISE_BYTES, access_key_id, account_of, entity_id
from squib.model.units import AccountId


@given(
    st.integers(0, 10**12 - 1).map(lambda number: AccountId(f"{number:012}")),
    st.binary(min_size=KEY_NOISE_BYTES, max_size=KEY_NOISE_BYTES),
)
def test_the_account_is_read_back_from_a_key_id(account_id: AccountId, noise: bytes) -> None:
    key_id = access_key_id("ASIA", account_id, noise)
    assert re.fullmatch("ASIA[Q-Z2-7][A-Z2-7]{15}", key_id)
    assert account_of(key_id) == account_id


@given(st.binary(min_size=NOISE_BYTES, max_size=NOISE_BYTES))
def test_an_entitys_id_has_21_characters(noise: bytes) -> None:
    assert re.fullmatch("AIDA[A-Z2-7]{17}", entity_id("AIDA", noise))


@given(st.text(max_size=24))
def test_other_text_spells_an_account_or_none(text: str) -> None:
    found = account_of(text)
    assert found is None or re.fullmatch("[0-9]{12}", found)


def test_keys_that_aws_publishes_are_read_as_aws_reads_them() -> None:
    # GetAccessKeyInfo on keys printed in AWS's own articles; the older form spells none.
    assert account_of("ASIAQNZGKIQY56JQ7WML") == "029608264753"
    assert account_of("AKIAIOSFODNN7EXAMPLE") is None
