"""How many environments there may be: the shell of `scheduler.memory`."""

import logging
from collections.abc import Iterator
from typing import Final

from squib.environment.driver import SandboxDriver
from squib.environment.environment import Environment
from squib.environment.group import Group
from squib.environment.pool_options import PoolOptions
from squib.environment.roster import Roster
from squib.environment.sweeper import NEVER
from squib.environment.templates import Evictable, Templates
from squib.scheduler.assignment import least_recently_used
from squib.scheduler.memory import excess_count

_log: Final = logging.getLogger("squib.environment")


class Room:
    """Owned by the pool."""

    def __init__(
        self, roster: Roster, templates: Templates, driver: SandboxDriver, options: PoolOptions
    ) -> None:
        self._roster, self._templates, self._driver, self._options = roster, templates, driver, options
        self.due_at_ms = NEVER
        """The sweeper's own."""
        if options.memory_budget_bytes and driver.memory_bytes() is None:
            _log.warning("memory_budget_not_held: without cgroups nobody can tell what environments hold")

    def shortage(self, more: int) -> int:
        """How many environments have to end so that there is room for so many more."""
        roster = self._roster
        count = max(0, roster.live_count + more - self._options.max_environments)
        budget_bytes = self._options.memory_budget_bytes
        used_bytes = self._driver.memory_bytes() if budget_bytes else None
        if used_bytes is None:
            return count
        starting_count = roster.starting_count
        excess = excess_count(
            used_bytes=used_bytes,
            settled_count=roster.live_count - starting_count + self._templates.count,
            stopping_count=roster.stopping_count,
            starting_count=starting_count,
            more=more,
            budget_bytes=budget_bytes,
        )
        return max(count, excess)

    def evictable(self, group: Group | None = None) -> Iterator[Environment | Evictable]:
        """What can end: idle environments; and templates, where memory is what there is too little of."""
        yield from self._roster.evictable(group)
        if self._roster.live_count < self._options.max_environments:
            yield from self._templates.evictable(None if group is None else group.function)

    def make(self, more: int, group: Group | None = None) -> bool:
        """Ends what others than this group can best do without, for so many more; False when that is too
        little."""
        for _ in range(self.shortage(more)):
            evicted = least_recently_used((one.idle_since_ms, one) for one in self.evictable(group))
            if evicted is None:
                return False
            evicted.retire()
        return True
