"""What is set about the concurrency of a function, and what came of it."""

from enum import StrEnum
from typing import Final

import msgspec

from squib.model.function import FunctionKey
from squib.model.item import ItemKey, Kind
from squib.model.units import EpochMs


class ReservedConcurrency(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a function's invocations may be in flight, and are always let in. 0: none at all."""

    function: FunctionKey
    executions: int


class ProvisionedConcurrency(msgspec.Struct, frozen=True, kw_only=True):
    """How many environments of a version, or of the one that an alias points to, are initialized ahead of
    calls."""

    function: FunctionKey
    qualifier: str
    """A version's number or an alias's name."""
    executions: int
    modified_at_ms: EpochMs


class AllocationStatus(StrEnum):
    """`Status` of provisioned concurrency."""

    IN_PROGRESS = "IN_PROGRESS"
    READY = "READY"
    FAILED = "FAILED"  # the last attempt to initialize an environment did not succeed; others follow


class Allocation(msgspec.Struct, frozen=True):
    """What there is of a version's provisioned concurrency."""

    status: AllocationStatus = AllocationStatus.IN_PROGRESS
    allocated_count: int = 0
    """Environments that have initialized."""
    reason: str | None = None
    """Why it failed."""


RESERVED_CONCURRENCY: Final = Kind("reserved_concurrency", FunctionKey, ReservedConcurrency)
PROVISIONED_CONCURRENCY: Final = Kind("provisioned_concurrency", ItemKey, ProvisionedConcurrency)
"""Named FUNCTION:QUALIFIER."""
