"""docs/parity.md: which operations are built, and how every recorded scenario goes (`make parity`)."""

import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final
from unittest.mock import MagicMock

import botocore.session

from compat.scenarios import catalogue
from squib.control_plane.lambda_ import LambdaService
from squib.invoke.synchronous import InvokeService

_SERVICES: Final = (LambdaService, InvokeService)
_INTRODUCTION: Final = """\
# Parity with AWS

How far the Lambda API of squib is AWS's. This page is generated (`make parity`), and a test holds it to
what is built.

Answers of AWS were recorded in 2022 to 2026, in conversations ("scenarios") about one subject each. The tests
hold the same conversations with a running squib and compare every answer: status, fields present and absent,
values, error codes and texts, with placeholders for what differs from run to run (ids, dates, sizes). Where a
machine lacks a runtime of a recording, another stands in for it. `tests/compat/scenarios/` has the calls and
the known differences; the recordings themselves are not part of the project, and without them the comparison
is skipped.
"""


def built_operations() -> frozenset[str]:
    """The operations of the Lambda API that have a handler. Nothing is started behind the services."""
    return frozenset(operation for service in _SERVICES for operation in bare(service).handlers())


def bare(service: Any) -> Any:
    """A service with nothing behind it, to ask for its handlers."""
    parameters = inspect.signature(service).parameters.values()
    needed = {one.name: MagicMock() for one in parameters if one.default is inspect.Parameter.empty}
    return service(**needed)


def render() -> str:
    """The page."""
    return "\n".join([_INTRODUCTION, *_operations(), *_scenarios()])


def _operations() -> Iterator[str]:
    every = botocore.session.get_session().get_service_model("lambda").operation_names
    built = built_operations()
    assert built <= {*every}
    yield "## Operations\n"
    yield (
        f"{len(built)} of the {len(every)} operations of the model are built. "
        "Each of the others is refused with 501 and an error that names it."
    )
    yield "\n| operation | |\n|---|---|"
    for operation in every:
        yield f"| {operation} | {'built' if operation in built else 'refused'} |"
    yield ""


def _scenarios() -> Iterator[str]:
    rows = dict(_rows())
    counts = {kind: sum(row.startswith(kind) for row in rows.values()) for kind in ("same", "differs", "not")}
    yield "## Recorded scenarios\n"
    yield (
        f"{len(rows)} scenarios: {counts['same']} the same, {counts['differs']} with a difference, "
        f"{counts['not']} not played."
    )
    for subject, of_subject in _by_subject(rows).items():
        yield f"\n### {subject}\n\n| scenario | |\n|---|---|"
        for name, row in of_subject.items():
            yield f"| {name} | {row} |"
    yield ""


def _rows() -> Iterator[tuple[str, str]]:
    for name in catalogue.played():
        outcome = catalogue.outcome(name)
        if outcome.answers:
            yield name, f"differs in {', '.join(f'`{answer}`' for answer in outcome.answers)}: {outcome.why}"
        else:
            yield name, "same"
    for name, why in catalogue.not_played().items():
        yield name, f"not played: {why}"


def _by_subject(rows: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, row in sorted(rows.items()):
        subject, _, title = name.partition("::")
        subject = subject.removeprefix("Test").removeprefix("Lambda")
        found[subject][f"`{title.removeprefix('test_')}`"] = row
    return found


if __name__ == "__main__":
    sys.stdout.write(render())
