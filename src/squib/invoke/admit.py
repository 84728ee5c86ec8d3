"""The shell of the concurrency ledger: one lease for the length of one invocation."""

from collections.abc import Iterator
from contextlib import contextmanager

from squib.model.errors import TooManyRequests
from squib.model.function import FunctionKey
from squib.scheduler.concurrency import ConcurrencyLedger


class Admission:
    """Admits invocations while there is concurrency left. Lives on one event loop."""

    def __init__(self, ledger: ConcurrencyLedger) -> None:
        self.ledger = ledger

    @contextmanager
    def lease(self, key: FunctionKey) -> Iterator[None]:
        """Holds a lease for the block. Raises TooManyRequests."""
        account_id, region = key.account_id, key.region
        if not self.ledger.lease(account_id, region):
            raise TooManyRequests("ConcurrentInvocationLimitExceeded")
        try:
            yield
        finally:
            self.ledger.release(account_id, region)
