"""How long log groups keep their events: the policy of each, and the loop that enforces it.

Readers never see an event past its time (`store.base.Logs.events`); the loop gives its disk space back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from squib.model.errors import InvalidParameter, LogResourceNotFound
from squib.model.log import RETENTION_DAYS, LogGroup, LogGroupKey
from squib.model.operation import AuthorizedCall, OperationResult
from squib.store.base import Logs

SWEEP_INTERVAL_S: Final = 15 * 60  # squib's choice: AWS takes up to 72 hours (PutRetentionPolicy reference)

_log: Final = logging.getLogger("squib.logs")


async def put_retention_policy(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """PutRetentionPolicy: holds at once, for events that are there already too."""
    days: int = call.input["retentionInDays"]
    if days not in RETENTION_DAYS:
        raise InvalidParameter(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
            f"Member must satisfy enum value set: {list(RETENTION_DAYS)}"
        )
    return await _retain(logs, call, days)


async def delete_retention_policy(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """DeleteRetentionPolicy: events are kept until they are deleted; fine when there is no policy."""
    return await _retain(logs, call, None)


class RetentionLoop:
    """Removes what has expired, again and again."""

    def __init__(self, expire: Callable[[], Awaitable[int]], *, interval_s: float = SWEEP_INTERVAL_S) -> None:
        """`expire` is that of `store.base.Logs`."""
        self._expire = expire
        self._interval_s = interval_s

    async def run(self) -> None:
        """Sweeps at once, then every interval, until cancelled."""
        while True:
            try:
                removed_count = await self._expire()
            except Exception:  # the disk may be full or slow now; what is left goes with the next sweep
                _log.exception("log_retention_failed")
            else:
                if removed_count:
                    _log.info("log_files_expired count=%d", removed_count)
            await asyncio.sleep(self._interval_s)


async def _retain(logs: Logs, call: AuthorizedCall, days: int | None) -> OperationResult:
    def changed(group: LogGroup) -> LogGroup:
        return msgspec.structs.replace(group, retention_days=days)

    key = LogGroupKey(call.account_id, call.region, call.input["logGroupName"])
    if not await logs.change_group(key, changed):
        raise LogResourceNotFound("log group")
    return OperationResult(output={})
