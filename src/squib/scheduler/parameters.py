"""Numbers that are squib's own choice, with the measurement or the reason behind each."""

from typing import Final

FREEZE_AFTER_MS: Final = (
    10  # a freeze and a thaw cost about 0.1 ms each: not between back-to-back invocations
)
LOG_POLL_MS: Final = 20  # how often a running environment's log pipes are looked at; the end of an invocation
# always looks. Waking for each line costs about 5 us, and a runtime writes two or more for each print
STOP_KILL_MS: Final = 2_000  # the longest that ending an environment may take before it is logged as stuck
