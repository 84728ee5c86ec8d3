"""How many asynchronous invocations run at a time: as many as do not get in the way of those that wait. Pure.

Nobody waits for an asynchronous invocation, so it takes the machine's spare time. While processors idle, the
limit grows; while they are busy, synchronous invocations come first: the limit shrinks to one, and after each
there is a rest, so that few of those that wait meet any. With none about, a busy machine is well used.
"""

from typing import Final, NamedTuple

MIN_LIMIT: Final = 1  # a backlog always moves
MAX_LIMIT: Final = 1_000  # Lambda quotas page, "Concurrent executions": the account's
GROW_ABOVE_IDLE: Final = 0.25  # squib's choices, measured with `python -m bench.asynchronous`
SHRINK_BELOW_IDLE: Final = 0.10
MAX_LOOP_BUSY: Final = 0.5
_PER_PROCESSOR_ALONE: Final = 4
_REST_RATIO: Final = 14.0  # likewise: how much longer a rest is than what was run
_MAX_REST_MS: Final = (
    8.0  # likewise; an environment that idles for longer is frozen, and thawing it costs more
)


class Pacing(NamedTuple):
    """How many may run."""

    limit: int
    rests: bool = False
    """After each there is a rest."""


def rest_ms(ran_ms: float) -> float:
    """How long nothing is begun after one that has run so long."""
    return min(_MAX_REST_MS, _REST_RATIO * ran_ms)


def next_pacing(
    limit: int,
    *,
    in_flight: int,
    idle_ratio: float,
    loop_ratio: float,
    processors: int,
    has_company: bool,
) -> Pacing:
    """For the next moment. `idle_ratio` (0 to 1) is of all processors since the last one, and
    `loop_ratio` how much of it the event loop has worked; `has_company`: there were synchronous invocations
    meanwhile."""
    is_in_the_way = idle_ratio < SHRINK_BELOW_IDLE or loop_ratio > MAX_LOOP_BUSY
    if has_company and is_in_the_way:
        return Pacing(MIN_LIMIT, rests=True)
    if idle_ratio > GROW_ABOVE_IDLE:
        if in_flight < limit:
            return Pacing(limit)  # it is not the limit that holds them up
        return Pacing(min(MAX_LIMIT, limit + max(1, limit // 4)))
    if has_company:
        return Pacing(limit)
    enough = _PER_PROCESSOR_ALONE * processors
    if limit < enough:
        return Pacing(limit + 1)
    return Pacing(max(enough, limit - limit // 8) if is_in_the_way else limit)
