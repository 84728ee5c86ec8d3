"""From samples to figures: medians over rounds, ratios within rounds, targets, and the table."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench.cells import BURST, CLIENTS, Sample
from bench.contestants.base import Cell

Results = Mapping[Cell, Mapping[str, Sequence[Sample | None]]]
"""Samples by cell and contestant, one a round; None where a round gave none."""

ORDER: Final = ("squib", "reference", "bare", "emulator", "ministack")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    cell: Cell
    value: str
    label: str
    fold: Callable[[list[float]], float] = statistics.median


ROWS: Final = (
    Row(cell=Cell.WARM, value="p50_ms", label="warm, 1 client: p50 ms"),
    Row(cell=Cell.WARM, value="p99_ms", label="warm, 1 client: p99 ms"),
    Row(cell=Cell.WARM, value="rate_per_s", label="warm, 1 client: a second"),
    Row(cell=Cell.THROUGHPUT, value="rate_per_s", label=f"{CLIENTS} clients: a second"),
    Row(cell=Cell.THROUGHPUT, value="p50_ms", label=f"{CLIENTS} clients: p50 ms"),
    Row(cell=Cell.THROUGHPUT, value="p99_ms", label=f"{CLIENTS} clients: p99 ms"),
    Row(cell=Cell.COLD_PYTHON, value="p50_ms", label="cold start Python: p50 ms"),
    Row(cell=Cell.COLD_PYTHON, value="max_ms", label="cold start Python: worst ms", fold=max),
    Row(cell=Cell.COLD_NODE, value="p50_ms", label="cold start Node.js: p50 ms"),
    Row(cell=Cell.COLD_NODE, value="max_ms", label="cold start Node.js: worst ms", fold=max),
    Row(cell=Cell.BURST, value="wall_ms", label=f"burst {BURST} x 1 s, cold: ms until all answered"),
    Row(cell=Cell.BURST, value="wall_ms", label="the same, worst round", fold=max),
    Row(cell=Cell.PAYLOAD, value="p50_ms", label="6 MB echo: p50 ms"),
    Row(cell=Cell.DISCONNECT, value="p50_ms", label="after clients vanished: p50 ms"),
    Row(cell=Cell.MEMORY, value="idle_rss_mib", label="idle server: RSS of all processes, MiB"),
    Row(cell=Cell.MEMORY, value="idle_pss_mib", label="idle server: PSS of all processes, MiB"),
    Row(cell=Cell.MEMORY, value="serving_rss_mib", label="server in use, environments left out: RSS, MiB"),
    Row(cell=Cell.MEMORY, value="serving_pss_mib", label="the same: PSS, MiB"),
    Row(cell=Cell.MEMORY, value="environment_own_mib", label="idle warm Python environment: own, MiB"),
    Row(cell=Cell.MEMORY, value="environment_anonymous_mib", label="the environment: anonymous, MiB"),
    Row(cell=Cell.MEMORY, value="environment_pss_mib", label="the environment: PSS, MiB"),
    Row(cell=Cell.MEMORY, value="environment_cgroup_mib", label="the environment: its memory cgroup, MiB"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A promise about squib: the measure must be at most, or at least, the bound."""

    label: str
    cell: Cell
    value: str
    bound: float
    at_least: bool = False
    against: str | None = None
    """Measured as a ratio to this contestant within each round; None: as it is."""
    fold: Callable[[list[float]], float] = statistics.median


