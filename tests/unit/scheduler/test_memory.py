"""The memory budget: counted with what those that start will hold, without what those that stop still do."""

import pytest

from squib.scheduler.memory import excess_count

MIB = 1 << 20


@pytest.mark.parametrize(
    ("used", "settled", "stopping", "starting", "more", "expected"),
    [
        (0, 0, 0, 0, 1, 0),  # the first
        (0, 0, 0, 12, 1, 1),  # each is counted as 8 MiB at least
        (60, 3, 0, 0, 2, 0),  # as much as the others, 20 MiB
        (60, 3, 0, 0, 3, 1),
        (60, 2, 0, 1, 2, 1),  # one that starts may hold as much again
        (80, 3, 1, 0, 2, 0),  # one that stops gives 20 MiB back
        (100, 3, 0, 2, 0, 0),  # but ends none that is there
        (101, 5, 0, 0, 0, 1),
        (140, 7, 0, 0, 0, 2),
        (140, 5, 2, 0, 0, 0),
        (200, 2, 0, 0, 1, 2),
    ],
)
def test_as_many_are_too_many_as_hold_what_is_too_much(
    used: int, settled: int, stopping: int, starting: int, more: int, expected: int
) -> None:
    got = excess_count(
        used_bytes=used * MIB,
        settled_count=settled,
        stopping_count=stopping,
        starting_count=starting,
        more=more,
        budget_bytes=100 * MIB,
    )
    assert got == expected
