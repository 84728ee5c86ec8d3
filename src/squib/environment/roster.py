"""Which environments there are, by the group they belong to."""

from collections.abc import Iterator

from squib.environment.environment import Environment
from squib.environment.group import IDLE, STARTING, Group, VersionUse
from squib.environment.view import EnvironmentView
from squib.model.function import FunctionVersion
from squib.model.units import ArchiveDigest, EnvironmentId


class Roster:
    """Owned by the pool, which adds to it and takes away."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str], Group] = {}
        """By content and version."""
        self.environments: dict[EnvironmentId, Environment] = {}
        """In the order they were started."""
        self.live_count = 0
        """Of those that are not stopping."""
        self.unbound: set[Environment] = set()
        """Those that have no sandbox yet."""
        self._gone_use: list[VersionUse] = []  # of groups that are no more

    @property
    def starting_count(self) -> int:
        """Of environments that initialize."""
        return sum(group.counts[STARTING] for group in self.groups.values())

    @property
    def stopping_count(self) -> int:
        """Of environments that are on their way out."""
        return len(self.environments) - self.live_count

    def find(self, function: FunctionVersion) -> Group | None:
        """The group of a version, if there is one."""
        return self.groups.get((function.content_id, function.version))

    def evictable(self, group: Group | None = None) -> Iterator[Environment]:
        """Idle environments that nobody has asked for, of all groups but this."""
        return (one for other in self.groups.values() if other is not group for one in other.evictable())

    def drop_if_empty(self, group: Group) -> None:
        """Forgets a group in which nothing runs any more."""
        if group.is_empty and self.groups.get(group.key) is group:
            self._gone_use.append(group.take_use())
            del self.groups[group.key]

    def in_use(self) -> set[ArchiveDigest]:
        """The code of every environment there is, and of every invocation that waits."""
        functions = [environment.function for environment in self.environments.values()]
        functions += [group.function for group in self.groups.values()]
        return {digest for function in functions for digest in function.digests()}

    def take_use(self) -> list[VersionUse]:
        """What is to be counted of each version since the last call."""
        used, self._gone_use = self._gone_use, []
        used += [group.take_use() for group in self.groups.values()]
        return [one for one in used if one.peak or one.wanted_count]

    def snapshot(self, now_ms: float) -> list[EnvironmentView]:
        """Every environment there is, in the order they were started."""
        return [_view(one, now_ms) for one in self.environments.values()]


def _view(environment: Environment, now_ms: float) -> EnvironmentView:
    """Of the environment as it is now."""
    return EnvironmentView(
        environment_id=environment.environment_id,
        function_arn=environment.function.key.arn(),
        version=environment.function.version,
        state=environment.state.name.lower(),
        is_frozen=environment.is_frozen,
        idle_ms=now_ms - environment.idle_since_ms if environment.place == IDLE else 0.0,
        age_ms=now_ms - environment.started_ms,
        invocations=environment.invocation_count,
        memory_peak_bytes=environment.memory_peak_bytes(),
        memory_mib=environment.function.memory_mib,
    )
