"""What the owner of a machine sets about its environments."""

from dataclasses import dataclass

from squib.model.limits import IDLE_EXPIRY_S
from squib.scheduler.parameters import FREEZE_AFTER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """Bounds of one node's environments."""

    max_environments: int = 1_000
    memory_budget_bytes: int = 0
    """What all environments together may hold, as far as the driver can tell; 0: as much as there is."""
    idle_expiry_s: float = IDLE_EXPIRY_S
    freeze_after_ms: float = FREEZE_AFTER_MS
    """How long an environment stays idle before its processes are stopped."""
    endpoint_url: str = "http://127.0.0.1:4566"
    """squib's own API as seen from inside an environment."""
    max_endpoint_connections: int = 64
    """That one environment may have to it. AWS's SDK for JavaScript opens up to 50 a client."""
