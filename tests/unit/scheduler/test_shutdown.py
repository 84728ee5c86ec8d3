"""Budgets of the shutdown phase, and whose turn it is."""

import pytest

from squib.scheduler.shutdown import Reason, Turn, begin, next_change_ms, turn

BUDGETS = {  # external, internal -> the runtime's time, the whole
    (0, 0): None,
    (0, 1): (500, 500),
    (1, 0): (300, 2000),
    (2, 1): (500, 2000),
}


@pytest.mark.parametrize(("external", "internal"), BUDGETS)
def test_budget_depends_on_what_is_registered(external: int, internal: int) -> None:
    phase = begin(Reason.SPINDOWN, external_count=external, internal_count=internal, now_ms=100)
    expected = BUDGETS[external, internal]
    assert phase.has_budget == (expected is not None)
    if expected is not None:
        assert (phase.runtime_until_ms - 100, phase.until_ms - 100) == expected


@pytest.mark.parametrize(
    ("now_ms", "is_runtime_alive", "living", "expected"),
    [
        (0, True, 1, Turn.RUNTIME),
        (0, True, 0, Turn.RUNTIME),
        (0, False, 1, Turn.EXTENSIONS),
        (0, False, 0, Turn.NOBODY),
        (300, True, 1, Turn.EXTENSIONS),
        (300, True, 0, Turn.NOBODY),
        (1999, False, 1, Turn.EXTENSIONS),
        (2000, False, 1, Turn.NOBODY),
        (2000, True, 1, Turn.NOBODY),
    ],
)
def test_turns_with_an_external_extension(
    now_ms: float, is_runtime_alive: bool, living: int, expected: Turn
) -> None:
    phase = begin(Reason.TIMEOUT, external_count=1, internal_count=0, now_ms=0)
    now = turn(phase, is_runtime_alive=is_runtime_alive, living_extensions=living, now_ms=now_ms)
    assert now is expected


def test_without_extensions_nobody_is_waited_for() -> None:
    phase = begin(Reason.FAILURE, external_count=0, internal_count=0, now_ms=5)
    assert turn(phase, is_runtime_alive=True, living_extensions=0, now_ms=5) is Turn.NOBODY


def test_time_changes_the_turn_twice() -> None:
    phase = begin(Reason.SPINDOWN, external_count=1, internal_count=0, now_ms=0)
    assert [next_change_ms(phase, now_ms=now) for now in (0, 299, 300)] == [300, 300, 2000]
