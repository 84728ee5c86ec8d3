"""Buckets of tokens."""

from hypothesis import given
from hypothesis import strategies as st

from squib.scheduler.rates import Bucket


def test_a_bucket_is_full_at_first_and_fills_up_all_the_time_but_no_further() -> None:
    bucket = Bucket()

    def taken(now_ms: float) -> int:
        count = 0
        while bucket.take(now_ms, capacity=1_000, window_ms=10_000):
            count += 1
        return count

    assert taken(0) == 1_000
    assert taken(5) == 0
    assert taken(10) == 1
    assert taken(1_010) == 100
    assert taken(1e6) == 1_000


def test_an_empty_bucket_gives_nothing_and_a_token_given_back_can_be_taken_again() -> None:
    bucket = Bucket()
    assert not bucket.take(0, capacity=0, window_ms=1_000)
    assert bucket.take(0, capacity=1, window_ms=1_000)
    assert not bucket.take(0, capacity=1, window_ms=1_000)
    bucket.give_back(capacity=1, window_ms=1_000)
    assert bucket.take(0, capacity=1, window_ms=1_000)


@given(st.lists(st.integers(0, 500), max_size=200), st.integers(1, 20))
def test_no_window_sees_more_than_twice_the_capacity(pauses: list[int], capacity: int) -> None:
    bucket, now_ms, taken = Bucket(), 0, []
    for pause in pauses:
        now_ms += pause
        if bucket.take(now_ms, capacity=capacity, window_ms=1_000):
            taken.append(now_ms)
    for start in taken:
        assert sum(start <= at < start + 1_000 for at in taken) <= 2 * capacity
