"""One environment as an operator sees it."""

import msgspec

from squib.model.units import EnvironmentId


class EnvironmentView(msgspec.Struct, frozen=True, kw_only=True):
    """What `squib ps` shows."""

    environment_id: EnvironmentId
    function_arn: str
    version: str
    state: str
    is_frozen: bool
    idle_ms: float
    """0 while it has an invocation or initializes."""
    age_ms: float
    invocations: int
    memory_peak_bytes: int
    memory_mib: int
    """What it may use."""
