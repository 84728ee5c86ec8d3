"""Life cycle of one execution environment. Its shell is `squib.environment.environment`."""

from enum import Enum, auto
from typing import Final

from squib.scheduler.machine import Rules


class State(Enum):
    """Where an environment is."""

    INIT = auto()  # its first runtime initializes; nothing was handed to it
    IDLE = auto()  # takes an invocation; its runtime waits for one, or is about to
    BUSY = auto()  # has an invocation, handed out or about to be
    FINISHING = auto()  # its caller has the answer; the runtime or an extension is not done with it yet
    RESETTING = auto()  # something failed: runtime and extensions are being shut down
    BROKEN = auto()  # takes an invocation, but has no runtime: starting one is part of the invocation
    REINIT = auto()  # has an invocation, and initializes a new runtime for it
    CLOSING = auto()  # wanted no longer: runtime and extensions are being shut down
    STOPPING = auto()  # gives its resources back
    STOPPED = auto()  # is no more

    __hash__ = object.__hash__  # an Enum's own goes through its name, in Python


class Event(Enum):
    """What happens to an environment."""

    READY = auto()  # the runtime asked for its first invocation, and each extension for its first event
    INIT_FAILED = auto()  # the runtime said that it cannot initialize
    ASSIGNED = auto()  # an invocation was given to the environment
    ANSWERED = auto()  # the runtime answered it
    ANSWERED_FIRST = auto()  # the same, where there are extensions that may have work to do still
    FINISHED = auto()  # the runtime and all extensions have asked for what comes next
    EXITED = auto()  # the runtime's process ended, or an extension failed
    EXITED_EARLY = auto()  # the same, before the invocation was handed to it: safe to hand it to another
    DEADLINE = auto()  # the time for the initialization, or for the invocation, is over
    SHUT = auto()  # the shutdown is over: everything has ended, or its time has
    RETIRE = auto()  # the environment is wanted no longer
    FAULT = auto()  # the machine could not do what was asked of it
    DESTROYED = auto()  # all resources were given back

    __hash__ = object.__hash__


class Do(Enum):
    """What the shell carries out, in order."""

    DELIVER = auto()  # hand the invocation to the runtime as soon as it asks
    ANSWER = auto()  # give the runtime's answer to the caller
    CONCLUDE = auto()  # the answered invocation is over: what it took is known
    FAIL = auto()  # give the caller the failure that the event stands for
    RECORD_INIT = auto()  # write the line about an initialization that did not succeed
    SHUT_DOWN = auto()  # tell runtime and extensions that they end; SHUT follows, at once without extensions
    KILL = auto()  # end every process that is left
    RESTART = auto()  # start a new runtime
    OFFER = auto()  # tell the pool that an invocation can be taken
    WITHDRAW = auto()  # tell the pool that none can, for a while
    LEAVE = auto()  # tell the pool that this environment is on its way out
    DESTROY = auto()  # give everything back

    __hash__ = object.__hash__


