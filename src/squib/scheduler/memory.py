"""How many environments are too many for the memory they may hold together."""

import math
from typing import Final

_LEAST_BYTES: Final = 8 << 20  # squib's choice: what starts is not counted as less; the least hold 3 to 10


def excess_count(
    *, used_bytes: int, settled_count: int, stopping_count: int, starting_count: int, budget_bytes: int
) -> int:
    """How many environments have to end so that the rest are within the budget. `used_bytes` is of those that
    have initialized and of those that stop; those that start will hold as much as they do."""
    counted = settled_count + stopping_count
    average_bytes = used_bytes / counted if counted else 0.0
    typical_bytes = max(_LEAST_BYTES, average_bytes)
    wanted_bytes = used_bytes - stopping_count * average_bytes + starting_count * typical_bytes
    return max(0, math.ceil((wanted_bytes - budget_bytes) / typical_bytes))
