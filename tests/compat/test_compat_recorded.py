"""Whole conversations with squib, each answer compared with what AWS answered when it was recorded."""

from collections.abc import Iterator

import pytest

from compat.scenarios import catalogue, recordings
from compat.scenarios.scene import SCENARIOS, WITH_STREAMS, Scene
from harness.moto import Moto
from harness.s3 import S3
from harness.squib import Squib

RECORDED = recordings.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        RECORDED is None,
        reason=f"there are no recorded answers here; {recordings.VARIABLE} names their folder",
    ),
]
ANSWERS = recordings.load(RECORDED) if RECORDED else {}


@pytest.fixture(scope="module")
def streams() -> Iterator[tuple[Moto, Squib]]:
    """Tables elsewhere, and a squib that is told where."""
    with Moto() as moto, moto.served("dynamodb") as running:
        yield moto, running


@pytest.mark.parametrize("name", catalogue.played())
def test_scenario_goes_as_with_aws(
    name: str, squib: Squib, s3: S3, ready_runtimes: frozenset[str], request: pytest.FixtureRequest
) -> None:
    moto: Moto | None = None
    if name in WITH_STREAMS:
        moto, squib = request.getfixturevalue("streams")
    scene = Scene(name, ANSWERS[name], squib, s3, ready_runtimes, moto)
    try:
        SCENARIOS[name](scene)
    finally:
        scene.finish()
    known = catalogue.outcome(name)
    found = "\n".join(f"{answer}{line}" for answer, lines in scene.differences.items() for line in lines)
    assert set(scene.differences) == set(known.answers), found or "what was known to differ is the same now"


def test_every_recorded_scenario_is_played_or_named_as_not_played() -> None:
    assert {*catalogue.played(), *catalogue.not_played()} == ANSWERS.keys()
