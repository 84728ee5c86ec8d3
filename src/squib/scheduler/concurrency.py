"""The ledger of concurrent invocations: a lease for each one in flight.

A function with reserved concurrency has a pool of its own, which is at once its limit and its guarantee; the
others of an account and region share what nobody has reserved. A version's provisioned concurrency is taken
out of its function's pool, for this version alone; what it needs beyond that comes out of the pool again.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from squib.model.function import LATEST, FunctionKey
from squib.model.limits import ACCOUNT_CONCURRENCY, CALLS_PER_CONCURRENCY
from squib.model.units import AccountId, Region
from squib.scheduler.rates import Bucket

_RATE_WINDOW_MS: Final = 1_000
_MANY: Final = 512  # functions to remember before those at rest are forgotten: our own choice


class Throttle(StrEnum):
    """Why there is no lease: the model's ThrottleReason."""

    @property
    def retry_after_s(self) -> int | None:
        """When it may be otherwise, where that is known."""
        return 1 if self in (Throttle.RATE, Throttle.RESERVED_RATE) else None

    UNRESERVED = "ConcurrentInvocationLimitExceeded"  # the account's, or what others have left of it
    RATE = "FunctionInvocationRateLimitExceeded"  # calls a second, of the account
    RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"  # the function's own
    RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"  # the function's own; 0 of it is always


class _Account:
    """What is in flight in one account and region."""

    __slots__ = (
        "calls",
        "in_flight",
        "peak",
        "provisioned",
        "reserved",
        "unreserved_in_flight",
        "unreserved_peak",
    )

    def __init__(self) -> None:
        self.calls = Bucket()
        self.in_flight = 0
        self.reserved = 0  # by all functions together, used or not
        self.provisioned = 0  # for functions that have reserved nothing
        self.unreserved_in_flight = 0  # of functions that have reserved nothing, on demand
        self.peak = self.unreserved_peak = 0  # since somebody looked


class Share:
    """One function's part of the ledger, and what each of its leases on demand is given back to."""

    __slots__ = ("_account", "calls", "in_flight", "on_demand", "peak", "provisioned", "reserved", "versions")

    def __init__(self, account: _Account) -> None:
        self._account = account
        self.calls = Bucket()
        self.in_flight = 0
        self.peak = 0  # since somebody looked
        self.on_demand = 0  # of these, those that provisioned concurrency does not cover
        self.reserved: int | None = None
        self.provisioned = 0  # of all versions together
        self.versions: dict[str, VersionShare] | None = None

    def release(self) -> None:
        """Gives one lease back. Raises AssertionError when there is none."""
        assert self.on_demand > 0, "released more leases than were taken"
        account = self._account
        self.in_flight -= 1
        account.in_flight -= 1
        self.on_demand -= 1
        if self.reserved is None:
            account.unreserved_in_flight -= 1

    def forgo(self, limit: int) -> None:
        """Gives one lease back that was not used: it was no call."""
        self.release()
        bucket, concurrency = self._rate(limit)
        bucket.give_back(capacity=CALLS_PER_CONCURRENCY * concurrency, window_ms=_RATE_WINDOW_MS)

    def _rate(self, limit: int) -> tuple[Bucket, int]:
        """Where calls on demand are counted, and the concurrency that decides how many there may be."""
        if self.reserved is not None:
            return self.calls, self.reserved
        return self._account.calls, limit

    def _is_full(self, limit: int) -> Throttle | None:
        """Why there is no lease on demand."""
        account = self._account
        if self.reserved is not None:
            if self.on_demand >= self.reserved - self.provisioned:
                return Throttle.RESERVED
        elif account.unreserved_in_flight >= limit - account.reserved - account.provisioned:
            return Throttle.UNRESERVED
        return None

    def _take(self, on_demand: int = 1) -> None:
        account = self._account
        self.in_flight += 1
        if self.in_flight > self.peak:
            self.peak = self.in_flight
        account.in_flight += 1
        if account.in_flight > account.peak:
            account.peak = account.in_flight
        self._count(on_demand)
        if account.unreserved_in_flight > account.unreserved_peak:
            account.unreserved_peak = account.unreserved_in_flight

    def _count(self, on_demand: int) -> None:
        self.on_demand += on_demand
        if self.reserved is None:
            self._account.unreserved_in_flight += on_demand


