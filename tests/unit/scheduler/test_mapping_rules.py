"""The life cycle of a mapping: who may ask for what when, and that each change comes to rest."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.errors import IllegalTransitionError
from squib.model.event_source import MappingState as State
from squib.scheduler.machine import step
from squib.scheduler.mapping import CAN_CHANGE, RULES, Do, Event

USERS = (Event.ENABLE, Event.DISABLE, Event.UPDATE, Event.DELETE)


@pytest.mark.parametrize(("state", "event"), [*itertools.product(State, USERS)])
def test_users_change_a_mapping_only_while_it_rests(state: State, event: Event) -> None:
    if state in CAN_CHANGE:
        after, effects = step(RULES, state, event)
        assert after not in CAN_CHANGE and effects
    else:
        with pytest.raises(IllegalTransitionError):
            step(RULES, state, event)


@given(st.lists(st.sampled_from(USERS), max_size=30), st.booleans())
def test_every_change_comes_to_rest_where_its_user_wants_it(events: list[Event], is_enabled: bool) -> None:
    state: State = State.CREATING
    for event in [None, *events]:
        if event is Event.DELETE:
            state, effects = step(RULES, state, event)
            assert effects == (Do.STOP,)
            assert step(RULES, state, Event.RESTING) == (State.DELETING, (Do.FORGET,))
            return
        if event is not None:
            is_enabled = {Event.ENABLE: True, Event.DISABLE: False}.get(event, is_enabled)
            state, effects = step(RULES, state, event)
            assert (Do.STOP in effects) <= (not is_enabled) and (Do.START in effects) <= is_enabled
        state, effects = step(RULES, state, Event.POLLING if is_enabled else Event.RESTING)
        assert state is (State.ENABLED if is_enabled else State.DISABLED) and not effects
