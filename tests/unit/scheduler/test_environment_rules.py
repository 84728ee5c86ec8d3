"""The life cycle of an environment: every (state, event) pair, and what holds for any sequence."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.errors import IllegalTransitionError
from squib.scheduler.environment import (
    CAN_BE_ASSIGNED,
    HAS_INVOCATION,
    RESTORED_RULES,
    RULES,
    Do,
    Event,
    State,
)
from squib.scheduler.machine import Rules, step

EXPECTED = """
INIT      READY          IDLE      OFFER
INIT      INIT_FAILED    RESETTING RECORD_INIT SHUT_DOWN
INIT      EXITED         RESETTING RECORD_INIT SHUT_DOWN
INIT      DEADLINE       RESETTING RECORD_INIT SHUT_DOWN
INIT      RETIRE         CLOSING   LEAVE SHUT_DOWN
INIT      FAULT          STOPPING  LEAVE DESTROY
IDLE      ASSIGNED       BUSY      DELIVER
IDLE      EXITED         RESETTING WITHDRAW SHUT_DOWN
IDLE      RETIRE         CLOSING   LEAVE SHUT_DOWN
IDLE      FAULT          STOPPING  LEAVE DESTROY
BUSY      ANSWERED       IDLE      ANSWER OFFER
BUSY      ANSWERED_FIRST FINISHING ANSWER
BUSY      EXITED         RESETTING FAIL SHUT_DOWN
BUSY      EXITED_EARLY   REINIT    KILL RESTART
BUSY      DEADLINE       RESETTING FAIL SHUT_DOWN
BUSY      RETIRE         CLOSING   FAIL LEAVE SHUT_DOWN
BUSY      FAULT          STOPPING  FAIL LEAVE DESTROY
FINISHING FINISHED       IDLE      CONCLUDE OFFER
FINISHING EXITED         RESETTING CONCLUDE SHUT_DOWN
FINISHING DEADLINE       RESETTING CONCLUDE SHUT_DOWN
FINISHING RETIRE         CLOSING   CONCLUDE LEAVE SHUT_DOWN
FINISHING FAULT          STOPPING  CONCLUDE LEAVE DESTROY
RESETTING SHUT           BROKEN    KILL OFFER
RESETTING EXITED         RESETTING
RESETTING RETIRE         CLOSING   LEAVE
RESETTING FAULT          STOPPING  LEAVE DESTROY
BROKEN    ASSIGNED       REINIT    RESTART
BROKEN    EXITED         BROKEN
BROKEN    RETIRE         CLOSING   LEAVE SHUT_DOWN
BROKEN    FAULT          STOPPING  LEAVE DESTROY
REINIT    READY          BUSY      DELIVER
REINIT    INIT_FAILED    RESETTING RECORD_INIT FAIL SHUT_DOWN
REINIT    EXITED         RESETTING RECORD_INIT FAIL SHUT_DOWN
REINIT    DEADLINE       RESETTING RECORD_INIT FAIL SHUT_DOWN
REINIT    RETIRE         CLOSING   FAIL LEAVE SHUT_DOWN
REINIT    FAULT          STOPPING  FAIL LEAVE DESTROY
CLOSING   SHUT           STOPPING  DESTROY
CLOSING   EXITED         CLOSING
CLOSING   RETIRE         CLOSING
CLOSING   FAULT          STOPPING  DESTROY
STOPPING  EXITED         STOPPING
STOPPING  FAULT          STOPPING
STOPPING  RETIRE         STOPPING
STOPPING  DESTROYED      STOPPED
STOPPED   RETIRE         STOPPED
STOPPED   FAULT          STOPPED
"""

RESTORED = """
INIT      READY          IDLE      OFFER
INIT      INIT_FAILED    CLOSING   RECORD_INIT LEAVE SHUT_DOWN
INIT      EXITED         CLOSING   RECORD_INIT LEAVE SHUT_DOWN
INIT      DEADLINE       CLOSING   RECORD_INIT LEAVE SHUT_DOWN
INIT      RETIRE         CLOSING   LEAVE SHUT_DOWN
INIT      FAULT          STOPPING  LEAVE DESTROY
IDLE      ASSIGNED       BUSY      DELIVER
IDLE      EXITED         CLOSING   LEAVE SHUT_DOWN
IDLE      RETIRE         CLOSING   LEAVE SHUT_DOWN
IDLE      FAULT          STOPPING  LEAVE DESTROY
BUSY      ANSWERED       IDLE      ANSWER OFFER
BUSY      ANSWERED_FIRST FINISHING ANSWER
BUSY      EXITED         CLOSING   FAIL LEAVE SHUT_DOWN
BUSY      EXITED_EARLY   CLOSING   FAIL LEAVE SHUT_DOWN
BUSY      DEADLINE       CLOSING   FAIL LEAVE SHUT_DOWN
BUSY      RETIRE         CLOSING   FAIL LEAVE SHUT_DOWN
BUSY      FAULT          STOPPING  FAIL LEAVE DESTROY
FINISHING FINISHED       IDLE      CONCLUDE OFFER
FINISHING EXITED         CLOSING   CONCLUDE LEAVE SHUT_DOWN
FINISHING DEADLINE       CLOSING   CONCLUDE LEAVE SHUT_DOWN
FINISHING RETIRE         CLOSING   CONCLUDE LEAVE SHUT_DOWN
FINISHING FAULT          STOPPING  CONCLUDE LEAVE DESTROY
CLOSING   SHUT           STOPPING  DESTROY
CLOSING   EXITED         CLOSING
CLOSING   RETIRE         CLOSING
CLOSING   FAULT          STOPPING  DESTROY
STOPPING  EXITED         STOPPING
STOPPING  FAULT          STOPPING
STOPPING  RETIRE         STOPPING
STOPPING  DESTROYED      STOPPED
STOPPED   RETIRE         STOPPED
STOPPED   FAULT          STOPPED
"""

TABLES = (RULES, RESTORED_RULES)


def rows(text: str) -> Rules[State, Event, Do]:
    return {
        (State[words[0]], Event[words[1]]): (State[words[2]], tuple(Do[word] for word in words[3:]))
        for words in (line.split() for line in text.strip().splitlines())
    }


@pytest.mark.parametrize(("table", "text"), [(RULES, EXPECTED), (RESTORED_RULES, RESTORED)])
@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair_does_what_is_written_down_or_is_illegal(
    state: State, event: Event, table: Rules[State, Event, Do], text: str
) -> None:
    expected = rows(text)
    if (state, event) in expected:
        assert step(table, state, event) == expected[state, event]
    else:
        with pytest.raises(IllegalTransitionError):
            step(table, state, event)


@given(st.sampled_from(TABLES), st.lists(st.sampled_from(list(Event)), max_size=60))
def test_an_invocation_ends_exactly_once_and_an_offer_is_made_only_when_one_can_be_taken(
    table: Rules[State, Event, Do], events: list[Event]
) -> None:
    state = State.INIT
    open_invocations = 0
    leaves = 0
    for event in events:
        if (state, event) not in table:
            continue
        before = state
        state, effects = step(table, state, event)
        open_invocations += event is Event.ASSIGNED
        open_invocations -= sum(effect in (Do.ANSWER, Do.FAIL) for effect in effects)
        assert open_invocations == (state in HAS_INVOCATION)
        if Do.OFFER in effects:
            assert state in CAN_BE_ASSIGNED
            assert effects[-1] is Do.OFFER
        if state is State.STOPPING and before is not State.STOPPING:
            assert effects[-1] is Do.DESTROY
        leaves += effects.count(Do.LEAVE)
        assert leaves == (state in (State.CLOSING, State.STOPPING, State.STOPPED))
        assert (Do.SHUT_DOWN in effects) <= (effects[-1:] == (Do.SHUT_DOWN,))
        if Do.RESTART in effects:
            assert state is State.REINIT


def test_every_live_state_can_be_retired() -> None:
    for state in State:
        assert (state, Event.RETIRE) in RULES
    for state in {state for state, _ in RESTORED_RULES}:
        assert (state, Event.RETIRE) in RESTORED_RULES


def test_environment_out_of_a_snapshot_never_comes_to_where_it_would_need_another_runtime() -> None:
    assert {state for state, _ in RESTORED_RULES.values()} <= {state for state, _ in RESTORED_RULES} | {
        State.STOPPED
    }
    assert not any(
        effect in (Do.RESTART, Do.WITHDRAW) for _, row in RESTORED_RULES.values() for effect in row
    )
