"""Windows of streams, and the state that goes through them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.units import EpochMs
from squib.scheduler.windows import NO_STATE, state_after, window_members, window_start_ms

START_MS = EpochMs(1_596_128_400_000)  # 2020-07-30T17:00:00Z


@given(st.integers(0, 10**13), st.integers(1, 900))
def test_a_record_is_in_its_window_and_windows_meet(at_ms: int, width_s: int) -> None:
    start_ms = window_start_ms(at_ms, width_s * 1000)
    assert start_ms <= at_ms < start_ms + width_s * 1000
    assert start_ms % (width_s * 1000) == 0


def test_an_event_has_what_the_guide_shows() -> None:
    members = window_members(
        START_MS, 300_000, b'{"1":282}', shard_id="s", stream_arn="a", is_final=False, is_early=True
    )
    assert json.loads(b"{" + members + b"}") == {
        "window": {"start": "2020-07-30T17:00:00Z", "end": "2020-07-30T17:05:00Z"},
        "state": {"1": 282},
        "shardId": "s",
        "eventSourceARN": "a",
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": True,
    }


@pytest.mark.parametrize(
    ("answer", "state"),
    [(b'{"state": {"a": 1}}', b'{"a": 1}'), (b"{}", NO_STATE), (b"null", NO_STATE), (b"{", NO_STATE)],
)
def test_an_answer_hands_on_its_state(answer: bytes, state: bytes) -> None:
    assert state_after(answer) == state
