"""Chains of invocations, and whether one goes in circles: the lineage that trace headers carry. Pure.

`X-Amzn-Trace-Id`, and the message attribute `AWSTraceHeader`, hold `Lineage=HASH:COUNT|HASH:COUNT`: how often
each function has been invoked so far in the chain. SDKs inside a function hand the header on as it is, so
that what it sends says where it comes from. A batch of messages takes the header of the message whose chain
has gone on longest: `longest`.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

MAX_INVOCATIONS: Final = 16  # developer guide, recursive loop detection: "approximately 16 times"
_MAX_FUNCTIONS: Final = 32  # squib's choice: a longer chain forgets the functions it began with
_LINEAGE: Final = re.compile(
    r"(?:^|;)Lineage=((?:[0-9a-f]{8}:[0-9]{1,5})(?:\|[0-9a-f]{8}:[0-9]{1,5}){0,63})(?=;|$)"
)
_MEMBER: Final = re.compile(r";?Lineage=[^;]*")


class Step(NamedTuple):
    """One more invocation in a chain."""

    header: str
    """The trace header that the invocation has."""
    invocations: int
    """How often the chain has invoked the function now."""

    @property
    def is_recursive(self) -> bool:
        """Whether the function has been invoked more often than it may."""
        return self.invocations > MAX_INVOCATIONS


def advance(header: str, function_arn: str) -> Step:
    """The chain of a trace header, after it has invoked a function; `function_arn` is without a qualifier."""
    name = _name(function_arn)
    if "Lineage=" not in header:
        return Step(f"{header};Lineage={name}:0", 1)
    counts = _counts(header)
    count = counts.pop(name, -1) + 1
    counts[name] = count
    kept = list(counts.items())[-_MAX_FUNCTIONS:]
    lineage = "|".join(f"{one}:{times}" for one, times in kept)
    return Step(f"{_MEMBER.sub('', header)};Lineage={lineage}", count + 1)


def longest(headers: Iterable[str | None]) -> str | None:
    """Of several trace headers the one whose chain is nearest to its end; None when there is none."""
    return max((header for header in headers if header), key=_length, default=None)


def _length(header: str) -> int:
    return max(_counts(header).values(), default=-1)


def _counts(header: str) -> dict[str, int]:
    """What cannot be read counts as no lineage."""
    found = _LINEAGE.search(header)
    if found is None:
        return {}
    counts: dict[str, int] = {}
    for part in found[1].split("|"):
        name, _, count = part.partition(":")
        counts[name] = max(int(count), counts.get(name, 0))
    return counts


@lru_cache(maxsize=1024)
def _name(function_arn: str) -> str:
    return hashlib.sha256(function_arn.encode()).hexdigest()[:8]
