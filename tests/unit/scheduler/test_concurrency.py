"""The ledger never leaks, never goes negative, never exceeds a limit, however settings change meanwhile."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.function import FunctionKey
from squib.model.units import AccountId, Region
from squib.scheduler.concurrency import ConcurrencyLedger, Lease, Share, Throttle, VersionShare

US, EU = Region("us-east-1"), Region("eu-west-1")
ONE, TWO = AccountId("000000000000"), AccountId("111111111111")
A, B, C = (FunctionKey(ONE, US, name) for name in "abc")
KEYS = [A, B, C, FunctionKey(ONE, EU, "a"), FunctionKey(TWO, US, "a")]

VERSIONS = ["$LATEST", "1", "2"]
KEY, VERSION = st.sampled_from(KEYS), st.sampled_from(VERSIONS)
LEASE = st.tuples(st.just("lease"), KEY, VERSION)
RELEASE = st.tuples(st.just("release"), KEY, VERSION)
SETTLE = st.tuples(
    st.just("settle"),
    st.dictionaries(KEY, st.integers(0, 4)),
    st.dictionaries(st.tuples(KEY, st.sampled_from(["1", "2"])), st.integers(1, 3), max_size=3),
)


def where(key: FunctionKey) -> tuple[AccountId, Region]:
    return key.account_id, key.region


@pytest.mark.parametrize("pace_ms", [1, 1_000])
@given(st.lists(LEASE | RELEASE | SETTLE, max_size=120), st.integers(0, 8))
def test_any_sequence_of_leases_and_settings_keeps_every_limit(
    pace_ms: int, steps: list[tuple[str, Any, Any]], limit: int
) -> None:
    ledger = ConcurrencyLedger(limit)
    held: dict[tuple[FunctionKey, str], list[Lease]] = {(key, one): [] for key in KEYS for one in VERSIONS}
    reserved: dict[FunctionKey, int] = {}
    provisioned: dict[tuple[FunctionKey, str], int] = {}

    def set_aside(key: FunctionKey) -> int:
        return sum(provisioned.get((key, one), 0) for one in VERSIONS)

    def counted(key: FunctionKey, version: str) -> list[Lease]:
        """Leases that a version's provisioned concurrency may cover: those taken since it has some."""
        return [one for one in held[key, version] if isinstance(one, VersionShare)]

    def on_demand(key: FunctionKey) -> int:
        total = 0
        for version in VERSIONS:
            covered = min(len(counted(key, version)), provisioned.get((key, version), 0))
            total += len(held[key, version]) - covered
        return total

    def in_flight(key: FunctionKey) -> int:
        return sum(len(leases) for (other, _), leases in held.items() if where(other) == where(key))

    def has_room(key: FunctionKey, version: str) -> bool:
        """By the settings, counted anew from every lease held."""
        if len(counted(key, version)) < provisioned.get((key, version), 0):
            return True
        if key in reserved:
            return on_demand(key) < reserved[key] - set_aside(key)
        there = [other for other in KEYS if where(other) == where(key)]
        taken = sum(reserved.get(other, set_aside(other)) for other in there)
        return sum(on_demand(other) for other in there if other not in reserved) < limit - taken

    for now, (step, first, second) in enumerate(steps):
        if step == "settle":
            reserved, provisioned = first, second
            ledger.settle(reserved, provisioned)
            continue
        key, version = first, second
        if step == "release":
            if held[key, version]:
                held[key, version].pop().release()
            continue
        expected = has_room(key, version)
        got = ledger.lease(key, version, now_ms=now * pace_ms)
        if not isinstance(got, Throttle):
            assert expected and in_flight(key) < limit
            held[key, version].append(got)
        elif got in (Throttle.RATE, Throttle.RESERVED_RATE):
            assert pace_ms < 1_000
        elif pace_ms < 1_000:
            pass  # provisioned concurrency may have had enough calls
        elif got is Throttle.RESERVED:
            assert key in reserved and not expected
        else:
            assert in_flight(key) >= limit or (key not in reserved and not expected)
        assert ledger.in_flight(*where(key)) == in_flight(key)
    for leases in held.values():
        while leases:
            leases.pop().release()
    ledger.settle({})
    assert [ledger.in_flight(*where(key)) for key in KEYS] == [0] * len(KEYS)
    for _ in range(limit):
        assert isinstance(ledger.lease(A, now_ms=1e9), Share)
    assert ledger.lease(A, now_ms=1e9) is Throttle.UNRESERVED


def test_calls_a_second_are_ten_times_the_concurrency() -> None:
    ledger = ConcurrencyLedger(3)
    ledger.settle({A: 1}, {(B, "1"): 1})

    def count(key: FunctionKey, version: str, throttle: Throttle, now_ms: float) -> int:
        calls = 0
        while not isinstance(lease := ledger.lease(key, version, now_ms=now_ms), Throttle):
            lease.release()
            calls += 1
        assert lease is throttle
        return calls

    assert count(A, "1", Throttle.RESERVED_RATE, 0) == 10
    assert count(A, "1", Throttle.RESERVED_RATE, 100) == 1
    assert count(C, "1", Throttle.RATE, 0) == 30
    assert count(B, "1", Throttle.RATE, 0) == 10
    assert count(B, "1", Throttle.RATE, 500) == 5 + 15, "beyond its own it takes of what all may have"
    assert count(A, "1", Throttle.RESERVED_RATE, 5_000) == 10, "what is not used is not saved up"


