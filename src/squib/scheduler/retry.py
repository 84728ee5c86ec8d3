"""When something is tried again: delays after failures, and growing delays after refusals. Pure."""

from typing import Final

import msgspec

FUNCTION_ERROR_DELAYS_MS: Final = (
    60_000,
    120_000,
)  # developer guide, asynchronous error handling: 1 and 2 min
FIRST_BACKOFF_MS: Final = 1_000  # the same: for throttles and system errors, from 1 second
MAX_BACKOFF_MS: Final = 300_000  # to 5 minutes
_JITTER: Final = 0.2  # squib's choice: what was refused together does not come back together


class RetryDelays(msgspec.Struct, frozen=True):
    """How long the pauses between attempts are."""

    after_failures_ms: tuple[int, ...] = FUNCTION_ERROR_DELAYS_MS
    """After the first failure of the function, after the second; the last counts for all that follow."""
    first_backoff_ms: int = FIRST_BACKOFF_MS
    max_backoff_ms: int = MAX_BACKOFF_MS

    @classmethod
    def of_seconds(cls, delays_s: tuple[float, ...]) -> "RetryDelays":
        """With these delays after failures; back-off starts no later than the first of them."""
        delays_ms = tuple(round(delay_s * 1000) for delay_s in delays_s)
        return cls(delays_ms, min(FIRST_BACKOFF_MS, max(1, delays_ms[0])))

    def after_failure_ms(self, failures: int) -> int:
        """The pause after so many failures, at least one."""
        return self.after_failures_ms[min(failures, len(self.after_failures_ms)) - 1]

    def backoff_ms(self, refusals: int, *, draw: float) -> int:
        """The pause after so many refusals, at least one: doubled each time, a little more or less."""
        full_ms = min(self.first_backoff_ms << min(refusals - 1, 32), self.max_backoff_ms)
        return max(1, round(full_ms * (1 - _JITTER * draw)))
