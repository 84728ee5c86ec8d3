"""How many asynchronous invocations run at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.scheduler.pace import MAX_LIMIT, MIN_LIMIT, next_pacing, rest_ms


@pytest.mark.parametrize(
    ("limit", "in_flight", "idle", "loop", "has_company", "expected"),
    [
        (2, 2, 0.9, 0.1, False, 3),  # they sleep: more of them
        (100, 100, 0.9, 0.1, True, 125),
        (100, 40, 0.9, 0.1, True, 100),  # there are no more
        (8, 8, 0.02, 0.1, True, 1),  # others wait for a processor
        (8, 8, 0.6, 0.7, True, 1),  # others wait for the event loop
        (1, 1, 0.02, 0.9, True, 1),  # but it goes on
        (8, 8, 0.2, 0.1, True, 8),
        (4, 4, 0.02, 0.9, False, 5),  # nobody waits
        (8, 8, 0.02, 0.9, False, 8),
        (100, 100, 0.02, 0.1, False, 88),
        (1_000, 1_000, 0.9, 0.1, False, 1_000),
    ],
)
def test_the_limit_follows_the_processors(
    limit: int, in_flight: int, idle: float, loop: float, has_company: bool, expected: int
) -> None:
    found = next_pacing(
        limit,
        in_flight=in_flight,
        idle_ratio=idle,
        loop_ratio=loop,
        processors=2,
        has_company=has_company,
    )
    assert found.limit == expected
    assert found.rests == (has_company and expected == MIN_LIMIT)


@given(
    st.integers(MIN_LIMIT, MAX_LIMIT),
    st.integers(0, MAX_LIMIT),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 256),
    st.booleans(),
)
def test_the_limit_stays_within_bounds(
    limit: int, in_flight: int, idle: float, loop: float, processors: int, has_company: bool
) -> None:
    found = next_pacing(
        limit,
        in_flight=in_flight,
        idle_ratio=idle,
        loop_ratio=loop,
        processors=processors,
        has_company=has_company,
    )
    assert MIN_LIMIT <= found.limit <= max(MAX_LIMIT, 4 * processors)


def test_a_rest_is_many_times_what_was_run_and_never_long() -> None:
    assert (rest_ms(0), rest_ms(0.5), rest_ms(60_000)) == (0, 7, 8)
