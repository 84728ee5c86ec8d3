"""The ledger never leaks, never goes negative, never exceeds the limit."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.units import AccountId, Region
from squib.scheduler.concurrency import ConcurrencyLedger

ACCOUNTS = [AccountId("000000000000"), AccountId("111111111111")]
REGIONS = [Region("us-east-1"), Region("eu-west-1")]
OPERATIONS = st.tuples(st.booleans(), st.sampled_from(ACCOUNTS), st.sampled_from(REGIONS))


@given(st.lists(OPERATIONS, max_size=200), st.integers(0, 5))
def test_leases_are_counted_exactly(operations: list[tuple[bool, AccountId, Region]], limit: int) -> None:
    ledger = ConcurrencyLedger(limit)
    held: Counter[tuple[AccountId, Region]] = Counter()
    for takes, account, region in operations:
        key = (account, region)
        if takes:
            got = ledger.lease(account, region)
            assert got == (held[key] < limit)
            held[key] += got
        elif held[key]:
            ledger.release(account, region)
            held[key] -= 1
        assert ledger.in_flight(account, region) == held[key]
        assert 0 <= held[key] <= limit


def test_release_without_a_lease_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        ConcurrencyLedger().release(ACCOUNTS[0], REGIONS[0])
