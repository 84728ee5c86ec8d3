"""Batches of telemetry: when one is due, how large it is, and what is dropped."""

from hypothesis import given
from hypothesis import strategies as st

from squib.environment.apis.telemetry_buffer import TelemetryBuffer


def buffer(max_items: int = 3, max_bytes: int = 100, timeout_ms: int = 50) -> TelemetryBuffer:
    return TelemetryBuffer(max_items=max_items, max_bytes=max_bytes, timeout_ms=timeout_ms)


def test_batch_is_due_when_its_oldest_event_is_old_enough() -> None:
    events = buffer()
    assert events.due_ms() == float("inf")
    events.add(b"a", 10)
    events.add(b"b", 40)
    assert events.due_ms() == 60
    events.acknowledge(1)
    assert events.due_ms() == 90


def test_batch_is_due_at_once_when_full_by_count_or_size_or_flushed() -> None:
    by_count, by_size, flushed = buffer(), buffer(), buffer()
    for _ in range(3):
        by_count.add(b"a", 0)
    by_size.add(bytes(100), 0)
    flushed.add(b"a", 0)
    flushed.flush()
    for full in (by_count, by_size, flushed):
        assert full.due_ms() == float("-inf")
        full.acknowledge(len(full.batch()))
        assert full.due_ms() == float("inf")
    flushed.add(b"b", 7)
    assert flushed.due_ms() == 57


def test_flush_of_nothing_does_not_hasten_what_comes_later() -> None:
    events = buffer()
    events.flush()
    events.add(b"a", 0)
    assert events.due_ms() == 50


def test_batch_holds_no_more_than_it_may() -> None:
    events = buffer()
    for size in (60, 30, 20):
        events.add(bytes(size), 0)
    assert [len(event) for event in events.batch()] == [60, 30]
    events.acknowledge(2)
    assert [len(event) for event in events.batch()] == [20]


def test_event_larger_than_a_batch_goes_alone() -> None:
    events = buffer()
    events.add(bytes(150), 0)
    events.add(b"a", 0)
    assert [len(event) for event in events.batch()] == [150]


def test_dropped_events_are_counted_until_they_are_asked_for() -> None:
    events = buffer()
    for _ in range(8):
        events.add(b"ab", 0)
    events.add(bytes(500), 0)
    assert len(events) == 6
    assert events.take_dropped() == (3, 504)
    assert events.take_dropped() == (0, 0)


@given(st.lists(st.integers(0, 120), max_size=80), st.data())
def test_nothing_is_lost_unseen_and_bounds_hold(sizes: list[int], data: st.DataObject) -> None:
    events = buffer(timeout_ms=25)
    sent = 0
    for now_ms, size in enumerate(sizes):
        events.add(bytes(size), now_ms)
        assert len(events) <= 6 and events.size_bytes <= 200
        if events.batch() and data.draw(st.booleans()):
            batch = events.batch()
            assert len(batch) <= 3 and (len(batch) == 1 or sum(map(len, batch)) <= 100)
            events.acknowledge(len(batch))
            sent += len(batch)
    assert sent + len(events) + events.dropped_records == len(sizes)
