"""The environments of one version with one content, and the invocations that wait for one."""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from squib.environment.environment import Environment
from squib.environment.serving import Done
from squib.environment.sweeper import NEVER
from squib.model.function import FunctionVersion
from squib.model.invocation import Invocation
from squib.model.limits import SCALE_UP_ENVIRONMENTS, SCALE_UP_WINDOW_MS
from squib.scheduler.environment import State
from squib.scheduler.provisioning import INIT_FAILURE, Provision
from squib.scheduler.rates import Bucket

STARTING, IDLE, BUSY, STOPPING = range(4)  # where the pool has an environment
_NONE: Final = Provision()


class VersionUse(NamedTuple):
    """What is to be counted of a version."""

    function: FunctionVersion
    peak: int
    """Most invocations at once."""
    prepared_count: int
    """Environments of provisioned concurrency that are there."""
    wanted_count: int
    """Those that there are to be."""

    @property
    def prepared_peak(self) -> int:
        """Most that had an invocation at once: they serve first."""
        return min(self.peak, self.prepared_count)


class Group:
    """Owned by the pool. Environments that were initialized ahead of calls are `preparing`, then `prepared`;
    of all that are idle they serve first."""

    __slots__ = (
        *("counts", "due_at_ms", "function", "idle", "is_retired", "peak"),
        *("prepared", "preparing", "provision", "scale_up", "waiting"),
    )

    def __init__(self, function: FunctionVersion, scale_up: Bucket) -> None:
        """`scale_up` counts environments that are started; all versions of a function share it."""
        self.function, self.scale_up = function, scale_up
        self.due_at_ms = NEVER
        """The sweeper's own."""
        self.idle: list[Environment] = []
        """Those without a runtime in front, then on-demand ones, then prepared ones; the one used last at the
        end of its kind."""
        self.counts = [0, 0, 0, 0]
        """Environments by place."""
        self.peak = 0
        """Most invocations at once since somebody looked."""
        self.waiting: deque[tuple[Invocation, Done]] = deque()
        self.is_retired = False
        self.provision = _NONE
        self.preparing: set[Environment] = set()
        self.prepared: set[Environment] = set()

    @property
    def key(self) -> tuple[str, str]:
        """Content and version."""
        return self.function.content_id, self.function.version

    @property
    def is_empty(self) -> bool:
        """Nothing runs here, nor is wanted to."""
        return not self.waiting and not self.provision.wanted_count and not any(self.counts[:STOPPING])

    @property
    def starting_count(self) -> int:
        """Of environments that start because somebody waits."""
        return self.counts[STARTING] - len(self.preparing)

    def may_scale(self, now_ms: float) -> bool:
        """Whether one more environment may be started now; it counts then."""
        return self.scale_up.take(now_ms, capacity=SCALE_UP_ENVIRONMENTS, window_ms=SCALE_UP_WINDOW_MS)

    def move(self, environment: Environment, place: int) -> None:
        """Counts an environment elsewhere."""
        self.counts[environment.place] -= 1
        self.counts[place] += 1
        environment.place = place

    def take_use(self) -> VersionUse:
        """What is to be counted since the last call."""
        peak, self.peak = self.peak, self.counts[BUSY]
        return VersionUse(self.function, peak, len(self.prepared), self.provision.wanted_count)

    def rest(self, environment: Environment) -> None:
        """An environment has nothing to do."""
        self.move(environment, IDLE)
        idle = self.idle
        if environment.state is not State.IDLE:
            idle.insert(0, environment)
        elif self.prepared and not environment.lifetime.is_prepared:
            at = len(idle)
            while at and idle[at - 1].lifetime.is_prepared:
                at -= 1
            idle.insert(at, environment)
        else:
            idle.append(environment)

    def evictable(self) -> Iterator[Environment]:
        """Idle environments that nobody has asked for."""
        return (one for one in self.idle if not one.lifetime.is_prepared)

    # --- those initialized ahead of calls

    def to_prepare(self, now_ms: float) -> int:
        """How many environments to start now."""
        preparing, prepared = len(self.preparing), len(self.prepared)
        return self.provision.to_start(now_ms, starting_count=preparing, ready_count=prepared)

    def surplus(self) -> list[Environment]:
        """Prepared environments that are not wanted and can end now: those that start first. Busy ones follow
        when they are offered."""
        count = len(self.preparing) + len(self.prepared) - self.provision.wanted_count
        idle = (one for one in self.idle if one.lifetime.is_prepared)
        return [*self.preparing, *idle][: max(0, count)]

    def judge(self, environment: Environment, now_ms: float) -> bool:
        """Whether an environment that is offered is still wanted. What it came to is noted."""
        is_wanted = True
        if environment.state is not State.IDLE:  # no runtime: another environment takes its place
            is_wanted = False
            if environment in self.preparing:
                self.provision = self.provision.failed(INIT_FAILURE, now_ms)
            else:
                self.provision = self.provision.lost(now_ms)
        elif environment in self.preparing:
            self.preparing.discard(environment)
            self.prepared.add(environment)
            self.provision = self.provision.succeeded()
        return is_wanted and len(self.preparing) + len(self.prepared) <= self.provision.wanted_count

    def leave(self, environment: Environment, now_ms: float) -> None:
        """A prepared environment is on its way out."""
        if environment.fault is not None and environment in self.preparing:
            self.provision = self.provision.failed(str(environment.fault), now_ms)
        self.preparing.discard(environment)
        self.prepared.discard(environment)
