"""The measurement of the request path still wires what squib is made of."""

import asyncio
from pathlib import Path

from bench.hot_path import STEPS, serve


def test_a_round_measures_every_step_of_an_invoke(tmp_path: Path) -> None:
    rounds = asyncio.run(serve(tmp_path / "data", round_count=2, calls=3))
    assert [len(took) for took in rounds] == [len(STEPS)] * 2
    assert all(step > 0 for took in rounds for step in took)
