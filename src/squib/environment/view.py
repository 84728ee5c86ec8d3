"""One environment as an operator sees it."""

import msgspec

from squib.environment.environment import Environment
from squib.environment.group import IDLE
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


def view(environment: Environment, now_ms: float) -> EnvironmentView:
    """Of the environment as it is now."""
    return EnvironmentView(
        environment_id=environment.environment_id,
        function_arn=environment.function.key.arn(),
        version=environment.function.version,
        state=environment.state.name.lower(),
        is_frozen=environment.is_frozen,
        idle_ms=now_ms - environment.idle_since_ms if environment.place == IDLE else 0.0,
        age_ms=now_ms - environment.started_ms,
        invocations=environment.invocation_count,
        memory_peak_bytes=environment.memory_peak_bytes(),
        memory_mib=environment.function.memory_mib,
    )
