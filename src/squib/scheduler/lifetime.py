"""How an environment is initialized, how long that may take, and when it ends though nothing is wrong."""

from enum import StrEnum

import msgspec

from squib.model.limits import INIT_TIMEOUT_MS, MAX_ENVIRONMENT_LIFE_MS, PREPARED_INIT_TIMEOUT_MS


class Initialization(StrEnum):
    """AWS_LAMBDA_INITIALIZATION_TYPE."""

    ON_DEMAND = "on-demand"  # because an invocation waits
    PROVISIONED = "provisioned-concurrency"  # ahead of invocations
    SNAP_START = "snap-start"  # from a snapshot; or, where there can be none, because an invocation waits


class Lifetime(msgspec.Struct, frozen=True):
    """Times of one environment; monotonic where they are points in time."""

    initialization: Initialization
    init_timeout_ms: float
    idle_expiry_ms: float
    ends_at_ms: float
    """No invocation is begun after this."""
    is_prepared: bool = False
    """Initialized ahead of calls: that is shown in the log, and not billed with the first of them."""

    def expires_ms(self, idle_since_ms: float) -> float:
        """When an environment ends that nobody has used since then."""
        return min(idle_since_ms + self.idle_expiry_ms, self.ends_at_ms)


def lifetime(
    initialization: Initialization, *, timeout_s: int, idle_expiry_ms: float, now_ms: float
) -> Lifetime:
    """That of an environment which is started now. Its credentials outlive it."""
    is_provisioned = initialization is Initialization.PROVISIONED
    is_on_demand = initialization is Initialization.ON_DEMAND
    return Lifetime(
        initialization=initialization,
        init_timeout_ms=INIT_TIMEOUT_MS if is_on_demand else prepared_init_timeout_ms(timeout_s),
        idle_expiry_ms=float("inf") if is_provisioned else idle_expiry_ms,
        ends_at_ms=now_ms + MAX_ENVIRONMENT_LIFE_MS,
        is_prepared=is_provisioned,
    )


def prepared_init_timeout_ms(timeout_s: int) -> float:
    """How long an initialization may take that no invocation waits for."""
    return max(PREPARED_INIT_TIMEOUT_MS, timeout_s * 1000)
