"""The one rule every state table obeys: a pair that is not in the table is a bug of ours."""

from collections.abc import Mapping
from typing import TypeAlias, TypeVar

from squib.model.errors import IllegalTransitionError

State = TypeVar("State")
Event = TypeVar("Event")
Effect = TypeVar("Effect")

Rules: TypeAlias = Mapping[tuple[State, Event], tuple[State, tuple[Effect, ...]]]
"""(state, event) -> (next state, effects to carry out in this order)."""


def step(rules: Rules[State, Event, Effect], state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
    """The next state and what to do. Raises IllegalTransitionError for a pair the table does not have."""
    row = rules.get((state, event))
    if row is None:
        raise IllegalTransitionError(f"{event} is not possible in {state}")
    return row
