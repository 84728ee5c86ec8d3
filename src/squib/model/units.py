"""Units of measure as types. A name's suffix repeats the unit; nothing here converts."""

from typing import NewType

EpochMs = NewType("EpochMs", int)
"""Milliseconds since 1970-01-01 UTC by the wall clock."""

MonotonicMs = NewType("MonotonicMs", float)
"""Milliseconds on the machine's monotonic clock; only differences mean something."""

AccountId = NewType("AccountId", str)
"""Twelve digits."""

Region = NewType("Region", str)
"""An AWS region name such as `us-east-1`."""

RequestId = NewType("RequestId", str)
"""A lower-case UUID that names one API call, and the invocation it makes."""

EnvironmentId = NewType("EnvironmentId", str)
"""32 hex digits that name one execution environment; the tail of its log stream's name."""

ArchiveDigest = NewType("ArchiveDigest", str)
"""The SHA-256 of a code archive's bytes: 64 lower-case hex digits."""
