"""The ledger of concurrent invocations: a lease for each one in flight, within the account's limit."""

from squib.model.limits import ACCOUNT_CONCURRENCY
from squib.model.units import AccountId, Region


class ConcurrencyLedger:
    """Counts leases by account and region, as Lambda's limit is. One owner; not thread-safe."""

    def __init__(self, account_limit: int = ACCOUNT_CONCURRENCY) -> None:
        self._limit = account_limit
        self._leased: dict[tuple[AccountId, Region], int] = {}

    def lease(self, account_id: AccountId, region: Region) -> bool:
        """Takes a lease; False (and nothing taken) when the account has reached its limit there."""
        key = (account_id, region)
        leased = self._leased.get(key, 0)
        if leased >= self._limit:
            return False
        self._leased[key] = leased + 1
        return True

    def release(self, account_id: AccountId, region: Region) -> None:
        """Gives a lease back. Raises AssertionError when there is none."""
        key = (account_id, region)
        leased = self._leased.get(key, 0)
        assert leased > 0, "released more leases than were taken"
        self._leased[key] = leased - 1

    def in_flight(self, account_id: AccountId, region: Region) -> int:
        """Leases held now."""
        return self._leased.get((account_id, region), 0)
