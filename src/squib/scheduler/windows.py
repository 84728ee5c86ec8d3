"""Tumbling windows: which one a record belongs to, and what is handed from one invocation to the next. Pure.

Lambda developer guide, "Implementing stateful Kinesis stream processing in Lambda".
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from squib.model.units import EpochMs

MAX_STATE_BYTES: Final = 1024 * 1024  # the same: a window with more state than that ends early
NO_STATE: Final = b"{}"


def window_start_ms(arrived_at_ms: float, width_ms: int) -> EpochMs:
    """When the window of a record began."""
    return EpochMs(int(arrived_at_ms // width_ms) * width_ms)


def window_members(
    start_ms: EpochMs,
    width_ms: int,
    state: bytes,
    *,
    shard_id: str,
    stream_arn: str,
    is_final: bool,
    is_early: bool,
) -> bytes:
    """What an event has beside its records, as the inside of a JSON object."""
    members: dict[str, Any] = {
        "window": {"start": _instant(start_ms), "end": _instant(start_ms + width_ms)},
        "state": msgspec.Raw(state),
        "shardId": shard_id,
        "eventSourceARN": stream_arn,
        "isFinalInvokeForWindow": is_final,
        "isWindowTerminatedEarly": is_early,
    }
    return msgspec.json.encode(members)[1:-1]


def state_after(answer: bytes) -> bytes:
    """The state that an answer hands on; none where it says nothing of it."""
    try:
        said = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NO_STATE
    return bytes(said.get("state", NO_STATE))


def _instant(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}Z"
