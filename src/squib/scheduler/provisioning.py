"""How many environments are started for a version's provisioned concurrency, and what its status is."""

from typing import Final

import msgspec

from squib.model.concurrency import Allocation, AllocationStatus

INIT_FAILURE: Final = "FUNCTION_ERROR_INIT_FAILURE"
NO_ROOM: Final = "NO_ROOM_FOR_ENVIRONMENTS"  # squib's own: on AWS there always is some
_FIRST_PAUSE_MS: Final = 1_000  # squib's choice, as is its growth
_LONGEST_PAUSE_MS: Final = 300_000


class Provision(msgspec.Struct, frozen=True, kw_only=True):
    """One version's provisioned concurrency on a node, and how its environments have fared."""

    wanted_count: int = 0
    failure_count: int = 0
    """Of attempts in a row that did not succeed."""
    reason: str | None = None
    """Of the last of them."""
    retry_at_ms: float = 0.0
    """Nothing is started before."""
    lost_at_ms: float = float("-inf")
    """When an environment ended last that had initialized."""

    def to_start(self, now_ms: float, *, starting_count: int, ready_count: int) -> int:
        """How many to start now. After a failure one at a time."""
        if now_ms < self.retry_at_ms:
            return 0
        missing = max(0, self.wanted_count - starting_count - ready_count)
        if self.failure_count == 0:
            return missing
        return min(missing, 1) if starting_count == 0 else 0

    def failed(self, reason: str, now_ms: float) -> "Provision":
        """After an attempt that did not succeed. Those that were made together count once."""
        if self.failure_count and now_ms < self.retry_at_ms:
            return msgspec.structs.replace(self, reason=reason)
        pause_ms = min(_FIRST_PAUSE_MS * 2**self.failure_count, _LONGEST_PAUSE_MS)
        failure_count = min(self.failure_count + 1, 16)
        return msgspec.structs.replace(
            self, failure_count=failure_count, reason=reason, retry_at_ms=now_ms + pause_ms
        )

    def succeeded(self) -> "Provision":
        """After an attempt that did."""
        return msgspec.structs.replace(self, failure_count=0, reason=None) if self.failure_count else self

    def lost(self, now_ms: float) -> "Provision":
        """After the end of an environment that had initialized: it is replaced at once, but not when that
        goes on and on."""
        is_again = now_ms - self.lost_at_ms < _FIRST_PAUSE_MS
        retry_at_ms = now_ms + _FIRST_PAUSE_MS if is_again else now_ms
        return msgspec.structs.replace(
            self, lost_at_ms=now_ms, retry_at_ms=max(self.retry_at_ms, retry_at_ms)
        )

    def allocation(self, *, wanted_count: int, ready_count: int) -> Allocation:
        """What is shown of it, where so many are wanted."""
        if ready_count >= wanted_count:
            return Allocation(AllocationStatus.READY, wanted_count)
        if self.failure_count:
            return Allocation(AllocationStatus.FAILED, ready_count, self.reason)
        return Allocation(AllocationStatus.IN_PROGRESS, ready_count)
