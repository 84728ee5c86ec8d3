"""Tallies add up in any order, and quantiles are near the truth."""

import math
from functools import reduce

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.units import AccountId, Region
from squib.model.usage import HOUR_S, MINUTE_S, SeriesKey, Span, Summary, Tally, by_version, repeated

VALUES = st.lists(st.integers(0, 90_000_000), max_size=60)


def summary(values: list[int]) -> Summary:
    made = Summary()
    for value in values:
        made.add(value)
    return made


@given(VALUES, VALUES)
def test_merged_summaries_are_the_summary_of_all(one: list[int], two: list[int]) -> None:
    merged = summary(one)
    merged.merge(summary(two))
    assert merged == summary(one + two)
    assert (merged.count, merged.total) == (len(one + two), sum(one + two))


@given(st.lists(st.integers(0, 90_000_000), min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_is_within_a_hundredth_of_the_true_one(values: list[int], share: float) -> None:
    truth = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert summary(values).quantile(share) == pytest.approx(truth, rel=1 / 100)


def test_a_quantile_of_nothing_is_nothing() -> None:
    assert Summary().quantile(0.5) == 0


@given(st.dictionaries(st.integers(0, 5_000), st.integers(0, 9), max_size=5))
def test_repeated_values_are_those_values(counts: dict[int, int]) -> None:
    assert repeated(counts) == summary([value for value, count in counts.items() for _ in range(count)])


def tally(number: int) -> Tally:
    made = Tally(invocations=number, billed_mib_ms=number * 1024 * 1000, peak=number)
    made.durations_10us.add(number)
    made.other("AsyncEventAge").add(number)
    return made


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=8))
def test_tallies_add_up_and_survive_their_encoding(numbers: list[int]) -> None:
    def add(one: Tally, two: Tally) -> Tally:
        one.merge(msgspec.msgpack.decode(msgspec.msgpack.encode(two), type=Tally))
        return one

    merged = reduce(add, (tally(number) for number in numbers), Tally())
    assert merged.invocations == merged.gb_seconds == sum(numbers)
    assert merged.peak == max(numbers)
    assert merged.durations_10us == merged.others["AsyncEventAge"] == summary(numbers)


def test_empty_tallies_share_nothing() -> None:
    one, two = Tally(), Tally()
    one.other("Throttles").add(1)
    one.durations_10us.add(5)
    assert two == Tally()


def test_a_bill_has_one_row_a_version_and_hour_whatever_the_function_was_called_by() -> None:
    series = SeriesKey(AccountId("000000000000"), Region("us-east-1"), "f", "", "1")
    spans = [
        Span(series._replace(qualifier="live"), 0, tally(1)),
        Span(series._replace(qualifier="1"), HOUR_S - MINUTE_S, tally(2)),
        Span(series, HOUR_S, tally(4)),
        Span(series._replace(version=""), 0, tally(8)),
    ]
    rows = [(key, start_s, found.invocations) for key, start_s, found in by_version(spans)]
    assert rows == [(series, 0, 3), (series, HOUR_S, 4)]
