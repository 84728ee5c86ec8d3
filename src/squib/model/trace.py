"""Traces: what their header carries, and what a traced invocation knows of its own. Pure."""

import re
from typing import Final, NamedTuple

import msgspec

ACTIVE: Final = "Active"
"""The tracing mode of functions that are traced; of all others the header is passed through."""

_ROOT: Final = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}", re.ASCII)
_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_SAMPLED: Final = {"0": False, "1": True}


class TraceHeader(NamedTuple):
    """`X-Amzn-Trace-Id`, read."""

    root: str
    """The trace's id."""
    parent: str | None = None
    """The segment that the call was made in."""
    is_sampled: bool | None = None
    """None where that is left to who is called."""
    rest: str = ""
    """Members of other names, such as `Lineage`, as they were."""

    def text(self) -> str:
        """The header."""
        members = [f"Root={self.root}"]
        if self.parent is not None:
            members.append(f"Parent={self.parent}")
        if self.is_sampled is not None:
            members.append(f"Sampled={int(self.is_sampled)}")
        if self.rest:
            members.append(self.rest)
        return ";".join(members)


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Of an invocation that is sampled: where its segments belong."""

    trace_id: str
    parent_id: str | None
    """Of the caller's segment."""
    service_id: str
    """Of Lambda's segment: from the call to its answer."""
    caller_id: str
    """What the function's segment is below: Lambda's, or one attempt in it."""
    function_id: str
    """Of the function's segment, which what the function calls is below."""


def parse(given: str) -> TraceHeader | None:
    """None for what names no trace."""
    root = parent = None
    is_sampled = None
    rest = []
    for member in given.split(";"):
        name, _, value = member.strip().partition("=")
        if name == "Root":
            root = value
        elif name == "Parent":
            parent = value if _ID.fullmatch(value) else None
        elif name == "Sampled":
            is_sampled = _SAMPLED.get(value)
        elif name and name != "Self":
            rest.append(member.strip())
    if root is None or not is_trace_id(root):
        return None
    return TraceHeader(root, parent, is_sampled, ";".join(rest))


def is_trace_id(text: str) -> bool:
    """`1-`, a time as eight hex digits, and 24 more."""
    return _ROOT.fullmatch(text) is not None


def is_segment_id(text: str) -> bool:
    """16 hex digits."""
    return _ID.fullmatch(text) is not None


def made_at_s(trace_id: str) -> int:
    """When a trace began, as its id says: seconds since 1970."""
    return int(trace_id[2:10], 16)
