"""Life cycle of one execution environment. Its shell is `squib.environment.environment`."""

from enum import Enum, auto
from typing import Final

from squib.scheduler.machine import Rules


class State(Enum):
    """Where an environment is."""

    INIT = auto()  # its first runtime initializes; nothing was handed to it
    IDLE = auto()  # takes an invocation; its runtime waits for one, or is about to
    BUSY = auto()  # has an invocation, handed out or about to be
    BROKEN = auto()  # takes an invocation, but has no runtime: starting one is part of the invocation
    REINIT = auto()  # has an invocation, and initializes a new runtime for it
    STOPPING = auto()  # gives its resources back
    STOPPED = auto()  # is no more

    __hash__ = object.__hash__  # an Enum's own goes through its name, in Python


class Event(Enum):
    """What happens to an environment."""

    READY = auto()  # the runtime asked for its first invocation
    INIT_FAILED = auto()  # the runtime said that it cannot initialize
    ASSIGNED = auto()  # an invocation was given to the environment
    ANSWERED = auto()  # the runtime answered it
    EXITED = auto()  # the runtime's process ended
    EXITED_EARLY = auto()  # the same, before the invocation was handed to it: safe to hand it to another
    DEADLINE = auto()  # the time for the initialization, or for the invocation, is over
    RETIRE = auto()  # the environment is wanted no longer
    FAULT = auto()  # the machine could not do what was asked of it
    DESTROYED = auto()  # all resources were given back

    __hash__ = object.__hash__


class Do(Enum):
    """What the shell carries out, in order."""

    DELIVER = auto()  # hand the invocation to the runtime as soon as it asks
    ANSWER = auto()  # give the runtime's answer to the caller
    FAIL = auto()  # give the caller the failure that the event stands for
    RECORD_INIT = auto()  # write the line about an initialization that did not succeed
    KILL = auto()  # end every process that is left
    RESTART = auto()  # start a new runtime
    OFFER = auto()  # tell the pool that an invocation can be taken
    DESTROY = auto()  # give everything back

    __hash__ = object.__hash__


RULES: Final[Rules[State, Event, Do]] = {
    (State.INIT, Event.READY): (State.IDLE, (Do.OFFER,)),
    (State.INIT, Event.INIT_FAILED): (State.BROKEN, (Do.RECORD_INIT, Do.KILL, Do.OFFER)),
    (State.INIT, Event.EXITED): (State.BROKEN, (Do.RECORD_INIT, Do.KILL, Do.OFFER)),
    (State.INIT, Event.DEADLINE): (State.BROKEN, (Do.RECORD_INIT, Do.KILL, Do.OFFER)),
    (State.INIT, Event.RETIRE): (State.STOPPING, (Do.DESTROY,)),
    (State.INIT, Event.FAULT): (State.STOPPING, (Do.DESTROY,)),
    (State.IDLE, Event.ASSIGNED): (State.BUSY, (Do.DELIVER,)),
    (State.IDLE, Event.EXITED): (State.BROKEN, (Do.KILL,)),
    (State.IDLE, Event.RETIRE): (State.STOPPING, (Do.DESTROY,)),
    (State.IDLE, Event.FAULT): (State.STOPPING, (Do.DESTROY,)),
    (State.BUSY, Event.ANSWERED): (State.IDLE, (Do.ANSWER, Do.OFFER)),
    (State.BUSY, Event.EXITED): (State.BROKEN, (Do.FAIL, Do.KILL, Do.OFFER)),
    (State.BUSY, Event.EXITED_EARLY): (State.REINIT, (Do.KILL, Do.RESTART)),
    (State.BUSY, Event.DEADLINE): (State.BROKEN, (Do.FAIL, Do.KILL, Do.OFFER)),
    (State.BUSY, Event.RETIRE): (State.STOPPING, (Do.FAIL, Do.DESTROY)),
    (State.BUSY, Event.FAULT): (State.STOPPING, (Do.FAIL, Do.DESTROY)),
    (State.BROKEN, Event.ASSIGNED): (State.REINIT, (Do.RESTART,)),
    (State.BROKEN, Event.EXITED): (State.BROKEN, ()),
    (State.BROKEN, Event.RETIRE): (State.STOPPING, (Do.DESTROY,)),
    (State.BROKEN, Event.FAULT): (State.STOPPING, (Do.DESTROY,)),
    (State.REINIT, Event.READY): (State.BUSY, (Do.DELIVER,)),
    (State.REINIT, Event.INIT_FAILED): (State.BROKEN, (Do.RECORD_INIT, Do.FAIL, Do.KILL, Do.OFFER)),
    (State.REINIT, Event.EXITED): (State.BROKEN, (Do.RECORD_INIT, Do.FAIL, Do.KILL, Do.OFFER)),
    (State.REINIT, Event.DEADLINE): (State.BROKEN, (Do.RECORD_INIT, Do.FAIL, Do.KILL, Do.OFFER)),
    (State.REINIT, Event.RETIRE): (State.STOPPING, (Do.FAIL, Do.DESTROY)),
    (State.REINIT, Event.FAULT): (State.STOPPING, (Do.FAIL, Do.DESTROY)),
    (State.STOPPING, Event.EXITED): (State.STOPPING, ()),
    (State.STOPPING, Event.FAULT): (State.STOPPING, ()),
    (State.STOPPING, Event.RETIRE): (State.STOPPING, ()),
    (State.STOPPING, Event.DESTROYED): (State.STOPPED, ()),
    (State.STOPPED, Event.RETIRE): (State.STOPPED, ()),
    (State.STOPPED, Event.FAULT): (State.STOPPED, ()),
}

CAN_BE_ASSIGNED: Final = frozenset({State.IDLE, State.BROKEN})
HAS_INVOCATION: Final = frozenset({State.BUSY, State.REINIT})
