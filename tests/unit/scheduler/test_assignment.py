"""Which environment serves an invocation, as named examples."""

import pytest

from squib.scheduler.assignment import Assignment, assign, least_recently_used

CASES = {
    "an idle one is taken": ({"idle": 1}, Assignment.REUSE),
    "an idle one is taken though there is no room": ({"idle": 1, "total": 10}, Assignment.REUSE),
    "nothing there: one is started": ({}, Assignment.START),
    "one is starting for each that waits: one more": (
        {"starting": 2, "waiting": 2, "total": 2},
        Assignment.START,
    ),
    "one is starting that nobody waits for": ({"starting": 1, "total": 1}, Assignment.WAIT),
    "busy ones do not keep a new one from starting": ({"busy": 3, "total": 3}, Assignment.START),
    "no room, but another function is idle": (
        {"total": 10, "evictable": 4, "busy": 2},
        Assignment.EVICT_AND_START,
    ),
    "no room, one will be free": ({"total": 10, "busy": 1}, Assignment.WAIT),
    "no room, one is starting for another": ({"total": 10, "starting": 1, "waiting": 1}, Assignment.WAIT),
    "no room and none of this version": ({"total": 10}, Assignment.REFUSE),
    "many are being made": ({"busy": 3, "total": 3, "making": 1}, Assignment.START_LATER),
    "many are being made, but one is not spoken for": ({"starting": 1, "making": 1}, Assignment.WAIT),
}


@pytest.mark.parametrize("name", CASES)
def test_assignment(name: str) -> None:
    counts, expected = CASES[name]
    assert (
        assign(
            idle_count=counts.get("idle", 0),
            starting_count=counts.get("starting", 0),
            waiting_count=counts.get("waiting", 0),
            busy_count=counts.get("busy", 0),
            has_room=counts.get("total", 0) < 10,
            evictable_count=counts.get("evictable", 0),
            may_make="making" not in counts,
        )
        is expected
    )


def test_the_one_longest_unused_makes_room() -> None:
    assert least_recently_used([(3.0, "c"), (1.0, "a"), (2.0, "b")]) == "a"
    assert least_recently_used(()) is None
