"""How many environments are too many for the memory they may hold together."""

import math
from typing import Final

_LEAST_BYTES: Final = 8 << 20  # squib's choice: what starts is not counted as less; the least hold 3 to 10


def excess_count(
    *,
    used_bytes: int,
    settled_count: int,
    stopping_count: int,
    starting_count: int,
    more: int,
    budget_bytes: int,
) -> int:
    """How many environments have to end so that the rest, and so many more, are within the budget.

    `used_bytes` is of all there are. Those that stop give theirs back. Those that start may come to hold as
    much again, which counts against more of them, but ends none that is there."""
    counted = settled_count + stopping_count + starting_count
    average_bytes = used_bytes / counted if counted else 0.0
    typical_bytes = max(_LEAST_BYTES, average_bytes)
    wanted_bytes = used_bytes - stopping_count * average_bytes
    if more:
        wanted_bytes += (starting_count + more) * typical_bytes
    return max(0, math.ceil((wanted_bytes - budget_bytes) / typical_bytes))