class VersionShare:
    """The part of a version that has provisioned concurrency, and what its leases are given back to. When
    less is provisioned while they are held, those in excess count as leases on demand."""

    __slots__ = ("_share", "calls", "in_flight", "provisioned")

    def __init__(self, share: Share) -> None:
        self._share = share
        self.calls = Bucket()
        self.in_flight = 0
        self.provisioned = 0

    def take(self, now_ms: float) -> bool:
        """Takes a lease that is free, unless calls are too many."""
        capacity = CALLS_PER_CONCURRENCY * self.provisioned
        if not self.calls.take(now_ms, capacity=capacity, window_ms=_RATE_WINDOW_MS):
            return False
        self.in_flight += 1
        self._share._take(on_demand=0)
        return True

    @property
    def excess(self) -> int:
        """Leases that provisioned concurrency does not cover."""
        return max(0, self.in_flight - self.provisioned)

    def release(self) -> None:
        """Gives one lease back. Raises AssertionError when there is none."""
        assert self.in_flight > 0, "released more leases than were taken"
        is_on_demand = self.in_flight > self.provisioned
        self.in_flight -= 1
        share = self._share
        share.in_flight -= 1
        share._account.in_flight -= 1
        if is_on_demand:
            share._count(-1)

    def forgo(self, limit: int) -> None:
        """See Share."""
        self.release()
        self.calls.give_back(capacity=CALLS_PER_CONCURRENCY * self.provisioned, window_ms=_RATE_WINDOW_MS)


Lease: TypeAlias = Share | VersionShare
"""To be released exactly once."""


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

    def lease(self, key: FunctionKey, version: str = LATEST, *, now_ms: float) -> Lease | Throttle:
        """Takes a lease, which its `release` gives back; or says why nothing was taken. Counts as a call at
        that monotonic time."""
        share = self._shares.get(key)
        if share is None:
            share = self._open(key)
        account = share._account
        if share.versions is not None:
            part = share.versions.get(version)
            if part is not None and part.in_flight < part.provisioned:
                if account.in_flight >= self._limit:
                    return Throttle.UNRESERVED
                if part.take(now_ms):
                    return part
        throttle = share._is_full(self._limit)
        if throttle is not None:
            return throttle
        if account.in_flight >= self._limit:  # something was set when others held what it takes
            return Throttle.UNRESERVED
        bucket, concurrency = share._rate(self._limit)
        capacity = CALLS_PER_CONCURRENCY * concurrency
        if not bucket.take(now_ms, capacity=capacity, window_ms=_RATE_WINDOW_MS):
            return Throttle.RATE if share.reserved is None else Throttle.RESERVED_RATE
        share._take()
        return share

    def forgo(self, lease: Lease) -> None:
        """Gives a lease back that was not used after all."""
        lease.forgo(self._limit)

    def settle(
        self,
        reservations: Mapping[FunctionKey, int],
        provisioned: Mapping[tuple[FunctionKey, str], int] | None = None,
    ) -> None:
        """From now on exactly these functions have reserved, and these versions provisioned concurrency."""
        self._provision(provisioned or {})
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

    def held(self) -> Mapping[tuple[AccountId, Region], int]:
        """Leases held now, of every account and region that has had one."""
        return {where: account.in_flight for where, account in self._accounts.items()}

    def in_flight(self, account_id: AccountId, region: Region) -> int:
        """Leases held now."""
        account = self._accounts.get((account_id, region))
        return 0 if account is None else account.in_flight

    def _reserve(self, key: FunctionKey, executions: int | None) -> None:
        share = self._shares.get(key) or self._open(key)
        account, before = share._account, share.reserved
        account.reserved += (executions or 0) - (before or 0)
        if before is None and executions is not None:
            account.unreserved_in_flight -= share.on_demand
            account.provisioned -= share.provisioned
        elif before is not None and executions is None:
            account.unreserved_in_flight += share.on_demand
            account.provisioned += share.provisioned
        share.reserved = executions

    def _provision(self, wanted: Mapping[tuple[FunctionKey, str], int]) -> None:
        for key, version in wanted:
            share = self._shares.get(key) or self._open(key)
            if share.versions is None:
                share.versions = {}
            if version not in share.versions:
                share.versions[version] = VersionShare(share)
        for key, share in self._shares.items():
            if share.versions is not None:
                self._provision_versions(
                    share, {version: wanted.get((key, version), 0) for version in share.versions}
                )

    def _provision_versions(self, share: Share, wanted: Mapping[str, int]) -> None:
        assert share.versions is not None
        for version, executions in wanted.items():
            part = share.versions[version]
            excess, before = part.excess, part.provisioned
            part.provisioned = executions
            share._count(part.excess - excess)
            share.provisioned += executions - before
            if share.reserved is None:
                share._account.provisioned += executions - before
            if not executions and not part.in_flight:
                del share.versions[version]
        if not share.versions:
            share.versions = None

    def _open(self, key: FunctionKey) -> Share:
        if len(self._shares) >= self._max_shares:  # functions come and go: those with nothing are forgotten
            self._shares = {
                key: share
                for key, share in self._shares.items()
                if share.in_flight or share.reserved is not None or share.versions is not None
            }
            self._max_shares = max(_MANY, 2 * len(self._shares))
        where = (key.account_id, key.region)
        account = self._accounts.get(where)
        if account is None:
            account = self._accounts[where] = _Account()
        share = self._shares[key] = Share(account)
        return share
