"""What is set about the asynchronous invocations of a function, version or alias."""

from typing import Final

import msgspec

from squib.model.function import FunctionKey
from squib.model.item import ItemKey, Kind
from squib.model.units import EpochMs


class EventInvokeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how long an event is tried, and where its outcome goes. None: Lambda's default."""

    function: FunctionKey
    qualifier: str
    """`$LATEST`, a version's number or an alias's name."""
    modified_at_ms: EpochMs
    max_retry_attempts: int | None = None
    """0 to 2, after the first attempt; by default 2."""
    max_event_age_s: int | None = None
    """60 to 21,600; by default the latter."""
    on_success: str | None = None
    """ARN of the destination of successes."""
    on_failure: str | None = None
    """ARN of the destination of events that have failed or expired."""


EVENT_INVOKE_CONFIGS: Final = Kind("event_invoke_config", ItemKey, EventInvokeConfig)
"""Named FUNCTION:QUALIFIER."""
