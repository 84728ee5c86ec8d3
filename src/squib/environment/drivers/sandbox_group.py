"""The cgroup of one sandbox as the daemon sees it: its freezer, its peak of memory, kills for want of it."""

import os
from typing import Final

from squib.environment.isolation.cgroups import Cgroups

PAGE_CACHE_CHECK_BYTES: Final = 1 << 20
"""The peak may move so far before the page cache is looked at again."""


class SandboxGroup:
    """What squib's daemon may do with the group of a slot: freeze, and look."""

    def __init__(self, cgroups: Cgroups, slot: int) -> None:
        """Raises OSError."""
        self._cgroups, self._slot = cgroups, slot
        self._peak_fd = cgroups.open_peak(slot)
        self._freezer: tuple[int, bytes, bytes] | None = None
        self._peak_bytes = self._cache_checked_at = self._cache_bytes = 0
        self._kills_seen = 0

    def freeze(self, frozen: bool) -> None:
        """Stops or releases every process."""
        if self._freezer is None:
            self._freezer = self._cgroups.open_freezer(self._slot)
        fd, stop, go = self._freezer
        os.pwrite(fd, stop if frozen else go, 0)

    def peak_bytes(self) -> int:
        """The most memory ever charged to the group, without page cache."""
        if self._peak_fd is None:
            return 0
        peak = int(os.pread(self._peak_fd, 32, 0))
        if peak - self._cache_checked_at > PAGE_CACHE_CHECK_BYTES:
            self._cache_checked_at = peak
            self._cache_bytes = self._cgroups.cache_bytes(self._slot)
        self._peak_bytes = max(self._peak_bytes, peak - self._cache_bytes)
        return self._peak_bytes

    def ran_out_of_memory(self) -> bool:
        """The kernel has killed one of its processes for want of memory since this was asked last."""
        try:
            kills = self._cgroups.out_of_memory_kills(self._slot)
        except OSError:
            return False
        fresh, self._kills_seen = kills > self._kills_seen, kills
        return fresh

    def close(self) -> None:
        """Closes the descriptors; idempotent."""
        if self._peak_fd is not None:
            os.close(self._peak_fd)
            self._peak_fd = None
        if self._freezer is not None:
            os.close(self._freezer[0])
            self._freezer = None
