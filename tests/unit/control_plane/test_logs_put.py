"""PutLogEvents: the rules of a batch."""

from collections.abc import Mapping

import pytest

from squib.control_plane.logs.put import accepted
from squib.model.errors import InvalidParameter
from squib.model.units import EpochMs

NOW = EpochMs(1_700_000_000_000)
HOUR = 3600 * 1000
DAY = 24 * HOUR


def batch(*offsets: int, message: str = "x") -> list[Mapping[str, object]]:
    return [{"timestamp": NOW + offset, "message": message} for offset in offsets]


@pytest.mark.parametrize(
    ("offsets", "retention_days", "taken", "rejected"),
    [
        ([0], None, [0], {}),
        ([-14 * DAY, -14 * DAY + DAY], None, [-14 * DAY, -13 * DAY], {}),
        ([-14 * DAY - 1, -13 * DAY], None, [-13 * DAY], {"tooOldLogEventEndIndex": 1}),
        ([0, 2 * HOUR], None, [0, 2 * HOUR], {}),
        ([0, 0, 2 * HOUR + 1, 9 * DAY], None, [0, 0], {"tooNewLogEventStartIndex": 2}),
        ([-3 * DAY, -DAY, 0], 1, [-DAY, 0], {"expiredLogEventEndIndex": 1}),
        (
            [-20 * DAY, -3 * DAY, 0, 3 * HOUR],
            1,
            [0],
            {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2, "tooNewLogEventStartIndex": 3},
        ),
        ([-20 * DAY], None, [], {"tooOldLogEventEndIndex": 1}),
        ([3 * HOUR], None, [], {"tooNewLogEventStartIndex": 0}),
    ],
)
def test_events_out_of_time_are_rejected_and_the_others_taken(
    offsets: list[int], retention_days: int | None, taken: list[int], rejected: Mapping[str, int]
) -> None:
    found = accepted(batch(*offsets), retention_days=retention_days, now_ms=NOW)
    assert [at - NOW for at, _ in found.events] == taken
    assert found.rejected == rejected


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (batch(1, 0), "Log events in a single PutLogEvents request must be in chronological order."),
        (
            batch(-DAY - 1, 0),
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ),
        (
            batch(0, message="é" * (512 * 1024 - 12)),
            "Log event too large: 1048578 bytes exceeds limit of 1048576",
        ),
        (
            batch(0, 0, message="x" * (512 * 1024 - 25)),
            "Upload too large: 1048578 bytes exceeds limit of 1048576",
        ),
    ],
)
def test_a_batch_against_the_rules_is_refused_whole(given: list[Mapping[str, object]], text: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        accepted(given, retention_days=None, now_ms=NOW)
    assert refused.value.message == text


def test_the_greatest_batches_are_taken() -> None:
    assert (
        len(accepted(batch(0, message="x" * (1024 * 1024 - 26)), retention_days=None, now_ms=NOW).events) == 1
    )
    halves = batch(-DAY, 0, message="x" * (512 * 1024 - 26))
    assert len(accepted(halves, retention_days=None, now_ms=NOW).events) == 2
