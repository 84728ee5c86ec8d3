"""Events that wait: order, turns, times and blocked functions."""

from hypothesis import given
from hypothesis import strategies as st

from squib.model.function import FunctionKey
from squib.model.units import AccountId, EpochMs, Region
from squib.scheduler.backlog import Backlog

A, B, C = (FunctionKey(AccountId("0" * 12), Region("eu-west-1"), name) for name in "abc")
NOW = EpochMs(1_000)


def drained(backlog: Backlog[str], now_ms: int = NOW) -> list[str]:
    found = []
    while (item := backlog.take(now_ms=EpochMs(now_ms))) is not None:
        found.append(item)
    return found


def filled(*items: str) -> Backlog[str]:
    backlog: Backlog[str] = Backlog()
    for item in items:
        backlog.add({"a": A, "b": B, "c": C}[item[0]], item, 0, now_ms=NOW)
    return backlog


def test_functions_take_turns_and_keep_their_order() -> None:
    assert drained(filled("a1", "a2", "a3", "b1", "c1", "b2")) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_what_is_due_later_comes_later() -> None:
    backlog = filled("a1")
    backlog.add(A, "a2", 3_000, now_ms=NOW)
    backlog.add(B, "b1", 2_000, now_ms=NOW)
    assert len(backlog) == 3
    assert backlog.next_due_ms() == 2_000
    assert drained(backlog) == ["a1"]
    assert drained(backlog, 2_000) == ["b1"]
    assert drained(backlog, 5_000) == ["a2"]
    assert backlog.next_due_ms() is None
    assert len(backlog) == 0


def test_a_function_that_is_blocked_holds_up_no_other() -> None:
    backlog = filled("a1", "a2", "b1")
    assert backlog.take(now_ms=NOW) == "a1"
    assert backlog.refused(A) == 1
    backlog.block(A, "a1", 5_000)
    assert drained(backlog) == ["b1"]
    backlog.add(A, "a3", 0, now_ms=NOW)
    assert drained(backlog) == []
    assert not backlog.is_ready()
    assert backlog.next_due_ms() == 5_000
    assert drained(backlog, 5_000) == ["a1", "a2", "a3"]


def test_a_function_is_unblocked_when_it_may_have_room() -> None:
    backlog = filled("a1")
    assert backlog.take(now_ms=NOW) == "a1"
    assert [backlog.refused(A), backlog.refused(A)] == [1, 2]
    backlog.block(A, "a1", 5_000)
    backlog.unblock_all(now_ms=NOW)
    assert drained(backlog) == ["a1"]
    assert backlog.refused(A) == 1


def test_what_was_taken_leaves_nothing_behind() -> None:
    backlog = filled("a1", "b1")
    drained(backlog)
    assert list(backlog.lanes()) == []


@given(
    st.lists(
        st.tuples(st.sampled_from([A, B, C]), st.integers(0, 50), st.sampled_from(["take", "block", "go"])),
        max_size=60,
    )
)
def test_nothing_is_lost_or_doubled(steps: list[tuple[FunctionKey, int, str]]) -> None:
    backlog: Backlog[int] = Backlog()
    now_ms, done = 0, []
    for number, (function, later_ms, action) in enumerate(steps):
        backlog.add(function, number, now_ms + later_ms, now_ms=EpochMs(now_ms))
        taken = backlog.take(now_ms=EpochMs(now_ms))
        if taken is not None:
            if action == "block":
                backlog.refused(steps[taken][0])
                backlog.block(steps[taken][0], taken, now_ms + later_ms)
            else:
                done.append(taken)
                backlog.unblock(steps[taken][0], now_ms=EpochMs(now_ms))
        now_ms += 7
    while (due := backlog.next_due_ms()) is not None or backlog.is_ready():
        now_ms = max(now_ms, due or 0)
        while (item := backlog.take(now_ms=EpochMs(now_ms))) is not None:
            done.append(item)
    assert sorted(done) == list(range(len(steps)))
