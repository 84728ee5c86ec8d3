"""Life cycle of an event source mapping. What users ask for is taken at once; a loop makes it so."""

from enum import Enum, auto
from typing import Final

from squib.model.event_source import MappingState as State
from squib.scheduler.machine import Rules


class Event(Enum):
    """What happens to a mapping."""

    ENABLE = auto()  # a user wants it polled, perhaps with other settings too
    DISABLE = auto()  # a user wants it polled no longer, likewise
    UPDATE = auto()  # a user changes its settings only
    DELETE = auto()  # a user wants it gone
    POLLING = auto()  # its poller runs as declared
    RESTING = auto()  # it has no poller, as declared

    __hash__ = object.__hash__


class Do(Enum):
    """What the loop carries out."""

    START = auto()  # start a poller, unless the mapping is not enabled
    RESTART = auto()  # let the poller, if there is one, take over the settings
    STOP = auto()  # end the poller
    FORGET = auto()  # delete the mapping

    __hash__ = object.__hash__


RULES: Final[Rules[State, Event, Do]] = {
    (State.CREATING, Event.POLLING): (State.ENABLED, ()),
    (State.CREATING, Event.RESTING): (State.DISABLED, ()),
    (State.ENABLING, Event.POLLING): (State.ENABLED, ()),
    (State.ENABLED, Event.ENABLE): (State.UPDATING, (Do.RESTART,)),
    (State.ENABLED, Event.UPDATE): (State.UPDATING, (Do.RESTART,)),
    (State.ENABLED, Event.DISABLE): (State.DISABLING, (Do.STOP,)),
    (State.ENABLED, Event.DELETE): (State.DELETING, (Do.STOP,)),
    (State.DISABLING, Event.RESTING): (State.DISABLED, ()),
    (State.DISABLED, Event.ENABLE): (State.ENABLING, (Do.START,)),
    (State.DISABLED, Event.UPDATE): (State.UPDATING, (Do.RESTART,)),
    (State.DISABLED, Event.DISABLE): (State.UPDATING, (Do.RESTART,)),
    (State.DISABLED, Event.DELETE): (State.DELETING, (Do.STOP,)),
    (State.UPDATING, Event.POLLING): (State.ENABLED, ()),
    (State.UPDATING, Event.RESTING): (State.DISABLED, ()),
    (State.DELETING, Event.RESTING): (State.DELETING, (Do.FORGET,)),
}

CAN_CHANGE: Final = frozenset({State.ENABLED, State.DISABLED})
"""In the others an earlier change is under way: users are refused."""