RULES: Final[Rules[State, Event, Do]] = {
    (State.INIT, Event.READY): (State.IDLE, (Do.OFFER,)),
    (State.INIT, Event.INIT_FAILED): (State.RESETTING, (Do.RECORD_INIT, Do.SHUT_DOWN)),
    (State.INIT, Event.EXITED): (State.RESETTING, (Do.RECORD_INIT, Do.SHUT_DOWN)),
    (State.INIT, Event.DEADLINE): (State.RESETTING, (Do.RECORD_INIT, Do.SHUT_DOWN)),
    (State.INIT, Event.RETIRE): (State.CLOSING, (Do.LEAVE, Do.SHUT_DOWN)),
    (State.INIT, Event.FAULT): (State.STOPPING, (Do.LEAVE, Do.DESTROY)),
    (State.IDLE, Event.ASSIGNED): (State.BUSY, (Do.DELIVER,)),
    (State.IDLE, Event.EXITED): (State.RESETTING, (Do.WITHDRAW, Do.SHUT_DOWN)),
    (State.IDLE, Event.RETIRE): (State.CLOSING, (Do.LEAVE, Do.SHUT_DOWN)),
    (State.IDLE, Event.FAULT): (State.STOPPING, (Do.LEAVE, Do.DESTROY)),
    (State.BUSY, Event.ANSWERED): (State.IDLE, (Do.ANSWER, Do.OFFER)),
    (State.BUSY, Event.ANSWERED_FIRST): (State.FINISHING, (Do.ANSWER,)),
    (State.BUSY, Event.EXITED): (State.RESETTING, (Do.FAIL, Do.SHUT_DOWN)),
    (State.BUSY, Event.EXITED_EARLY): (State.REINIT, (Do.KILL, Do.RESTART)),
    (State.BUSY, Event.DEADLINE): (State.RESETTING, (Do.FAIL, Do.SHUT_DOWN)),
    (State.BUSY, Event.RETIRE): (State.CLOSING, (Do.FAIL, Do.LEAVE, Do.SHUT_DOWN)),
    (State.BUSY, Event.FAULT): (State.STOPPING, (Do.FAIL, Do.LEAVE, Do.DESTROY)),
    (State.FINISHING, Event.FINISHED): (State.IDLE, (Do.CONCLUDE, Do.OFFER)),
    (State.FINISHING, Event.EXITED): (State.RESETTING, (Do.CONCLUDE, Do.SHUT_DOWN)),
    (State.FINISHING, Event.DEADLINE): (State.RESETTING, (Do.CONCLUDE, Do.SHUT_DOWN)),
    (State.FINISHING, Event.RETIRE): (State.CLOSING, (Do.CONCLUDE, Do.LEAVE, Do.SHUT_DOWN)),
    (State.FINISHING, Event.FAULT): (State.STOPPING, (Do.CONCLUDE, Do.LEAVE, Do.DESTROY)),
    (State.RESETTING, Event.SHUT): (State.BROKEN, (Do.KILL, Do.OFFER)),
    (State.RESETTING, Event.EXITED): (State.RESETTING, ()),
    (State.RESETTING, Event.RETIRE): (State.CLOSING, (Do.LEAVE,)),
    (State.RESETTING, Event.FAULT): (State.STOPPING, (Do.LEAVE, Do.DESTROY)),
    (State.BROKEN, Event.ASSIGNED): (State.REINIT, (Do.RESTART,)),
    (State.BROKEN, Event.EXITED): (State.BROKEN, ()),
    (State.BROKEN, Event.RETIRE): (State.CLOSING, (Do.LEAVE, Do.SHUT_DOWN)),
    (State.BROKEN, Event.FAULT): (State.STOPPING, (Do.LEAVE, Do.DESTROY)),
    (State.REINIT, Event.READY): (State.BUSY, (Do.DELIVER,)),
    (State.REINIT, Event.INIT_FAILED): (State.RESETTING, (Do.RECORD_INIT, Do.FAIL, Do.SHUT_DOWN)),
    (State.REINIT, Event.EXITED): (State.RESETTING, (Do.RECORD_INIT, Do.FAIL, Do.SHUT_DOWN)),
    (State.REINIT, Event.DEADLINE): (State.RESETTING, (Do.RECORD_INIT, Do.FAIL, Do.SHUT_DOWN)),
    (State.REINIT, Event.RETIRE): (State.CLOSING, (Do.FAIL, Do.LEAVE, Do.SHUT_DOWN)),
    (State.REINIT, Event.FAULT): (State.STOPPING, (Do.FAIL, Do.LEAVE, Do.DESTROY)),
    (State.CLOSING, Event.SHUT): (State.STOPPING, (Do.DESTROY,)),
    (State.CLOSING, Event.EXITED): (State.CLOSING, ()),
    (State.CLOSING, Event.RETIRE): (State.CLOSING, ()),
    (State.CLOSING, Event.FAULT): (State.STOPPING, (Do.DESTROY,)),
    (State.STOPPING, Event.EXITED): (State.STOPPING, ()),
    (State.STOPPING, Event.FAULT): (State.STOPPING, ()),
    (State.STOPPING, Event.RETIRE): (State.STOPPING, ()),
    (State.STOPPING, Event.DESTROYED): (State.STOPPED, ()),
    (State.STOPPED, Event.RETIRE): (State.STOPPED, ()),
    (State.STOPPED, Event.FAULT): (State.STOPPED, ()),
}

_LEFT: Final = (State.CLOSING, (Do.LEAVE, Do.SHUT_DOWN))
_FAILED: Final = (State.CLOSING, (Do.FAIL, Do.LEAVE, Do.SHUT_DOWN))
_CONCLUDED: Final = (State.CLOSING, (Do.CONCLUDE, Do.LEAVE, Do.SHUT_DOWN))
_NOT_RESTORED: Final = (State.CLOSING, (Do.RECORD_INIT, Do.LEAVE, Do.SHUT_DOWN))
_WITH_ANOTHER_RUNTIME: Final = frozenset({State.RESETTING, State.BROKEN, State.REINIT})

RESTORED_RULES: Final[Rules[State, Event, Do]] = {
    pair: row for pair, row in RULES.items() if pair[0] not in _WITH_ANOTHER_RUNTIME
} | {
    (State.INIT, Event.INIT_FAILED): _NOT_RESTORED,
    (State.INIT, Event.EXITED): _NOT_RESTORED,
    (State.INIT, Event.DEADLINE): _NOT_RESTORED,
    (State.IDLE, Event.EXITED): _LEFT,
    (State.BUSY, Event.EXITED): _FAILED,
    (State.BUSY, Event.EXITED_EARLY): _FAILED,
    (State.BUSY, Event.DEADLINE): _FAILED,
    (State.FINISHING, Event.EXITED): _CONCLUDED,
    (State.FINISHING, Event.DEADLINE): _CONCLUDED,
}
"""Of an environment that came out of a snapshot: where another runtime would be started, it ends, and another
environment comes out of the snapshot."""

CAN_BE_ASSIGNED: Final = frozenset({State.IDLE, State.BROKEN})
HAS_INVOCATION: Final = frozenset({State.BUSY, State.REINIT})
IS_AT_WORK: Final = HAS_INVOCATION | {State.FINISHING}
