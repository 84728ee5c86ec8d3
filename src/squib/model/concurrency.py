"""What is set about the concurrency of a function."""

from typing import Final

import msgspec

from squib.model.function import FunctionKey
from squib.model.item import Kind


class ReservedConcurrency(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a function's invocations may be in flight, and are always let in. 0: none at all."""

    function: FunctionKey
    executions: int


RESERVED_CONCURRENCY: Final = Kind("reserved_concurrency", FunctionKey, ReservedConcurrency)
