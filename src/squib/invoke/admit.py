"""The shell of the concurrency ledger: one lease for the length of one invocation, and the loop that keeps
the ledger at what functions have reserved."""

from collections.abc import Iterator
from contextlib import contextmanager

from squib.model.concurrency import ReservedConcurrency
from squib.model.errors import TooManyRequests
from squib.model.function import FunctionKey
from squib.scheduler.concurrency import ConcurrencyLedger, Share, Throttle
from squib.store.base import Collection


class Admission:
    """Admits invocations while there is concurrency left. Lives on one event loop."""

    def __init__(
        self, ledger: ConcurrencyLedger, reservations: Collection[FunctionKey, ReservedConcurrency]
    ) -> None:
        self._ledger, self._reservations = ledger, reservations
        self.taken_count = 0
        """Leases taken so far."""
        self._settle()

    def take(self, key: FunctionKey) -> Share:
        """A lease, to be released exactly once. Raises TooManyRequests."""
        share = self._ledger.lease(key)
        if isinstance(share, Throttle):
            raise TooManyRequests(share)
        self.taken_count += 1
        return share

    @contextmanager
    def lease(self, key: FunctionKey) -> Iterator[None]:
        """The same, held for the block."""
        share = self.take(key)
        try:
            yield
        finally:
            share.release()

    async def follow(self) -> None:
        """Until cancelled: takes over what functions reserve, in the same turn of the loop as the write that
        says so is answered."""
        seen = 0
        while True:
            self._settle()
            seen = await self._reservations.changed(seen)

    def _settle(self) -> None:
        self._ledger.settle({one.function: one.executions for one in self._reservations.all()})
