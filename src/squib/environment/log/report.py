"""What one invocation took: the figures of REPORT. Pure."""

import math

import msgspec

from squib.model.trace import Trace
from squib.model.units import EpochMs


class Restore(msgspec.Struct, frozen=True):
    """What it took an environment to come out of its snapshot."""

    duration_ms: float
    runtime_ms: float
    """Of that, from when its runtime went on: what is billed."""

    @property
    def billed_ms(self) -> int:
        """Rounded up."""
        return math.ceil(self.runtime_ms)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One invocation's bill. Durations are milliseconds with a fraction."""

    request_id: str
    duration_ms: float
    init_duration_ms: float | None
    """Of a cold start; None when the invocation found its runtime initialized, or did that itself."""
    is_init_billed: bool = True
    """False when it happened ahead of calls."""
    restore: Restore | None = None
    """Of the environment, with its first invocation."""
    memory_mib: int
    status: str = "success"
    """`success`, `error`, `timeout`."""
    error_type: str = ""
    extensions_since_ms: EpochMs | None = None
    """Wall clock: the runtime had answered, extensions had not finished yet. None without extensions."""
    extensions_took_ms: float = 0.0
    trace: Trace | None = None
    is_platform_failure: bool = False
    """Not the function said that it failed: the text form shows the status only then."""

    @property
    def billed_ms(self) -> int:
        """Initialization or restoring, and run, rounded up."""
        init_ms = self.init_duration_ms if self.is_init_billed else None
        restore_ms = 0 if self.restore is None else self.restore.billed_ms
        return math.ceil(self.duration_ms + (init_ms or 0.0)) + restore_ms

    def max_memory_used_mib(self, peak_bytes: int) -> int:
        """Rounded up, and never more than the function has."""
        return min(-(-peak_bytes // 1_048_576), self.memory_mib)
