"""`/_squib/usage`: what the functions of an account have used, a row for each version and hour."""

from datetime import UTC, datetime
from typing import Final

from squib.clock import Clock
from squib.gateway.pages.signed import Reply, json_reply
from squib.gateway.wire.rest_json import split_query
from squib.model.errors import InvalidParameterValue
from squib.model.operation import RawRequest
from squib.model.units import AccountId
from squib.model.usage import HOUR_S, HourlyUsage, SeriesKey, Tally, by_version
from squib.store.usage import Range, Usage

PATH: Final = "/_squib/usage"


class UsagePage:
    """Answers `?from=&to=`, ISO 8601 times or dates in UTC; left out, from the beginning of this month until
    now. An hour counts when it begins within."""

    def __init__(self, usage: Usage, clock: Clock) -> None:
        self._usage, self._clock = usage, clock

    async def answer(self, request: RawRequest, account_id: AccountId) -> Reply:
        """See `signed.SignedPage`. Raises InvalidParameterValue."""
        given = dict(split_query(request.query))
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        from_s = _second("from", given["from"]) if "from" in given else int(month.timestamp())
        to_s = _second("to", given["to"]) if "to" in given else int(now.timestamp()) + 1
        spans = await self._usage.read(Range(account_id, HOUR_S, from_s, to_s))
        rows = [hourly(series, start_s, tally) for series, start_s, tally in by_version(spans)]
        return json_reply(200, {"hours": rows})


def hourly(series: SeriesKey, start_s: int, tally: Tally) -> HourlyUsage:
    """A row."""
    return HourlyUsage(
        account_id=series.account_id,
        region=series.region,
        function=series.function,
        version=series.version,
        hour=datetime.fromtimestamp(start_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        invocations=tally.invocations,
        errors=tally.errors,
        throttles=tally.throttles,
        cold_starts=tally.cold_starts,
        init_ms=tally.init_10us / 100,
        duration_ms=tally.durations_10us.total / 100,
        billed_ms=tally.billed_ms,
        gb_seconds=tally.gb_seconds,
        prepared_gb_seconds=tally.prepared_gb_seconds,
        provisioned_gb_seconds=tally.provisioned_gb_seconds,
        peak_concurrency=tally.peak,
    )


def _second(name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParameterValue(f"{name} is no time in ISO 8601: {text[:64]}") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
