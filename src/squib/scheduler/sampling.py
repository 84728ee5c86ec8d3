"""Which requests are traced, where no caller has decided it: X-Ray's default rule. Pure.

The first request of each second, and a twentieth of the others (Lambda developer guide, "Visualize Lambda
function invocations using AWS X-Ray").
"""

from typing import Final, NamedTuple

RESERVOIR_PER_S: Final = 1
FIXED_RATE: Final = 0.05


class Sampling(NamedTuple):
    """One decision, and what is to be remembered for the next."""

    is_sampled: bool
    reserved_s: int
    """The second that has had its first request."""


def sample(reserved_s: int, *, now_s: int, draw: float) -> Sampling:
    """Whether a request is traced. `reserved_s` is what the last decision gave; 0 at first."""
    if now_s != reserved_s:
        return Sampling(is_sampled=True, reserved_s=now_s)
    return Sampling(draw < FIXED_RATE, reserved_s)
