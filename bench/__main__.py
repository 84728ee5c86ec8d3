"""`python -m bench`: starts the contestants, goes round, ends every process it started, reports."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from bench.cells import FULL, MEASURES, QUICK, Bench, Sample
from bench.client import is_listening
from bench.contestants.base import Cell, Contestant
from bench.contestants.emulator import Emulator
from bench.contestants.ministack import MiniStack
from bench.contestants.reference import Bare, Reference
from bench.contestants.squib import Squib
from bench.load import CompiledGenerator, Generator, PythonGenerator
from bench.process import adopt_orphans, busy_percent, end_orphans
from bench.provision import EMULATOR_WHEEL, MINISTACK, OUT, Missing, compiled, runtime
from bench.report import ORDER, Run, document, text, verdicts
from squib.environment.runtimes import Runtime, RuntimeKind

TROUBLES_PER_CELL: Final = 2  # then a contestant is not tried in that cell again
INTERRUPTED: Final = 130  # exit status after a signal, or when the time was over long ago
OVERTIME_S: Final = 15.0  # after the budget, whatever hangs is interrupted


class OutOfTime(BaseException):
    """The run took longer than it may; nothing but the end of the program catches it."""


def main() -> int:
    """Runs what the command line asks for; the exit status is 0 when squib was measured."""
    options = _parse()
    effort = QUICK if options.quick else FULL
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, effort.budget_s + OVERTIME_S)
    adopt_orphans()
    deadline_s = time.monotonic() + effort.budget_s
    (OUT / "logs").mkdir(parents=True, exist_ok=True)
    cells: list[Cell] = options.only or list(Cell)
    status = 0
    run = Run(results={cell: {} for cell in cells}, facts=_facts(options.quick))
    with _contestants(options, run) as contestants:
        generator = _generator(run)
        try:
            _go_round(contestants, Bench(effort=effort, generator=generator), cells, run, deadline_s)
        except (KeyboardInterrupt, OutOfTime) as interrupted:
            run.troubles.append(f"the run was cut short: {type(interrupted).__name__}")
            status = INTERRUPTED
    run.facts["processors busy with other work after"] = f"{busy_percent():.0f} %"
    print(text(run), flush=True)
    results = OUT / "results.json"
    results.write_text(json.dumps(document(run), indent=1) + "\n")
    print(f"every sample: {results}", flush=True)
    missed = any(verdict.passed is not True for verdict in verdicts(run))
    return 1 if "squib" in run.absent or (options.strict and missed) else status


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="Measures squib beside a C reference router, the bare runtime interface client, AWS's "
        "runtime interface emulator and MiniStack, alternating in one run: see docs/benchmarks.md.",
    )
    parser.add_argument("--quick", action="store_true", help="3 short rounds: indicative only")
    parser.add_argument("--only", type=_cells, metavar="CELL,...", help=", ".join(Cell))
    parser.add_argument("--contestants", type=_names, metavar="NAME,...", help=", ".join(ORDER))
    parser.add_argument("--strict", action="store_true", help="exit with 1 unless every target is met")
    parser.add_argument("--squib-arguments", default="", metavar="TEXT", help="more flags for `squib serve`")
    return parser.parse_args()


def _cells(given: str) -> list[Cell]:
    try:
        return [Cell(name) for name in given.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; cells are {', '.join(Cell)}") from error


def _names(given: str) -> list[str]:
    names = given.split(",")
    if unknown := set(names) - set(ORDER):
        raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; contestants are {', '.join(ORDER)}")
    return names


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise OutOfTime if number == signal.SIGALRM else KeyboardInterrupt


def _facts(quick: bool) -> dict[str, object]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    facts: dict[str, object] = {
        "machine": f"{os.cpu_count()} x {model}, Linux {platform.release()}",
        "squib's Python": platform.python_version(),
        "peers": f"emulator of {EMULATOR_WHEEL}, {MINISTACK}",
        "processors busy with other work before": f"{busy_percent():.0f} %",
    }
    if quick:
        facts["rounds"] = "too few for conclusions: --quick"
    return facts


def _generator(run: Run) -> Generator:
    try:
        generator: Generator = CompiledGenerator(compiled("load"))
    except Missing as missing:
        generator = PythonGenerator()
        run.troubles.append(f"load comes from Python and takes a core of its own: {missing}")
    run.facts["load generator"] = generator.name
    return generator


@contextmanager
def _contestants(options: argparse.Namespace, run: Run) -> Iterator[list[Contestant]]:
    """Those that could be started; all are ended whatever happens."""
    wanted: list[str] = options.contestants or list(ORDER)
    python, node = runtime(RuntimeKind.PYTHON, "python3.11"), _node(run)
    run.facts["function runtimes"] = ", ".join(
        f"{found.name} ({found.version}, {found.interpreter})" for found in (python, node) if found
    )
    reference = Reference(python=python, node=node)
    makers: dict[str, Callable[[], Contestant]] = {
        "squib": lambda: Squib(
            python=python.name, node=node.name if node else None, arguments=options.squib_arguments
        ),
        "reference": lambda: reference,
        "bare": lambda: Bare(reference),
        "emulator": lambda: Emulator(python=python, node=node),
        "ministack": lambda: MiniStack(python=python, node=node),
    }
    started: list[Contestant] = []
    tried: list[Contestant] = []
    try:
        for name in ORDER:
            if name not in wanted:
                continue
            if name == "bare" and reference not in started:
                run.absent[name] = "it is measured through the reference's router, which is not here"
                continue
            print(f"starting {name}", file=sys.stderr, flush=True)
            contestant = makers[name]()
            tried.append(contestant)
            try:
                contestant.start()
                started.append(contestant)
            except Exception as error:
                run.absent[name] = _line(error)
        yield started
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for contestant in reversed(tried):
            if left := contestant.stop():
                run.left_behind[contestant.name] = left
        if orphans := end_orphans():
            run.left_behind["somebody"] = orphans


def _node(run: Run) -> Runtime | None:
    try:
        return runtime(RuntimeKind.NODEJS, "nodejs20.x")
    except Missing as missing:
        run.absent[f"cell {Cell.COLD_NODE}"] = str(missing)
        return None


def _go_round(
    contestants: list[Contestant], bench: Bench, cells: list[Cell], run: Run, deadline_s: float
) -> None:
    """Every cell visits every contestant in each round, the order turned by one from round to round."""
    troubles: dict[tuple[Cell, str], int] = {}
    results: dict[Cell, dict[str, list[Sample | None]]] = {cell: {} for cell in cells}
    run.results = results
    for number in range(bench.effort.rounds):
        turned = contestants[number % len(contestants) :] + contestants[: number % len(contestants)]
        for cell in cells:
            if cell is Cell.MEMORY and number > 0:
                continue  # it does not change from round to round
            print(f"round {number + 1} of {bench.effort.rounds}: {cell}", file=sys.stderr, flush=True)
            for contestant in turned:
                if cell not in contestant.cells:
                    continue
                if time.monotonic() > deadline_s:
                    run.troubles.append(f"the time was over in round {number + 1}, cell {cell}")
                    return
                if cell is Cell.BURST and contestant.name != "squib" and number >= bench.effort.peer_bursts:
                    continue
                samples = results[cell].setdefault(contestant.name, [])
                if troubles.get((cell, contestant.name), 0) >= TROUBLES_PER_CELL:
                    samples.append(None)
                    continue
                _revive(contestant, run)
                try:
                    sample = MEASURES[cell](contestant, bench)
                except Exception as error:
                    samples.append(None)
                    troubles[cell, contestant.name] = troubles.get((cell, contestant.name), 0) + 1
                    run.troubles.append(f"{contestant.name} in {cell}: {_line(error)}")
                    continue
                samples.append(sample)
                if sample.failed:
                    run.facts[f"first failure of {contestant.name} in {cell}"] = sample.first_failure


def _line(error: BaseException) -> str:
    said = error.stderr.decode() if isinstance(error, subprocess.CalledProcessError) else str(error)
    return f"{type(error).__name__}: {said.strip()}"


def _revive(contestant: Contestant, run: Run) -> None:
    """Starts a contestant anew when it is gone, so that it takes part in what follows."""
    if not contestant.port or is_listening(contestant.port):
        return
    run.troubles.append(f"{contestant.name} ended by itself and was started anew")
    try:
        contestant.stop()
        contestant.start()
    except Exception as error:
        run.troubles.append(f"{contestant.name} could not be started anew: {_line(error)}")


if __name__ == "__main__":
    sys.exit(main())
