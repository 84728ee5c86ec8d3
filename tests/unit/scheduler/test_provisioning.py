"""What is started for provisioned concurrency, and what is shown of it."""

import pytest

from squib.model.concurrency import Allocation, AllocationStatus
from squib.scheduler.lifetime import Initialization, lifetime
from squib.scheduler.provisioning import Provision


@pytest.mark.parametrize(
    ("wanted", "starting", "ready", "expected"), [(3, 0, 0, 3), (3, 1, 1, 1), (3, 0, 3, 0), (1, 2, 0, 0)]
)
def test_as_many_are_started_as_are_missing(wanted: int, starting: int, ready: int, expected: int) -> None:
    provision = Provision(wanted_count=wanted)
    assert provision.to_start(0, starting_count=starting, ready_count=ready) == expected


def test_after_a_failure_one_at_a_time_is_tried_after_ever_longer_pauses() -> None:
    provision, now_ms, pauses = Provision(wanted_count=3), 0.0, []
    for _ in range(12):
        provision = provision.failed("why", now_ms).failed("why", now_ms)
        assert provision.to_start(now_ms, starting_count=0, ready_count=0) == 0
        pauses.append(provision.retry_at_ms - now_ms)
        now_ms = provision.retry_at_ms
        assert provision.to_start(now_ms, starting_count=0, ready_count=0) == 1
        assert provision.to_start(now_ms, starting_count=1, ready_count=0) == 0
    assert pauses[:4] == [1_000, 2_000, 4_000, 8_000] and pauses[-1] == 300_000
    assert provision.succeeded().to_start(now_ms, starting_count=0, ready_count=1) == 2


def test_what_ended_is_replaced_at_once_but_not_again_and_again() -> None:
    provision = Provision(wanted_count=1).lost(5_000)
    assert provision.to_start(5_000, starting_count=0, ready_count=0) == 1
    provision = provision.lost(5_100)
    assert provision.to_start(5_100, starting_count=0, ready_count=0) == 0
    assert provision.to_start(6_100, starting_count=0, ready_count=0) == 1


def test_status_says_what_there_is() -> None:
    provision = Provision(wanted_count=2)
    assert provision.allocation(wanted_count=2, ready_count=1) == Allocation(AllocationStatus.IN_PROGRESS, 1)
    assert provision.allocation(wanted_count=2, ready_count=3) == Allocation(AllocationStatus.READY, 2)
    failed = provision.failed("why", 0)
    expected = Allocation(AllocationStatus.FAILED, 1, "why")
    assert failed.allocation(wanted_count=2, ready_count=1) == expected


@pytest.mark.parametrize(
    ("initialization", "timeout_s", "init_timeout_ms", "expires_ms"),
    [
        (Initialization.ON_DEMAND, 900, 10_000, 1_500),
        (Initialization.PROVISIONED, 3, 130_000, 7_201_000),
        (Initialization.PROVISIONED, 900, 900_000, 7_201_000),
    ],
)
def test_environments_live_two_hours_at_most(
    initialization: Initialization, timeout_s: int, init_timeout_ms: float, expires_ms: float
) -> None:
    life = lifetime(initialization, timeout_s=timeout_s, idle_expiry_ms=500, now_ms=1_000)
    assert life.init_timeout_ms == init_timeout_ms
    assert life.expires_ms(1_000) == expires_ms
    assert life.expires_ms(7_200_900) == 7_201_000
