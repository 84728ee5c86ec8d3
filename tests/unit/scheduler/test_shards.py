"""What becomes of records of a shard that fail."""

from hypothesis import given
from hypothesis import strategies as st

from squib.scheduler.shards import FOR_EVER, Aftermath, Batch, ShardRules, after_failure, expired_count, lane


def test_a_batch_is_tried_again_as_often_as_it_may() -> None:
    rules = ShardRules(max_retries=2)
    assert after_failure(Batch(5), rules, failed_at=0) == Aftermath(0, 0, (Batch(5, 1),))
    assert after_failure(Batch(5, 1), rules, failed_at=0) == Aftermath(0, 0, (Batch(5, 2),))
    assert after_failure(Batch(5, 2), rules, failed_at=0) == Aftermath(0, 5, ())


def test_without_retries_a_failed_batch_is_given_up_at_once() -> None:
    assert after_failure(Batch(5), ShardRules(max_retries=0), failed_at=0) == Aftermath(0, 5, ())


def test_a_batch_is_tried_for_ever_unless_told_otherwise() -> None:
    after = after_failure(Batch(1, 9_999), ShardRules(), failed_at=0)
    assert after == Aftermath(0, 0, (Batch(1, 10_000),))


def test_cutting_takes_no_retries_until_one_record_is_left() -> None:
    rules = ShardRules(max_retries=0, bisects=True)
    assert after_failure(Batch(5), rules, failed_at=0) == Aftermath(0, 0, (Batch(2), Batch(3)))
    assert after_failure(Batch(1), rules, failed_at=0) == Aftermath(0, 1, ())


def test_what_is_reported_as_done_is_done() -> None:
    rules = ShardRules(max_retries=2)
    assert after_failure(Batch(5, 2), rules, failed_at=3) == Aftermath(3, 0, (Batch(2, 1),))
    assert after_failure(Batch(5), ShardRules(max_retries=0), failed_at=3) == Aftermath(3, 2, ())
    assert after_failure(Batch(5), ShardRules(bisects=True), failed_at=1) == Aftermath(
        1, 0, (Batch(2), Batch(2))
    )


def test_records_at_the_front_that_are_too_old_are_counted() -> None:
    rules = ShardRules(max_age_ms=1_000)
    assert expired_count([0, 500, 1_500, 100], rules, now_ms=1_501) == 2
    assert expired_count([0], ShardRules(max_age_ms=FOR_EVER), now_ms=10**12) == 0


@given(
    st.integers(1, 40),
    st.integers(0, 3),
    st.booleans(),
    st.sets(st.integers(0, 39), max_size=5),
    st.booleans(),
)
def test_every_record_ends_as_done_or_given_up_in_order_and_only_bad_ones_hold_others_up(
    size: int, retries: int, bisects: bool, bad: set[int], reports: bool
) -> None:
    rules = ShardRules(max_retries=retries, bisects=bisects)
    plan, at, done, discarded = [Batch(size)], 0, [], []
    for _ in range(2_000):
        if not plan:
            break
        batch = plan.pop(0)
        failing = [place for place in range(at, at + batch.size) if place in bad]
        if not failing:
            done += range(at, at + batch.size)
            at += batch.size
            continue
        after = after_failure(batch, rules, failed_at=failing[0] - at if reports else 0)
        assert after.done + after.discarded + sum(one.size for one in after.again) == batch.size
        done += range(at, at + after.done)
        discarded += range(at + after.done, at + after.done + after.discarded)
        at += after.done + after.discarded
        plan = [*after.again, *plan]
    assert not plan
    assert sorted(done + discarded) == list(range(size))
    assert not bad & set(done)
    if bisects:
        assert set(discarded) == bad & set(range(size))


@given(st.text(), st.integers(1, 10))
def test_a_key_has_one_lane(key: str, lanes: int) -> None:
    assert lane(key, lanes) == lane(key, lanes)
    assert 0 <= lane(key, lanes) < lanes
