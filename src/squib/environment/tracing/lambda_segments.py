"""The segments that Lambda itself writes of a traced invocation. Pure.

Two for each (Lambda developer guide, "Visualize Lambda function invocations using AWS X-Ray"): of the
service, from the call to its answer, and below it of the function, with the parts of its time. Of an
asynchronous invocation the service's has its waiting and each attempt as subsegments, sent one by one as they
end.
"""

import hashlib
import re
from typing import Any, Final, NamedTuple

import msgspec

from squib.environment.failure import Failure
from squib.model.invocation import Invocation
from squib.model.trace import Trace

SERVICE: Final = "AWS::Lambda"
FUNCTION: Final = "AWS::Lambda::Function"

_MAX_TEXT: Final = 2_000  # squib's choice: of an error's message
_MAX_FRAMES: Final = 50  # squib's choice
_FRAME: Final = re.compile(r'File "([^"]*)", line ([0-9]+), in (.*)')


class Span(NamedTuple):
    """Seconds since 1970."""

    start_s: float
    end_s: float


class Start(NamedTuple):
    """How an environment became ready for its first invocation."""

    name: str
    """`Initialization`, or `Restore` from a snapshot."""
    span: Span


class Times(NamedTuple):
    """The parts of a function's segment."""

    invocation: Span
    end_s: float
    """The runtime, and extensions, were ready for what comes next."""
    start: Start | None = None
    """Of the environment, when this is its first invocation."""


def service_segment(
    trace: Trace, invocation: Invocation, times: Span, *, status: int, is_failed: bool = False
) -> dict[str, Any]:
    """Lambda's own. `is_failed`: the function failed, which its caller is told with 200."""
    return {
        **_segment(trace.service_id, trace, invocation, SERVICE, times),
        **({} if trace.parent_id is None else {"parent_id": trace.parent_id}),
        "http": {"response": {"status": status}},
        **_flags(status, is_failed=is_failed),
    }


def function_segment(
    trace: Trace, invocation: Invocation, times: Times, failure: Failure | None, subsegment_ids: str
) -> dict[str, Any]:
    """The function's. `subsegment_ids`: three ids of 16 hex digits, one after the other."""
    function, start = invocation.function, times.start
    start_s = times.invocation.start_s
    if start is not None:
        start_s = min(start_s, start.span.start_s)
    about = {"function_arn": function.key.arn()}
    parts: list[tuple[str, Span]] = [
        ("Invocation", times.invocation),
        ("Overhead", Span(times.invocation.end_s, times.end_s)),
    ]
    if start is not None:
        parts.insert(0, start)
    return {
        **_segment(trace.function_id, trace, invocation, FUNCTION, Span(start_s, times.end_s)),
        "parent_id": trace.caller_id,
        "aws": {
            "account_id": function.key.account_id,
            "function_arn": invocation.invoked_arn,
            "resource_names": [function.key.name],
            "cold_start": start is not None,
            "request_id": invocation.request_id,
        },
        **_fault(failure, trace.function_id),
        "subsegments": [
            {
                "id": subsegment_ids[16 * number : 16 * number + 16],
                "name": name,
                "start_time": span.start_s,
                "end_time": span.end_s,
                "aws": about,
                **(_fault(failure, trace.function_id) if name == "Invocation" else {}),
            }
            for number, (name, span) in enumerate(parts)
        ],
    }


def attempt_subsegment(
    trace: Trace, invocation: Invocation, times: Span, *, number: int, is_failed: bool, status: int
) -> dict[str, Any]:
    """One attempt at an asynchronous invocation; the first is number 1."""
    return {
        **_subsegment(trace, trace.caller_id, f"Attempt #{number}", times),
        "aws": {
            "function_arn": invocation.invoked_arn,
            "resource_names": [invocation.function.key.name],
            "request_id": invocation.request_id,
        },
        "http": {"response": {"status": status}},
        **_flags(status, is_failed=is_failed),
    }


def dwell_subsegment(trace: Trace, request_id: str, times: Span) -> dict[str, Any]:
    """The time in which an asynchronous invocation waited for its first attempt."""
    return _subsegment(trace, derived_id(request_id, "dwell"), "Dwell Time", times)


def derived_id(request_id: str, what: str) -> str:
    """The id of a part of an asynchronous invocation: the same in each attempt, and after a restart."""
    return hashlib.sha256(f"{request_id}/{what}".encode()).hexdigest()[:16]


def _segment(
    segment_id: str, trace: Trace, invocation: Invocation, origin: str, times: Span
) -> dict[str, Any]:
    return {
        "id": segment_id,
        "trace_id": trace.trace_id,
        "name": invocation.function.key.name,
        "start_time": times.start_s,
        "end_time": times.end_s,
        "origin": origin,
        "resource_arn": invocation.function.key.arn(),
        "aws": {"request_id": invocation.request_id, "function_arn": invocation.invoked_arn},
    }


def _subsegment(trace: Trace, segment_id: str, name: str, times: Span) -> dict[str, Any]:
    return {
        "id": segment_id,
        "trace_id": trace.trace_id,
        "type": "subsegment",
        "parent_id": trace.service_id,
        "name": name,
        "start_time": times.start_s,
        "end_time": times.end_s,
    }


def _flags(status: int, *, is_failed: bool) -> dict[str, bool]:
    """As X-Ray reads a status: the client's error, a throttle among them, or the service's fault."""
    flags = {}
    if 400 <= status < 500:
        flags["error"] = True
    if status == 429:
        flags["throttle"] = True
    if status >= 500 or is_failed:
        flags["fault"] = True
    return flags


def _fault(failure: Failure | None, function_id: str) -> dict[str, Any]:
    if failure is None:
        return {}
    error_type, message, stack = failure.error_type, failure.message, []
    if failure.posted is not None:
        try:
            said = msgspec.json.decode(failure.posted, type=_Said)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said = _Said()
        error_type, message = said.errorType or error_type, said.errorMessage or message
        stack = [frame for line in (said.stackTrace or ())[:_MAX_FRAMES] if (frame := _frame(line))]
    exception: dict[str, Any] = {
        "id": function_id,
        "type": error_type[:_MAX_TEXT],
        "message": message[:_MAX_TEXT],
    }
    if stack:
        exception["stack"] = stack
    return {"fault": True, "cause": {"working_directory": "/var/task", "exceptions": [exception]}}


def _frame(line: object) -> dict[str, Any] | None:
    """One line of Python's traceback."""
    found = _FRAME.search(line) if isinstance(line, str) else None
    return found and {"path": found[1][:200], "line": int(found[2][:9]), "label": found[3][:200]}


class _Said(msgspec.Struct):
    """How runtimes post an error."""

    errorType: str | None = None
    errorMessage: str | None = None
    stackTrace: list[Any] | None = None
