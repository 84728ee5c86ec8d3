"""What a published version says of the snapshot that was to be taken of it. Pure."""

from typing import Final

import msgspec

from squib.environment.failure import OUT_OF_MEMORY, Failure
from squib.environment.template import NoSnapshot, Taken
from squib.model.function import ReasonCode

INIT_FAILED: Final = "An error occurred during function initialization."
"""AWS's `StateReason` of such a version; its log has more."""

_CODES: Final = {
    OUT_OF_MEMORY: ReasonCode.INIT_RESOURCE_EXHAUSTED,
    "Runtime.InvalidEntrypoint": ReasonCode.INVALID_ENTRY_POINT,
}


class SnapshotOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Of a version that is ready otherwise."""

    failure: tuple[ReasonCode, str] | None = None
    """The version cannot be invoked."""
    status: str = "Off"
    """`SnapStart.OptimizationStatus`."""
    note: str | None = None
    """Why it is off."""


def outcome_of(taken: Taken) -> SnapshotOutcome:
    """Where the initialization fails, so does the version; where what it leaves can't be cloned, environments
    are initialized as ever."""
    if taken is None:
        return SnapshotOutcome(status="On")
    if isinstance(taken, Failure):
        code = ReasonCode.INIT_TIMEOUT if taken.status == "timeout" else ReasonCode.FUNCTION_ERROR
        return SnapshotOutcome(failure=(_CODES.get(taken.error_type, code), INIT_FAILED))
    assert isinstance(taken, NoSnapshot)
    return without(taken.reason)


def without(reason: str) -> SnapshotOutcome:
    """There is no snapshot, for this reason."""
    return SnapshotOutcome(note=f"Environments of this version start without a snapshot: {reason}.")
