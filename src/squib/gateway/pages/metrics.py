"""`/_squib/metrics`: counters for Prometheus, of an account, or of all accounts for whoever has the token.

Label values come from closed sets, and from names that exist: accounts, regions, functions, states.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from squib import __version__
from squib.environment.view import EnvironmentView
from squib.gateway.pages.signed import Reply
from squib.model.function import FunctionKey
from squib.model.operation import RawRequest
from squib.model.units import AccountId, Region
from squib.model.usage import Tally
from squib.store.meter import Meter

PATH: Final = "/_squib/metrics"

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)

_COUNTERS: Final[Mapping[str, tuple[str, Callable[[Tally], float]]]] = {
    "squib_invocations_total": ("Invocations that have ended.", lambda tally: tally.invocations),
    "squib_errors_total": ("Invocations that failed, timed out or crashed.", lambda tally: tally.errors),
    "squib_throttles_total": ("Invocations refused for want of concurrency.", lambda tally: tally.throttles),
    "squib_cold_starts_total": (
        "Invocations that had to start one.",
        lambda tally: tally.cold_starts,
    ),
    "squib_init_seconds_total": ("Time of their initializations.", lambda tally: tally.init_10us / 100_000),
    "squib_billed_seconds_total": ("Billed time, as REPORT says.", lambda tally: tally.billed_ms / 1000),
    "squib_billed_gb_seconds_total": ("The same times memory size.", lambda tally: tally.gb_seconds),
}
"""Name -> what it is, and how it is had from what a function has used since squib started."""


class MetricsPage:
    """Answers in Prometheus's text format."""

    def __init__(
        self,
        meter: Meter,
        snapshot: Callable[[], Sequence[EnvironmentView]],
        held: Callable[[], Mapping[tuple[AccountId, Region], int]],
    ) -> None:
        """`snapshot` of the pool, `held` of the concurrency ledger."""
        self._meter, self._snapshot, self._held = meter, snapshot, held

    async def answer(self, request: RawRequest, account_id: AccountId | None) -> Reply:
        """See `signed.WatchedPage`; of every account when `account_id` is None."""
        tallies = [
            (_labels(key), tally)
            for key, tally in self._meter.functions()
            if account_id in (None, key.account_id)
        ]
        lines = [*_info(), *_counters(tallies), *_durations(tallies)]
        lines += [*self._environments(account_id), *self._concurrency(account_id)]
        text = "\n".join(lines) + "\n"
        return 200, [("Content-Type", _CONTENT_TYPE)], text.encode()

    def _concurrency(self, account_id: AccountId | None) -> Iterator[str]:
        name = "squib_concurrent_executions"
        yield from _head(name, "gauge", "Invocations that run or wait for an environment.")
        for (account, region), count in sorted(self._held().items()):
            if account_id in (None, account):
                yield f'{name}{{account="{account}",region="{region}"}} {count}'

    def _environments(self, account_id: AccountId | None) -> Iterator[str]:
        counts: dict[tuple[str, str], int] = {}
        for one in self._snapshot():
            _, _, _, region, account, _, name = one.function_arn.split(":")
            if account_id in (None, account):
                state = "frozen" if one.is_frozen and one.state == "idle" else one.state
                labels = _labels(FunctionKey(AccountId(account), Region(region), name))
                counts[labels, state] = counts.get((labels, state), 0) + 1
        yield from _head("squib_environments", "gauge", "Execution environments there are, by state.")
        for (labels, state), count in sorted(counts.items()):
            yield f'squib_environments{{{labels},state="{state}"}} {count}'


def _info() -> Iterator[str]:
    yield from _head("squib_build_info", "gauge", "The squib that runs.")
    yield f'squib_build_info{{version="{__version__}"}} 1'


def _counters(tallies: Sequence[tuple[str, Tally]]) -> Iterator[str]:
    for name, (text, value) in _COUNTERS.items():
        yield from _head(name, "counter", text)
        for labels, tally in tallies:
            yield f"{name}{{{labels}}} {value(tally):.12g}"


def _durations(tallies: Sequence[tuple[str, Tally]]) -> Iterator[str]:
    name = "squib_duration_seconds"
    yield from _head(name, "histogram", "How long invocations took, as REPORT says.")
    for labels, tally in tallies:
        durations = tally.durations_10us
        below = durations.below([round(bound_s * 100_000) for bound_s in _BOUNDS_S])
        for bound_s, count in zip(_BOUNDS_S, below, strict=True):
            yield f'{name}_bucket{{{labels},le="{bound_s:g}"}} {count}'
        yield f'{name}_bucket{{{labels},le="+Inf"}} {durations.count}'
        yield f"{name}_sum{{{labels}}} {durations.total / 100_000:.12g}"
        yield f"{name}_count{{{labels}}} {durations.count}"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _labels(key: FunctionKey) -> str:
    """Names of functions have no character that would need escaping."""
    return f'account="{key.account_id}",region="{key.region}",function="{key.name}"'