TARGETS: Final = (
    Target(
        label="warm p50 over the C reference",
        cell=Cell.WARM,
        value="p50_ms",
        bound=1.5,
        against="reference",
    ),
    Target(
        label="warm rate over AWS's emulator",
        cell=Cell.WARM,
        value="rate_per_s",
        bound=1.0,
        at_least=True,
        against="emulator",
    ),
    Target(
        label=f"rate at {CLIENTS} clients over the C reference",
        cell=Cell.THROUGHPUT,
        value="rate_per_s",
        bound=0.6,
        at_least=True,
        against="reference",
    ),
    Target(
        label=f"rate at {CLIENTS} clients over MiniStack",
        cell=Cell.THROUGHPUT,
        value="rate_per_s",
        bound=10,
        at_least=True,
        against="ministack",
    ),
    Target(label="cold start Python, p50 ms", cell=Cell.COLD_PYTHON, value="p50_ms", bound=20),
    Target(label="cold start Node.js, p50 ms", cell=Cell.COLD_NODE, value="p50_ms", bound=80),
    Target(
        label=f"burst {BURST} x 1 s, worst round, ms", cell=Cell.BURST, value="wall_ms", bound=2000, fold=max
    ),
    Target(
        label="6 MB echo p50 over AWS's emulator",
        cell=Cell.PAYLOAD,
        value="p50_ms",
        bound=1.2,
        against="emulator",
    ),
    Target(label="idle squib, RSS of all processes, MiB", cell=Cell.MEMORY, value="idle_rss_mib", bound=120),
    Target(
        label="idle warm Python environment, own MiB", cell=Cell.MEMORY, value="environment_own_mib", bound=12
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target beside its measure."""

    label: str
    bound: str
    measure: float | None
    """None when there was nothing to measure, or nothing to compare with."""
    spread: tuple[float, float] | None
    """The lowest and highest round."""
    rounds: int
    passed: bool | None


@dataclass
class Run:
    """Everything a run found out."""

    results: Results
    facts: dict[str, Any]
    absent: dict[str, str] = field(default_factory=dict)
    """Contestants that were not measured, and why."""
    troubles: list[str] = field(default_factory=list)
    """What went wrong in single measurements."""
    left_behind: dict[str, int] = field(default_factory=dict)


def values(run: Run, cell: Cell, contestant: str, value: str) -> list[float]:
    """One figure of every round that gave it."""
    samples = run.results.get(cell, {}).get(contestant, ())
    return [sample.values[value] for sample in samples if sample and value in sample.values]


def ratios(run: Run, target: Target) -> list[float]:
    """squib's figure over the other's, in each round that has both."""
    assert target.against
    cell = run.results.get(target.cell, {})
    pairs = zip(cell.get("squib", ()), cell.get(target.against, ()), strict=False)
    return [
        ours.values[target.value] / theirs.values[target.value]
        for ours, theirs in pairs
        if ours and theirs and theirs.values.get(target.value) and target.value in ours.values
    ]


def verdicts(run: Run) -> list[Verdict]:
    """Every target whose cell was asked for, and whether a request to squib failed."""
    found = []
    for target in TARGETS:
        if target.cell not in run.results:
            continue
        measured = ratios(run, target) if target.against else values(run, target.cell, "squib", target.value)
        measure = target.fold(measured) if measured else None
        passed = None
        if measure is not None:
            passed = measure >= target.bound if target.at_least else measure <= target.bound
        found.append(
            Verdict(
                label=target.label,
                bound=f"{'>=' if target.at_least else '<='} {target.bound:g}",
                measure=measure,
                spread=(min(measured), max(measured)) if measured else None,
                rounds=len(measured),
                passed=passed,
            )
        )
    ours = [sample for cell in run.results.values() for sample in cell.get("squib", ()) if sample]
    failed = [sample.failed for sample in ours]
    total = sum(failed) + sum(trouble.startswith("squib ") for trouble in run.troubles) if failed else None
    found.append(
        Verdict(
            label="failed requests of squib, all cells",
            bound="= 0",
            measure=total,
            spread=None,
            rounds=len(failed),
            passed=None if total is None else total == 0,
        )
    )
    return found


def text(run: Run) -> str:
    """The whole report for a terminal."""
    names = [name for name in ORDER if any(name in cell for cell in run.results.values())]
    lines = ["", f"{'':46}" + "".join(f"{name:>12}" for name in names)]
    for row in ROWS:
        if row.cell not in run.results:
            continue
        cells = [values(run, row.cell, name, row.value) for name in names]
        lines.append(f"{row.label:46}" + "".join(f"{_figure(row.fold(v) if v else None):>12}" for v in cells))
    for cell, by_name in run.results.items():
        counts = [by_name.get(name) for name in names]
        totals = ["-" if c is None else _failures(c) for c in counts]
        lines.append(f"{f'failed requests: {cell}':46}" + "".join(f"{total:>12}" for total in totals))
    lines += ["", f"{'target':46}{'bound':>10}{'measured':>12}{'lowest..highest round':>26}"]
    for verdict in verdicts(run):
        spread = f"{_figure(verdict.spread[0])}..{_figure(verdict.spread[1])}" if verdict.spread else ""
        word = {True: "PASS", False: "MISS", None: "not measured"}[verdict.passed]
        measure = _figure(verdict.measure)
        lines.append(f"{verdict.label:46}{verdict.bound:>10}{measure:>12}{spread:>26}  {word}")
    lines.append("")
    lines += [f"not measured: {name}: {why}" for name, why in run.absent.items()]
    lines += [f"trouble: {trouble}" for trouble in run.troubles]
    lines += [f"trouble: {name} left {count} processes behind" for name, count in run.left_behind.items()]
    lines += [f"{name}: {fact}" for name, fact in run.facts.items()]
    return "\n".join(lines)


def document(run: Run) -> dict[str, Any]:
    """The same with every sample, for bench/out/results.json."""
    return {
        "facts": run.facts,
        "absent": run.absent,
        "troubles": run.troubles,
        "left_behind": run.left_behind,
        "targets": [
            {
                "label": v.label,
                "bound": v.bound,
                "measure": v.measure,
                "spread": v.spread,
                "rounds": v.rounds,
                "passed": v.passed,
            }
            for v in verdicts(run)
        ],
        "samples": {
            str(cell): {name: [_plain(sample) for sample in samples] for name, samples in by_name.items()}
            for cell, by_name in run.results.items()
        },
    }


def _plain(sample: Sample | None) -> dict[str, Any] | None:
    if sample is None:
        return None
    return {**sample.values, **sample.raw, "ok": sample.ok, "failed": sample.failed}


def _failures(samples: Sequence[Sample | None]) -> str:
    return f"{sum(sample.failed for sample in samples if sample)}" + (" + error" if None in samples else "")


def _figure(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.0f}" if abs(number) >= 1000 or number == int(number) else f"{number:.3g}"