def test_a_lease_that_was_not_used_is_no_call() -> None:
    ledger = ConcurrencyLedger(2)
    ledger.settle({A: 1}, {(B, "1"): 1})
    for key in (A, B):
        for _ in range(100):
            lease = ledger.lease(key, "1", now_ms=0)
            assert not isinstance(lease, Throttle)
            ledger.forgo(lease)
        assert ledger.in_flight(ONE, US) == 0


def test_provisioned_concurrency_is_out_of_reach_for_others_and_spills_over() -> None:
    ledger = ConcurrencyLedger(5)
    ledger.settle({}, {(A, "1"): 2})
    for _ in range(3):
        assert isinstance(ledger.lease(B, now_ms=0), Share)
    assert ledger.lease(B, now_ms=0) is Throttle.UNRESERVED
    assert ledger.lease(A, "2", now_ms=0) is Throttle.UNRESERVED
    first = ledger.lease(A, "1", now_ms=0)
    assert isinstance(first, VersionShare) and isinstance(ledger.lease(A, "1", now_ms=0), VersionShare)
    assert ledger.lease(A, "1", now_ms=0) is Throttle.UNRESERVED
    first.release()
    assert isinstance(ledger.lease(A, "1", now_ms=0), VersionShare)


def test_provisioned_concurrency_comes_out_of_what_its_function_has_reserved() -> None:
    ledger = ConcurrencyLedger(10)
    ledger.settle({A: 3}, {(A, "1"): 2})
    assert isinstance(ledger.lease(A, "2", now_ms=0), Share)
    assert ledger.lease(A, "2", now_ms=0) is Throttle.RESERVED
    assert isinstance(ledger.lease(A, "1", now_ms=0), VersionShare)
    assert isinstance(ledger.lease(A, "1", now_ms=0), VersionShare)
    assert ledger.lease(A, "1", now_ms=0) is Throttle.RESERVED
    for _ in range(7):
        assert isinstance(ledger.lease(B, now_ms=0), Share)
    assert ledger.lease(B, now_ms=0) is Throttle.UNRESERVED


def test_nothing_reserved_is_nothing_allowed() -> None:
    ledger = ConcurrencyLedger(10)
    ledger.settle({A: 0})
    assert ledger.lease(A, now_ms=0) is Throttle.RESERVED
    assert isinstance(ledger.lease(B, now_ms=0), Share)


def test_a_reservation_is_a_limit_for_its_function_and_out_of_reach_for_others() -> None:
    ledger = ConcurrencyLedger(3)
    ledger.settle({A: 2})
    assert isinstance(ledger.lease(B, now_ms=0), Share)
    assert ledger.lease(C, now_ms=0) is Throttle.UNRESERVED
    assert isinstance(ledger.lease(A, now_ms=0), Share) and isinstance(ledger.lease(A, now_ms=0), Share)
    assert ledger.lease(A, now_ms=0) is Throttle.RESERVED


def test_leases_move_with_the_setting_of_their_function() -> None:
    ledger = ConcurrencyLedger(4)
    first = ledger.lease(A, now_ms=0)
    assert isinstance(first, Share) and isinstance(ledger.lease(A, now_ms=0), Share)
    ledger.settle({A: 2})
    assert ledger.lease(A, now_ms=0) is Throttle.RESERVED
    assert isinstance(ledger.lease(B, now_ms=0), Share) and isinstance(ledger.lease(B, now_ms=0), Share)
    assert ledger.lease(B, now_ms=0) is Throttle.UNRESERVED
    ledger.settle({})
    assert ledger.lease(A, now_ms=0) is Throttle.UNRESERVED
    first.release()
    assert isinstance(ledger.lease(A, now_ms=0), Share)


def test_functions_that_come_and_go_are_forgotten_but_not_what_they_hold() -> None:
    ledger = ConcurrencyLedger(2)
    ledger.settle({B: 1})
    held = ledger.lease(A, now_ms=0)
    assert isinstance(held, Share)
    for number in range(20_000):
        share = ledger.lease(FunctionKey(ONE, EU, str(number)), now_ms=number * 1_000)
        assert isinstance(share, Share)
        share.release()
    assert len(ledger._shares) < 10_000
    assert ledger.lease(C, now_ms=0) is Throttle.UNRESERVED
    held.release()
    assert isinstance(ledger.lease(C, now_ms=0), Share)
    assert isinstance(ledger.lease(B, now_ms=0), Share)
    assert ledger.lease(B, now_ms=0) is Throttle.RESERVED


def test_release_without_a_lease_is_a_bug() -> None:
    share = ConcurrencyLedger().lease(A, now_ms=0)
    assert isinstance(share, Share)
    share.release()
    with pytest.raises(AssertionError):
        share.release()
