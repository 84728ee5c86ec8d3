"""The ledger of concurrent invocations: a lease for each one in flight.

A function with reserved concurrency has a pool of its own, which is at once its limit and its guarantee; the
others of an account and region share what nobody has reserved.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from squib.model.function import FunctionKey
from squib.model.limits import ACCOUNT_CONCURRENCY
from squib.model.units import AccountId, Region

_MANY: Final = 4_096  # functions to remember before those at rest are forgotten: our own choice


class Throttle(StrEnum):
    """Why there is no lease: the model's ThrottleReason."""

    UNRESERVED = "ConcurrentInvocationLimitExceeded"  # the account's, or what others have left of it
    RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"  # the function's own; 0 of it is always


class _Account:
    """What is in flight in one account and region."""

    __slots__ = ("in_flight", "peak", "reserved", "unreserved_in_flight", "unreserved_peak")

    def __init__(self) -> None:
        self.in_flight = 0
        self.reserved = 0  # by all functions together, used or not
        self.unreserved_in_flight = 0  # of functions that have reserved nothing
        self.peak = self.unreserved_peak = 0  # since somebody looked


class Share:
    """One function's part of the ledger, and what each of its leases is given back to."""

    __slots__ = ("_account", "in_flight", "peak", "reserved")

    def __init__(self, account: _Account) -> None:
        self._account = account
        self.in_flight = 0
        self.peak = 0  # since somebody looked
        self.reserved: int | None = None

    def release(self) -> None:
        """Gives one lease back. Raises AssertionError when there is none."""
        assert self.in_flight > 0, "released more leases than were taken"
        account = self._account
        self.in_flight -= 1
        account.in_flight -= 1
        if self.reserved is None:
            account.unreserved_in_flight -= 1


class Peaks(NamedTuple):
    """The most leases that were held at once."""

    functions: Mapping[FunctionKey, int]
    accounts: Mapping[tuple[AccountId, Region], tuple[int, int]]
    """Of all functions together, and of those together that have reserved nothing."""


class ConcurrencyLedger:
    """Counts leases by function, account and region. One owner; not thread-safe.

    Settings may change while leases are held: they count at once to the pool that their function has now, and
    a pool that is fuller than it may be takes no more until it has drained.
    """

    def __init__(self, account_limit: int = ACCOUNT_CONCURRENCY) -> None:
        self._limit = account_limit
        self._accounts: dict[tuple[AccountId, Region], _Account] = {}
        self._shares: dict[FunctionKey, Share] = {}
        self._max_shares = _MANY

    def lease(self, key: FunctionKey) -> Share | Throttle:
        """Takes a lease, which the share's `release` gives back; or says why nothing was taken."""
        share = self._shares.get(key)
        if share is None:
            share = self._open(key)
        account = share._account
        if share.reserved is not None:
            if share.in_flight >= share.reserved:
                return Throttle.RESERVED
        elif account.unreserved_in_flight >= self._limit - account.reserved:
            return Throttle.UNRESERVED
        if account.in_flight >= self._limit:  # a reservation made when others held what it takes
            return Throttle.UNRESERVED
        if share.reserved is None:
            account.unreserved_in_flight += 1
            if account.unreserved_in_flight > account.unreserved_peak:
                account.unreserved_peak = account.unreserved_in_flight
        share.in_flight += 1
        if share.in_flight > share.peak:
            share.peak = share.in_flight
        account.in_flight += 1
        if account.in_flight > account.peak:
            account.peak = account.in_flight
        return share

    def settle(self, reservations: Mapping[FunctionKey, int]) -> None:
        """From now on exactly these functions have reserved concurrency."""
        for key in [key for key, share in self._shares.items() if share.reserved is not None]:
            if key not in reservations:
                self._reserve(key, None)
        for key, executions in reservations.items():
            self._reserve(key, executions)

    def take_peaks(self) -> "Peaks":
        """The most leases held at once since the last call; nothing of who held none."""
        functions = {key: share.peak for key, share in self._shares.items() if share.peak}
        for key in functions:
            self._shares[key].peak = self._shares[key].in_flight
        accounts = {
            where: (account.peak, account.unreserved_peak)
            for where, account in self._accounts.items()
            if account.peak
        }
        for where in accounts:
            account = self._accounts[where]
            account.peak, account.unreserved_peak = account.in_flight, account.unreserved_in_flight
        return Peaks(functions, accounts)

    def in_flight(self, account_id: AccountId, region: Region) -> int:
        """Leases held now."""
        account = self._accounts.get((account_id, region))
        return 0 if account is None else account.in_flight

    def _reserve(self, key: FunctionKey, executions: int | None) -> None:
        share = self._shares.get(key) or self._open(key)
        account, before = share._account, share.reserved
        account.reserved += (executions or 0) - (before or 0)
        if before is None and executions is not None:
            account.unreserved_in_flight -= share.in_flight
        elif before is not None and executions is None:
            account.unreserved_in_flight += share.in_flight
        share.reserved = executions

    def _open(self, key: FunctionKey) -> Share:
        if len(self._shares) >= self._max_shares:  # functions come and go: those with nothing are forgotten
            self._shares = {
                key: share
                for key, share in self._shares.items()
                if share.in_flight or share.reserved is not None
            }
            self._max_shares = max(_MANY, 2 * len(self._shares))
        where = (key.account_id, key.region)
        account = self._accounts.get(where)
        if account is None:
            account = self._accounts[where] = _Account()
        share = self._shares[key] = Share(account)
        return share
