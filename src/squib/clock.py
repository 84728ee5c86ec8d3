"""Time and chance, as things that are passed in. Nobody else reads a clock or a random source."""

import os
import random
import time
import uuid
from typing import Protocol

from squib.model.units import EnvironmentId, EpochMs, MonotonicMs, RequestId


class Clock(Protocol):
    """Two clocks: the wall, which may jump, and the monotonic one, for durations."""

    def now_ms(self) -> EpochMs:
        """The wall clock."""

    def monotonic_ms(self) -> MonotonicMs:
        """The monotonic clock."""


class Entropy(Protocol):
    """Ids and draws."""

    def draw(self) -> float:
        """Uniform in [0, 1)."""

    def request_id(self) -> RequestId:
        """A fresh random UUID."""

    def environment_id(self) -> EnvironmentId:
        """32 fresh random hex digits."""

    def noise(self, size_bytes: int) -> bytes:
        """`size_bytes` random bytes for ids: unique, not secret."""

    def token(self, size_bytes: int) -> bytes:
        """`size_bytes` bytes fit for secrets."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> EpochMs:
        return EpochMs(time.time_ns() // 1_000_000)

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(time.monotonic() * 1000)


class SystemEntropy:
    """The kernel's random source; for ids asked for a page at a time, as each system call is felt."""

    _PAGE_BYTES = 4096

    def __init__(self) -> None:
        self._page = b""
        self._used = 0

    def noise(self, size_bytes: int) -> bytes:
        start = self._used
        end = start + size_bytes
        if end > len(self._page):
            self._page = os.urandom(max(self._PAGE_BYTES, size_bytes))
            start, end = 0, size_bytes
        self._used = end
        return self._page[start:end]

    def draw(self) -> float:
        return random.random()

    def request_id(self) -> RequestId:
        digits = self.noise(16).hex()
        variant = "89ab"[int(digits[16], 16) & 3]
        return RequestId(
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        )

    def environment_id(self) -> EnvironmentId:
        return EnvironmentId(self.noise(16).hex())

    def token(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)

    def revision_id(self) -> str:
        """A fresh RevisionId."""
        return str(uuid.uuid4())
