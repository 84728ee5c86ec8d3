"""Which requests are traced, where no caller has decided it: X-Ray's default rule. Pure.

The first request of each second, and a twentieth of the others (Lambda developer guide, "Visualize Lambda
function invocations using AWS X-Ray").
"""

from typing import Final, NamedTuple

RESERVOIR_PER_S: Final = 1
FIXED_RATE: Final = 0.05


class Reserved(NamedTuple):
    """Who was first, and in which second."""

    at_s: int = -1
    request_id: str = ""


def sample(reserved: Reserved, request_id: str, *, now_s: int, draw: float) -> tuple[bool, Reserved]:
    """Whether a request is traced, and what to remember for the next. One that was first stays it: a request
    may be asked about again, when it could not be served the prompt way."""
    if now_s != reserved.at_s:
        return True, Reserved(now_s, request_id)
    return request_id == reserved.request_id or draw < FIXED_RATE, reserved
