"""The ledger never leaks, never goes negative, never exceeds a limit, however settings change meanwhile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.function import FunctionKey
from squib.model.units import AccountId, Region
from squib.scheduler.concurrency import ConcurrencyLedger, Share, Throttle

US, EU = Region("us-east-1"), Region("eu-west-1")
ONE, TWO = AccountId("000000000000"), AccountId("111111111111")
A, B, C = (FunctionKey(ONE, US, name) for name in "abc")
KEYS = [A, B, C, FunctionKey(ONE, EU, "a"), FunctionKey(TWO, US, "a")]

LEASE = st.tuples(st.just("lease"), st.sampled_from(KEYS))
RELEASE = st.tuples(st.just("release"), st.sampled_from(KEYS))
SETTLE = st.tuples(st.just("settle"), st.dictionaries(st.sampled_from(KEYS), st.integers(0, 4)))


def where(key: FunctionKey) -> tuple[AccountId, Region]:
    return key.account_id, key.region


@given(st.lists(LEASE | RELEASE | SETTLE, max_size=120), st.integers(0, 6))
def test_any_sequence_of_leases_and_settings_keeps_every_limit(
    steps: list[tuple[str, object]], limit: int
) -> None:
    ledger = ConcurrencyLedger(limit)
    held: dict[FunctionKey, list[Share]] = {key: [] for key in KEYS}
    reserved: dict[FunctionKey, int] = {}

    def in_flight(key: FunctionKey) -> int:
        return sum(len(held[other]) for other in KEYS if where(other) == where(key))

    def shared(key: FunctionKey) -> tuple[int, int]:
        """Leases in the pool of those that reserved nothing, and how many it may have."""
        there = [other for other in KEYS if where(other) == where(key)]
        used = sum(len(held[other]) for other in there if other not in reserved)
        return used, limit - sum(reserved.get(other, 0) for other in there)

    for step, given_ in steps:
        if isinstance(given_, dict):
            reserved = given_
            ledger.settle(reserved)
            continue
        assert isinstance(given_, FunctionKey)
        key = given_
        if step == "release":
            if held[key]:
                held[key].pop().release()
            continue
        used, room = shared(key)
        has_room = len(held[key]) < reserved[key] if key in reserved else used < room
        got = ledger.lease(key)
        if isinstance(got, Share):
            assert has_room and in_flight(key) < limit
            held[key].append(got)
            assert got.in_flight == len(held[key])
        elif got is Throttle.RESERVED:
            assert key in reserved and not has_room
        else:
            assert in_flight(key) >= limit or (key not in reserved and not has_room)
        assert ledger.in_flight(*where(key)) == in_flight(key)
    for shares in held.values():
        while shares:
            shares.pop().release()
    ledger.settle({})
    assert [ledger.in_flight(*where(key)) for key in KEYS] == [0] * len(KEYS)
    for _ in range(limit):
        assert isinstance(ledger.lease(A), Share)
    assert ledger.lease(A) is Throttle.UNRESERVED


def test_nothing_reserved_is_nothing_allowed() -> None:
    ledger = ConcurrencyLedger(10)
    ledger.settle({A: 0})
    assert ledger.lease(A) is Throttle.RESERVED
    assert isinstance(ledger.lease(B), Share)


def test_a_reservation_is_a_limit_for_its_function_and_out_of_reach_for_others() -> None:
    ledger = ConcurrencyLedger(3)
    ledger.settle({A: 2})
    assert isinstance(ledger.lease(B), Share)
    assert ledger.lease(C) is Throttle.UNRESERVED
    assert isinstance(ledger.lease(A), Share) and isinstance(ledger.lease(A), Share)
    assert ledger.lease(A) is Throttle.RESERVED


def test_leases_move_with_the_setting_of_their_function() -> None:
    ledger = ConcurrencyLedger(4)
    first = ledger.lease(A)
    assert isinstance(first, Share) and isinstance(ledger.lease(A), Share)
    ledger.settle({A: 2})
    assert ledger.lease(A) is Throttle.RESERVED
    assert isinstance(ledger.lease(B), Share) and isinstance(ledger.lease(B), Share)
    assert ledger.lease(B) is Throttle.UNRESERVED
    ledger.settle({})
    assert ledger.lease(A) is Throttle.UNRESERVED
    first.release()
    assert isinstance(ledger.lease(A), Share)


def test_functions_that_come_and_go_are_forgotten_but_not_what_they_hold() -> None:
    ledger = ConcurrencyLedger(2)
    ledger.settle({B: 1})
    held = ledger.lease(A)
    assert isinstance(held, Share)
    for number in range(20_000):
        share = ledger.lease(FunctionKey(ONE, EU, str(number)))
        assert isinstance(share, Share)
        share.release()
    assert len(ledger._shares) < 10_000
    assert ledger.lease(C) is Throttle.UNRESERVED
    held.release()
    assert isinstance(ledger.lease(C), Share)
    assert isinstance(ledger.lease(B), Share)
    assert ledger.lease(B) is Throttle.RESERVED


def test_release_without_a_lease_is_a_bug() -> None:
    share = ConcurrencyLedger().lease(A)
    assert isinstance(share, Share)
    share.release()
    with pytest.raises(AssertionError):
        share.release()
