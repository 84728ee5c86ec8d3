"""A memory budget that this machine cannot hold."""

import logging
from typing import Any

import pytest

from squib.environment.drivers.fake import FakeDriver
from squib.environment.pool_options import PoolOptions
from squib.environment.room import Room
from squib.environment.roster import Roster


class BlindDriver(FakeDriver):
    """Cannot tell what its sandboxes hold."""

    def memory_bytes(self) -> int | None:
        return None


class NoTemplates:
    """Of a node where no version has a snapshot."""

    count = 0


@pytest.mark.parametrize("budget_bytes", [0, 1 << 30])
@pytest.mark.parametrize("driver", [FakeDriver(), BlindDriver()])
def test_a_budget_that_cannot_be_held_is_warned_of(
    caplog: pytest.LogCaptureFixture, driver: FakeDriver, budget_bytes: int
) -> None:
    templates: Any = NoTemplates()
    with caplog.at_level(logging.WARNING):
        room = Room(Roster(), templates, driver, PoolOptions(memory_budget_bytes=budget_bytes))
    is_warned = any("memory_budget_not_held" in record.message for record in caplog.records)
    assert is_warned == (budget_bytes > 0 and isinstance(driver, BlindDriver))
    assert room.shortage(1) == 0
