"""Which series count for which dimensions, and what statistics are made of them."""

from collections.abc import Mapping

import pytest

from squib.model.metric import METRICS, concerns, dimensions, points, statistic
from squib.model.units import AccountId, Region
from squib.model.usage import SeriesKey, Tally, repeated

PLAIN = SeriesKey(AccountId("0" * 12), Region("us-east-1"), "f", "", "$LATEST")
LIVE = PLAIN._replace(qualifier="live", version="3")
THIRD = PLAIN._replace(qualifier="3", version="3")
WHOLE = PLAIN._replace(version="")
REGION = WHOLE._replace(function="")
ALL = (PLAIN, LIVE, THIRD, WHOLE, REGION)
OTHER = PLAIN._replace(function="g")

F, R, V = "FunctionName", "Resource", "ExecutedVersion"
CASES: list[tuple[str, Mapping[str, str], set[SeriesKey]]] = [
    ("Invocations", {}, {PLAIN, LIVE, THIRD, WHOLE, OTHER}),
    ("Invocations", {F: "f"}, {PLAIN, LIVE, THIRD, WHOLE}),
    ("Invocations", {F: "f", R: "f"}, {PLAIN, WHOLE}),
    ("Invocations", {F: "f", R: "f:live"}, {LIVE}),
    ("Invocations", {F: "f", R: "f:3"}, {THIRD}),
    ("Invocations", {F: "f", R: "f:live", V: "3"}, {LIVE}),
    ("Invocations", {F: "f", R: "f:live", V: "4"}, set()),
    ("Invocations", {F: "f", R: "f:3", V: "3"}, set()),
    ("Invocations", {R: "f"}, set()),
    ("Invocations", {F: "f", "Colour": "red"}, set()),
    ("ConcurrentExecutions", {}, {REGION}),
    ("ConcurrentExecutions", {F: "f"}, {WHOLE}),
    ("ConcurrentExecutions", {F: "f", R: "f"}, set()),
]


@pytest.mark.parametrize(("name", "wanted", "series"), CASES)
def test_dimensions_pick_their_series(name: str, wanted: Mapping[str, str], series: set[SeriesKey]) -> None:
    assert {one for one in (*ALL, OTHER) if concerns(name, wanted, one)} == series


@pytest.mark.parametrize("name", METRICS)
def test_a_series_is_listed_under_the_dimensions_that_take_it(name: str) -> None:
    for series in ALL:
        for found in dimensions(name, series):
            assert concerns(name, found, series)


def test_counts_have_the_statistics_that_aws_gives_them() -> None:
    tally = Tally(invocations=8, errors=2, throttles=4)
    for value in (100, 200, 300, 40_000):
        tally.durations_10us.add(value)

    def made(metric: str) -> list[float]:
        names = ("SampleCount", "Sum", "Average", "Minimum", "Maximum")
        return [make(METRICS[metric].of(tally)) for name in names if (make := statistic(name))]

    assert made("Invocations") == [8, 8, 1, 1, 1]
    assert made("Errors") == [8, 2, 0.25, 0, 1]
    assert made("Throttles") == [12, 4, pytest.approx(1 / 3), 0, 1]
    assert made("Duration") == [4, 406, 101.5, 1, 400]
    assert METRICS["AsyncEventAge"].of(tally).count == 0


@pytest.mark.parametrize(("name", "value"), [("p50", 2), ("p99.9", 400), ("p0", 1), ("p100", 400)])
def test_percentiles_of_durations(name: str, value: float) -> None:
    tally = Tally()
    for duration_10us in (100, 200, 300, 40_000):
        tally.durations_10us.add(duration_10us)
    make = statistic(name)
    assert make is not None
    assert make(tally.durations_10us) == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize("name", ["p101", "p", "tm90", "IQM", "PR(1:2)", "median", "p99.", "p-1"])
def test_other_statistics_are_none(name: str) -> None:
    assert statistic(name) is None


def test_periods_begin_where_they_are_told_and_leave_out_what_is_empty() -> None:
    values = [
        (60, repeated({100: 1})),
        (120, repeated({})),
        (180, repeated({100: 2})),
        (360, repeated({0: 1})),
    ]
    found = points(values, from_s=60, period_s=180)
    assert [(start_s, summary.count) for start_s, summary in found] == [(60, 3), (240, 1)]
