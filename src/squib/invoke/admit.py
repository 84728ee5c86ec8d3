"""The shell of the concurrency ledger: one lease for the length of one invocation."""

from types import TracebackType

from squib.model.errors import TooManyRequests
from squib.model.function import FunctionKey
from squib.scheduler.concurrency import ConcurrencyLedger


class Lease:
    """One unit of concurrency, held until `release`, which must come exactly once."""

    __slots__ = ("_key", "_ledger")

    def __init__(self, ledger: ConcurrencyLedger, key: FunctionKey) -> None:
        self._ledger, self._key = ledger, key

    def release(self) -> None:
        """Gives it back."""
        self._ledger.release(self._key.account_id, self._key.region)

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Admission:
    """Admits invocations while there is concurrency left. Lives on one event loop."""

    def __init__(self, ledger: ConcurrencyLedger) -> None:
        self._ledger = ledger

    def take(self, key: FunctionKey) -> Lease:
        """A lease; as a context manager it is held for the block. Raises TooManyRequests."""
        if not self._ledger.lease(key.account_id, key.region):
            raise TooManyRequests("ConcurrentInvocationLimitExceeded")
        return Lease(self._ledger, key)
