"""Which messages may be received: visibility, delay, order of groups, fairness, redrive, retention."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from squib.model.queue import HandleFault, QueueCounts
from squib.model.receipt import Receipt
from squib.model.units import EpochMs
from squib.scheduler.queue import Entry, QueueState, Taken, Terms
from squib.scheduler.receipts import changeable, deletable, repeatable

RETENTION_MS = 100_000
TERMS = Terms(RETENTION_MS, None, 1_000)


def at(ms: int) -> EpochMs:
    return EpochMs(ms)


def entry(position: int, group: str | None = None, *, sent: int = 0, visible: int = 0) -> Entry:
    return Entry(position, position, at(sent), at(visible), group)


def queue(*entries: Entry, is_fifo: bool = False) -> QueueState:
    state = QueueState(is_fifo=is_fifo)
    for one in entries:
        state.add(one, now_ms=at(0))
    return state


def take(state: QueueState, count: int = 10, *, now: int = 0, hide: int = 30, terms: Terms = TERMS) -> Taken:
    return state.take(count, hidden_until_ms=at(now + hide), now_ms=at(now), terms=terms)


def positions(entries: Sequence[Entry]) -> list[int]:
    return [one.position for one in entries]


def test_messages_come_in_order_and_are_hidden_until_their_visibility_ends() -> None:
    state = queue(entry(1), entry(2), entry(3))
    assert positions(take(state, 2).received) == [1, 2]
    assert positions(take(state).received) == [3]
    assert state.counts(now_ms=at(29)) == QueueCounts(0, 3, 0)
    assert state.next_visible_at_ms() == 30
    again = take(state, now=30)
    assert positions(again.received) == [1, 2, 3]
    assert [one.receive_count for one in again.received] == [2, 2, 2]
    assert {one.first_received_at_ms for one in again.received} == {30}  # 0 counts as never: no epoch is 0


def test_a_delayed_message_is_counted_apart_and_comes_when_its_delay_is_over() -> None:
    state = queue(entry(1, visible=50), entry(2))
    assert state.counts(now_ms=at(0)) == QueueCounts(1, 0, 1)
    assert positions(take(state, now=49, hide=1).received) == [2]
    assert positions(take(state, now=50).received) == [1, 2]


def test_a_receive_that_hides_nothing_gives_each_message_once() -> None:
    state = queue(entry(1), entry(2))
    assert positions(take(state, hide=0).received) == [1, 2]
    assert state.counts(now_ms=at(0)) == QueueCounts(2, 0, 0)


def test_a_group_waits_while_any_of_its_messages_is_in_flight() -> None:
    state = queue(entry(1, "a"), entry(2, "a"), entry(3, "b"), entry(4, "a"), is_fifo=True)
    assert positions(take(state, 2).received) == [1, 2]
    assert positions(take(state).received) == [3]
    assert take(state).received == []
    state.remove(1)
    assert take(state).received == []
    state.remove(2)
    assert positions(take(state).received) == [4]


def test_a_group_goes_on_where_it_was_when_its_messages_come_back() -> None:
    state = queue(entry(1, "a"), entry(2, "a"), entry(3, "a"), is_fifo=True)
    assert positions(take(state, 2).received) == [1, 2]
    second = state.get(2)
    assert second is not None
    state.change_visibility(second, at(10), now_ms=at(5))
    assert take(state, now=10).received == []  # the first is in flight still
    assert positions(take(state, now=30).received) == [1, 2, 3]


def test_another_delay_of_a_fifo_queue_holds_for_messages_that_wait_already() -> None:
    state = queue(entry(1, "a", visible=900), is_fifo=True)
    state.set_delay(10, now_ms=at(5))
    assert take(state, now=9).received == []
    assert positions(take(state, now=10).received) == [1]


def test_a_busy_group_does_not_keep_the_others_waiting() -> None:
    state = queue(*(entry(n, "busy") for n in range(1, 101)))
    assert len(take(state, 50).received) == 50
    state.add(entry(200, "quiet"), now_ms=at(1))
    state.add(entry(201), now_ms=at(1))
    assert positions(take(state, 2, now=1).received) == [200, 201]


def test_messages_received_too_often_or_kept_too_long_are_set_aside() -> None:
    terms = Terms(RETENTION_MS, 1, 1_000)
    state = queue(entry(1), entry(2, sent=50))
    take(state, 1, hide=1, terms=terms)
    second = take(state, now=10, terms=terms)
    assert (positions(second.received), positions(second.exhausted)) == ([2], [1])
    assert len(state) == 1
    third = take(state, now=RETENTION_MS + 50)
    assert (third.received, positions(third.expired), len(state)) == ([], [2], 0)


def test_expired_messages_are_found_whatever_their_place() -> None:
    state = queue(entry(1, sent=500), entry(2, sent=100), entry(3, sent=600))
    take(state, 1)
    assert positions(state.expire(1_000, now_ms=at(1_100), max_count=9)) == [2]
    assert positions(state.expire(1_000, now_ms=at(1_500), max_count=9)) == [1]
    assert state.counts(now_ms=at(1_500)) == QueueCounts(1, 0, 0)


def test_no_more_is_in_flight_than_may_be() -> None:
    terms = Terms(RETENTION_MS, None, 2)
    for is_fifo in (False, True):
        state = queue(*(entry(n, "g") for n in range(1, 5)), is_fifo=is_fifo)
        assert len(take(state, terms=terms).received) == 2
        assert take(state, terms=terms).is_over_limit


def test_a_purge_takes_what_was_sent_before() -> None:
    state = queue(entry(1), entry(2, visible=50), entry(3), entry(4))
    take(state, 1)
    assert positions(state.remove_before(4, now_ms=at(0))) == [1, 2, 3]
    assert state.counts(now_ms=at(0)) == QueueCounts(1, 0, 0)
    assert positions(take(state).received) == [4]
    assert state.remove_before(4, now_ms=at(5)) == []
    assert state.counts(now_ms=at(5)) == QueueCounts(0, 1, 0)
    assert positions(take(state, now=30).received) == [4]


def test_withdrawn_messages_are_no_receives() -> None:
    state = queue(entry(1, "a"), entry(2, "a"), is_fifo=True)
    gone = state.withdraw(5, now_ms=at(0))
    assert [(one.position, one.receive_count) for one in gone] == [(1, 0), (2, 0)]
    assert len(state) == 0


def receipt(one: Entry, received: int = 0) -> Receipt:
    return Receipt(1, one.position, at(received), one.receive_count)


def test_a_handle_is_good_for_the_last_receive_only() -> None:
    for is_fifo in (False, True):
        state = queue(entry(1, "g"), is_fifo=is_fifo)
        [one] = take(state).received
        stale, now = receipt(one), {"is_fifo": is_fifo, "now_ms": at(40)}
        gone = HandleFault.EXPIRED if is_fifo else HandleFault.NOT_IN_FLIGHT
        assert changeable(stale, 5, state, **now) is gone
        assert deletable(stale, state, **now) is (HandleFault.EXPIRED if is_fifo else one)
        [one] = take(state, now=40).received
        assert changeable(stale, 5, state, **now) is (HandleFault.EXPIRED if is_fifo else HandleFault.GONE)
        assert deletable(stale, state, **now) is (HandleFault.EXPIRED if is_fifo else None)
        fresh = receipt(one, 40)
        assert changeable(fresh, 43_200, state, **now) is one
        assert changeable(fresh, 43_201, state, **now) is HandleFault.TOO_LONG
        assert repeatable((fresh,), state, now_ms=at(41)) == [one]
        assert repeatable((stale,), state, now_ms=at(41)) is None
        assert deletable(fresh, state, **now) is one
        state.remove(1)
        assert deletable(fresh, state, **now) is None
        assert changeable(fresh, 1, state, **now) is HandleFault.GONE
        assert repeatable((fresh,), state, now_ms=at(41)) is None
    assert deletable(None, state, **now) is changeable(None, 1, state, **now) is HandleFault.MALFORMED


# --- any sequence of events, against a model that looks at every message each time


class Model:
    """A queue as a list: what may be received is looked up, not kept."""

    def __init__(self, is_fifo: bool) -> None:
        self.is_fifo = is_fifo
        self.messages: dict[int, Entry] = {}

    def visible(self, now: int) -> set[int]:
        shown = {p for p, one in self.messages.items() if one.visible_at_ms <= now}
        if not self.is_fifo:
            return shown
        flying = {one.group for p, one in self.messages.items() if p not in shown and one.receive_count}
        return {p for p in shown if self.messages[p].group not in flying}

    def counts(self, now: int) -> QueueCounts:
        hidden = [one for one in self.messages.values() if one.visible_at_ms > now]
        flying = sum(one.receive_count > 0 for one in hidden)
        return QueueCounts(len(self.messages) - len(hidden), flying, len(hidden) - flying)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from([None, "a", "b"]), st.sampled_from([0, 0, 7])),
        st.tuples(st.just("take"), st.integers(1, 4), st.sampled_from([0, 5, 20])),
        st.tuples(st.just("delete"), st.integers(0, 30), st.none()),
        st.tuples(st.just("change"), st.integers(0, 30), st.sampled_from([0, 3, 50])),
        st.tuples(st.just("wait"), st.integers(1, 30), st.none()),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=300)
@given(is_fifo=st.booleans(), max_receives=st.sampled_from([None, 2]), events=EVENTS)
def test_the_state_agrees_with_a_model_after_any_events(
    is_fifo: bool, max_receives: int | None, events: list[tuple[str, Any, Any]]
) -> None:
    state, model, now, last = QueueState(is_fifo=is_fifo), Model(is_fifo), 1, 0
    terms = Terms(RETENTION_MS, max_receives, 6)
    for name, what, how in events:
        if name == "send":
            last += 1
            group = (what or "c") if is_fifo else what
            sent = entry(last, group, sent=now, visible=now + (0 if is_fifo else how))
            state.add(msgspec.structs.replace(sent), now_ms=at(now))
            model.messages[last] = sent
        elif name == "take":
            check_take(state, model, take(state, what, now=now, hide=how, terms=terms), what, now, how, terms)
        elif name == "delete" and what in model.messages:
            del model.messages[what]
            assert state.remove(what) is not None
        elif name == "change" and what in model.messages and model.messages[what].visible_at_ms > now:
            model.messages[what].visible_at_ms = at(now + how)
            found = state.get(what)
            assert found is not None and found.is_hidden
            state.change_visibility(found, at(now + how), now_ms=at(now))
        elif name == "wait":
            now += what
        assert state.counts(now_ms=at(now)) == model.counts(now)
        assert sorted(positions(list(state.entries()))) == sorted(model.messages)
        hidden = [one.visible_at_ms for one in model.messages.values() if one.visible_at_ms > now]
        assert state.next_visible_at_ms() == min(hidden, default=None)


def check_take(
    state: QueueState, model: Model, taken: Taken, count: int, now: int, hide: int, terms: Terms
) -> None:
    allowed = model.visible(now)
    flying = model.counts(now).in_flight
    for one in taken.exhausted:
        assert one.position in allowed
        assert terms.max_receive_count is not None and one.receive_count >= terms.max_receive_count
        del model.messages[one.position]
    got = positions(taken.received)
    assert len(set(got)) == len(got)
    fresh = {
        p
        for p in allowed & model.messages.keys()
        if terms.max_receive_count is None or model.messages[p].receive_count < terms.max_receive_count
    }
    assert set(got) <= fresh
    room = max(0, terms.max_in_flight - flying)
    assert len(got) == min(count, len(fresh), room if hide or not room else count)
    if model.is_fifo:
        by_group: dict[str | None, list[int]] = defaultdict(list)
        for p in got:
            by_group[model.messages[p].group].append(p)
        for group, some in by_group.items():
            assert some == sorted(p for p in fresh if model.messages[p].group == group)[: len(some)]
    for p in got:
        model.messages[p].receive_count += 1
        model.messages[p].visible_at_ms = at(now + hide)
