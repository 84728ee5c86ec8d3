"""Pauses between attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.scheduler.retry import FIRST_BACKOFF_MS, MAX_BACKOFF_MS, RetryDelays


def test_failures_are_followed_by_one_minute_and_then_two() -> None:
    delays = RetryDelays()
    assert [delays.after_failure_ms(failures) for failures in (1, 2, 3)] == [60_000, 120_000, 120_000]


def test_refusals_are_followed_by_a_second_and_at_last_by_five_minutes() -> None:
    pauses = [RetryDelays().backoff_ms(refusals, draw=0) for refusals in range(1, 12)]
    assert pauses[0] == 1_000
    assert pauses[1:4] == [2_000, 4_000, 8_000]
    assert pauses[-1] == 300_000


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_draw_only_shortens_a_pause_a_little(refusals: int, draw: float) -> None:
    pause_ms = RetryDelays().backoff_ms(refusals, draw=draw)
    assert 0.8 * FIRST_BACKOFF_MS <= pause_ms <= MAX_BACKOFF_MS


@pytest.mark.parametrize(("first_s", "backoff_ms"), [(0.2, 200), (60.0, 1_000), (0.001, 1)])
def test_shortened_delays_shorten_the_first_refusal_s_pause_too(first_s: float, backoff_ms: int) -> None:
    delays = RetryDelays.of_seconds((first_s, first_s * 2))
    assert delays.after_failure_ms(1) == first_s * 1000
    assert delays.backoff_ms(1, draw=0) == backoff_ms
