"""The benchmark's arithmetic: ratios within rounds, verdicts, and what is said when something is missing."""

import pytest
from bench.cells import Sample
from bench.contestants.base import Cell
from bench.report import Run, Verdict, document, text, verdicts


def sample(failed: int = 0, **values: float) -> Sample:
    return Sample(values=values, ok=10, failed=failed)


def verdict(run: Run, label: str) -> Verdict:
    return next(found for found in verdicts(run) if found.label == label)


def warm_run(*, ours: list[float], theirs: list[float | None]) -> Run:
    reference = [sample(p50_ms=p50, rate_per_s=1000 / p50) if p50 else None for p50 in theirs]
    squib = [sample(p50_ms=p50, rate_per_s=1000 / p50) for p50 in ours]
    return Run(results={Cell.WARM: {"squib": squib, "reference": reference}}, facts={})


def test_a_ratio_is_taken_within_each_round_and_then_the_median() -> None:
    run = warm_run(ours=[1.0, 8.0, 1.0], theirs=[1.0, 8.0, 0.5])
    found = verdict(run, "warm p50 over the C reference")
    assert (found.measure, found.spread, found.rounds, found.passed) == (1.0, (1.0, 2.0), 3, True)


def test_a_round_without_the_other_contestant_gives_no_ratio() -> None:
    found = verdict(warm_run(ours=[2.0, 9.0], theirs=[1.0, None]), "warm p50 over the C reference")
    assert (found.measure, found.rounds, found.passed) == (2.0, 1, False)


def test_a_target_without_anything_to_compare_with_is_not_measured() -> None:
    found = verdict(warm_run(ours=[1.0], theirs=[1.0]), "warm rate over AWS's emulator")
    assert (found.measure, found.passed) == (None, None)


@pytest.mark.parametrize(("rate", "passed"), [(5999.0, False), (6000.0, True)])
def test_a_lower_bound_is_met_from_the_bound_on(rate: float, passed: bool) -> None:
    run = Run(
        results={
            Cell.THROUGHPUT: {"squib": [sample(rate_per_s=rate)], "reference": [sample(rate_per_s=10000)]}
        },
        facts={},
    )
    assert verdict(run, "rate at 32 clients over the C reference").passed is passed


def test_the_worst_burst_decides() -> None:
    bursts = [sample(wall_ms=wall_ms) for wall_ms in (1200, 1300, 2100)]
    found = verdict(Run(results={Cell.BURST: {"squib": bursts}}, facts={}), "burst 50 x 1 s, worst round, ms")
    assert (found.measure, found.passed) == (2100, False)


def test_failed_requests_and_failed_measurements_of_squib_are_counted() -> None:
    run = Run(
        results={Cell.WARM: {"squib": [sample(failed=2), None], "ministack": [sample(failed=5)]}},
        facts={},
        troubles=["squib in warm: BadAnswer: not an echo", "ministack in warm: BadAnswer"],
    )
    found = verdict(run, "failed requests of squib, all cells")
    assert (found.measure, found.passed) == (3, False)


def test_the_table_names_who_was_absent_and_who_failed() -> None:
    run = warm_run(ours=[1.0], theirs=[None])
    run.absent["ministack"] = "no network"
    said = text(run)
    assert "not measured: ministack: no network" in said
    assert "0 + error" in said
    assert document(run)["samples"]["warm"]["reference"] == [None]
