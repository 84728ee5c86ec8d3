"""A loop for connections in memory."""

from collections.abc import Iterator

import pytest

from harness.http_connection import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    it = Loop()
    yield it
    it.close()
