"""Fixtures of the tests that have services elsewhere."""

from collections.abc import Iterator

import pytest

from harness.moto import Moto


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    """moto's server, for the tests of one file."""
    with Moto() as running:
        yield running
