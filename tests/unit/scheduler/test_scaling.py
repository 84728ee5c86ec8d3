"""How many batches of a queue are worked on at a time."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from squib.model.event_source import EventSourceMapping, SourceKind
from squib.model.function import FunctionKey
from squib.model.units import AccountId, EpochMs, Region
from squib.scheduler.scaling import QUIET_AFTER_MS, Bounds, Scale, failed, seen

MAPPING = EventSourceMapping(
    uuid="u",
    account_id=AccountId("000000000000"),
    region=Region("eu-west-1"),
    function=FunctionKey(AccountId("000000000000"), Region("eu-west-1"), "f"),
    kind=SourceKind.SQS,
    modified_at_ms=EpochMs(0),
    batch_size=10,
)


def bounds(**settings: Any) -> Bounds:
    return Bounds.of(msgspec.structs.replace(MAPPING, **settings))


def test_it_starts_with_five_and_grows_by_three_hundred_a_minute_while_all_are_busy() -> None:
    scale = Scale.start(bounds(), now_ms=0)
    assert scale.slots == 5
    scale = seen(scale, bounds(), in_flight=5, now_ms=60_000)
    assert scale.slots == 5, "the time before it was full does not count"
    for second in range(1, 61):
        now_ms = 60_000 + second * 1_000
        scale = seen(scale, bounds(), in_flight=scale.slots, now_ms=now_ms)
    assert scale.slots == 305


def test_batches_that_end_and_begin_keep_it_full() -> None:
    scale, now_ms = Scale.start(bounds(), now_ms=0), 0.0
    for _ in range(10_000):
        scale = seen(scale, bounds(), in_flight=scale.slots, now_ms=now_ms)
        now_ms += 3
        scale = seen(scale, bounds(), in_flight=scale.slots - 1, now_ms=now_ms)
        now_ms += 3
    assert 290 <= scale.slots <= 306


def test_it_shrinks_while_it_is_quiet_and_not_below_two() -> None:
    scale = Scale.start(bounds(), now_ms=0)
    for round_number in range(1, 6):
        scale = seen(scale, bounds(), in_flight=0, now_ms=round_number * QUIET_AFTER_MS)
    assert scale.slots == 2


def test_settings_bound_it() -> None:
    assert bounds(max_concurrency=3) == Bounds(3, 2, 3)
    assert bounds(max_concurrency=1_000).most == 1_000
    assert bounds(min_pollers=2, max_pollers=4) == Bounds(20, 20, 40)


def test_failures_of_one_moment_halve_it_once_and_one_is_left() -> None:
    scale = Scale.start(bounds(), now_ms=0)
    scale = failed(failed(scale, now_ms=0), now_ms=10)
    assert scale.slots == 2
    for second in range(2, 10):
        scale = failed(scale, now_ms=second * 1_000)
    assert scale.slots == 1
    scale = seen(scale, bounds(), in_flight=1, now_ms=10_000)
    assert seen(scale, bounds(), in_flight=1, now_ms=11_000).slots == 6


@given(st.lists(st.tuples(st.sampled_from(["seen", "failed"]), st.integers(0, 50), st.integers(0, 10**6))))
def test_it_stays_within_its_bounds(steps: list[tuple[str, int, int]]) -> None:
    limits, now_ms = bounds(max_concurrency=20), 0
    scale = Scale.start(limits, now_ms=0)
    for kind, in_flight, pause_ms in steps:
        now_ms += pause_ms
        if kind == "seen":
            scale = seen(scale, limits, in_flight=min(in_flight, scale.slots), now_ms=now_ms)
        else:
            scale = failed(scale, now_ms=now_ms)
        assert 1 <= scale.slots <= 20
