"""Ends of runtimes: which of them still means something."""

import pytest

from squib.environment.runtime_starts import RuntimeStarts


@pytest.mark.parametrize("waits", [False, True])
def test_end_of_a_killed_runtime_comes_too_late_once_another_is_to_start(waits: bool) -> None:
    starts = RuntimeStarts(waits_for_extensions=waits)
    starts.begun()
    starts.killed()
    starts.anew()
    assert not starts.ended()
    starts.started()
    starts.begun()
    assert starts.ended() and not starts.is_alive


def test_runtime_that_never_began_has_no_end_to_be_missed() -> None:
    starts = RuntimeStarts(waits_for_extensions=True)
    assert not starts.is_alive
    starts.killed()
    starts.anew()
    starts.begun()
    assert starts.is_alive
    assert starts.ended()


@pytest.mark.parametrize("waits", [False, True])
def test_skipped_start_has_no_end_either(waits: bool) -> None:
    starts = RuntimeStarts(waits_for_extensions=waits)
    starts.begun()
    assert starts.ended()
    starts.killed()
    starts.anew()
    starts.skipped()
    starts.killed()
    starts.anew()
    starts.started()
    starts.begun()
    assert starts.ended()
