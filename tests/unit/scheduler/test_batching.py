"""When a batch goes, and how it is cut."""

from hypothesis import given
from hypothesis import strategies as st

from squib.scheduler.batching import BatchRules, cut, wait_ms

RULES = BatchRules(max_count=3, window_ms=1_000, max_bytes=100)


def test_a_batch_waits_for_its_window_and_no_longer() -> None:
    assert wait_ms(RULES, 1, 10, first_at_ms=5_000, now_ms=5_400) == 600
    assert wait_ms(RULES, 1, 10, first_at_ms=5_000, now_ms=6_000) == 0
    assert wait_ms(RULES, 1, 10, first_at_ms=5_000, now_ms=9_000) == 0


def test_a_batch_goes_when_it_is_full() -> None:
    assert wait_ms(RULES, 3, 10, first_at_ms=0, now_ms=0) == 0
    assert wait_ms(RULES, 1, 90, first_at_ms=0, now_ms=0) == 0


def test_without_a_window_nothing_waits() -> None:
    assert wait_ms(BatchRules(10, 0), 1, 1, first_at_ms=0, now_ms=0) == 0


@given(st.lists(st.integers(1, 120), max_size=30), st.integers(1, 6))
def test_slices_hold_every_record_once_in_order_and_fit(sizes: list[int], max_count: int) -> None:
    rules = BatchRules(max_count, 0, 100)
    slices = list(cut(sizes, rules))
    assert [size for part in slices for size in sizes[part]] == sizes
    for part in slices:
        records = [b"x" * size for size in sizes[part]]
        assert 1 <= len(records) <= max_count
        event = b'{"Records":[' + b",".join(records) + b"]}"
        assert len(event) <= rules.max_bytes or len(records) == 1


def test_a_slice_is_as_large_as_it_may_be() -> None:
    frame = len(b'{"Records":[]}')
    sizes = [10] * 8
    assert [part.stop - part.start for part in cut(sizes, BatchRules(100, 0, frame + 43))] == [4, 4]
    assert [part.stop - part.start for part in cut(sizes, BatchRules(100, 0, frame + 42))] == [3, 3, 2]
