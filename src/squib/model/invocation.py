"""One invocation and its outcome, as values. A function's own failure is a value, never an exception."""

from typing import TypeAlias

import msgspec

from squib.model.function import FunctionVersion
from squib.model.trace import Trace
from squib.model.units import EpochMs, RequestId


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one version of a function."""

    request_id: RequestId
    function: FunctionVersion
    invoked_arn: str
    """As the caller named it, alias or version included."""
    payload: bytes
    client_context: str = ""
    """JSON text, already decoded from base64; empty when absent."""
    trace_id: str
    """The header."""
    trace: Trace | None = None
    """There when it is sampled, and the function is traced."""
    wants_log_tail: bool = False
    received_at_ms: EpochMs


class Succeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime answered with /response."""

    payload: bytes
    executed_version: str
    log_tail: bytes = b""


class FunctionFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime answered with /error, or the environment failed: a 200 with X-Amz-Function-Error."""

    error_type: str
    payload: bytes
    executed_version: str
    log_tail: bytes = b""
    handled: str = "Unhandled"


InvokeOutcome: TypeAlias = Succeeded | FunctionFailed
