"""Numbers that are squib's own choice, with the measurement or the reason behind each."""

from typing import Final

FREEZE_AFTER_MS: Final = (
    10  # a freeze and a thaw cost about 0.1 ms each: not between back-to-back invocations
)
LOOK_AT_MEMORY_MS: Final = 250  # how often, where there is a budget: a function that takes memory as fast as
# it can gets some 200 MiB in that time, and a look costs some 30 us
MAX_BEING_MADE: Final = 24  # environments that have no sandbox yet: more would only wait for a core, and an
# environment that is free meanwhile makes one of those needless that are not begun
LOG_END_AFTER_MS: Final = 10  # how long after the answer END and REPORT are written at the latest: not before
# it, as that would cost the caller about 30 us
