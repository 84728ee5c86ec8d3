"""What the meter counts, and to which series and minute."""

from typing import Any

import msgspec
import pytest

from harness.environments import ACCOUNT, REGION, START_MS, function
from squib.model.function import FunctionKey
from squib.model.invocation import Invocation
from squib.model.units import EpochMs, RequestId
from squib.model.usage import SeriesKey
from squib.store import meter as module
from squib.store.meter import Meter

MINUTE_S = START_MS // 60_000 * 60
SERIES = SeriesKey(ACCOUNT, REGION, "f", "", "$LATEST")


def invocation(qualifier: str = "", version: str = "$LATEST", **more: Any) -> Invocation:
    called = function(version=version, **more)
    return Invocation(
        request_id=RequestId("r"),
        function=called,
        invoked_arn=called.key.arn(qualifier or None),
        payload=b"",
        trace_id="",
        received_at_ms=EpochMs(START_MS),
    )


def invoked(meter: Meter, one: Invocation, **more: Any) -> None:
    figures = {"duration_ms": 1.234, "init_ms": None, "billed_ms": 2, "is_error": False, **more}
    meter.invoked(one, **figures)


def test_an_invocation_counts_with_the_figures_of_its_report() -> None:
    meter = Meter()
    one = invocation(memory_mib=512)
    invoked(meter, one)
    invoked(meter, one, duration_ms=10.0, init_ms=100.128, billed_ms=111, is_error=True)
    meter.throttled(one)
    ((at, tally),) = meter.take().items()
    assert at == (SERIES, MINUTE_S)
    assert (tally.invocations, tally.errors, tally.throttles, tally.cold_starts) == (2, 1, 1, 1)
    assert (tally.init_10us, tally.billed_ms, tally.billed_mib_ms) == (10_013, 113, 113 * 512)
    assert (tally.durations_10us.count, tally.durations_10us.total) == (2, 1_123)
    assert meter.take() == {}


def test_it_counts_to_the_minute_in_which_it_was_received_and_to_the_name_it_was_called_by() -> None:
    meter = Meter()
    invoked(meter, invocation("live", "3"))
    invoked(meter, invocation("3", "3"))
    invoked(meter, invocation("$LATEST"))
    invoked(meter, invocation())
    invoked(meter, msgspec.structs.replace(invocation(), received_at_ms=EpochMs(START_MS + 60_000)))
    counted = {at: tally.invocations for at, tally in meter.take().items()}
    assert counted == {
        (SERIES._replace(qualifier="live", version="3"), MINUTE_S): 1,
        (SERIES._replace(qualifier="3", version="3"), MINUTE_S): 1,
        (SERIES, MINUTE_S): 2,
        (SERIES, MINUTE_S + 60): 1,
    }


def test_a_provisioned_environment_is_no_cold_start_and_what_runs_beside_it_has_spilled_over() -> None:
    meter = Meter()
    one = invocation("3", "3", memory_mib=1024)
    meter.provisioned = {(one.function.key, "3")}
    invoked(meter, one, is_prepared=True, init_ms=50.0, billed_ms=500)
    invoked(meter, one)
    invoked(meter, invocation())
    taken = {series.version: tally for (series, _), tally in meter.take().items()}
    counted = {name: summary.total for name, summary in taken["3"].others.items()}
    assert counted == {
        "ProvisionedConcurrencyInvocations": 100,
        "ProvisionedConcurrencySpilloverInvocations": 100,
    }
    assert (taken["3"].cold_starts, taken["3"].init_10us, taken["3"].prepared_gb_seconds) == (0, 5_000, 0.5)
    assert taken["$LATEST"].others == {}


def test_it_says_once_that_there_is_something_to_take() -> None:
    said: list[int] = []
    meter = Meter(lambda: said.append(1))
    invoked(meter, invocation())
    invoked(meter, invocation("live", "3"))
    assert said == [1]
    meter.take()
    meter.throttled(invocation())
    assert said == [1, 1]


def test_rarer_metrics_belong_to_a_function_a_version_or_a_region() -> None:
    meter = Meter()
    at_ms = EpochMs(START_MS)
    called = function(version="3", memory_mib=1024)
    meter.saw("AsyncEventAge", 12.5, arn=called.key.arn("live"), version="", at_ms=at_ms)
    meter.saw_in_region("ConcurrentExecutions", 7, account_id=ACCOUNT, region=REGION, at_ms=at_ms)
    meter.busy(called, 4, at_ms)
    meter.busy(called, 3, at_ms)
    meter.kept(called, 2_000, at_ms)
    taken = {series: tally for (series, _), tally in meter.take().items()}
    assert taken[SERIES._replace(qualifier="live", version="")].others["AsyncEventAge"].total == 1_250
    assert taken[SERIES._replace(function="", version="")].others["ConcurrentExecutions"].most == 700
    version = taken[SERIES._replace(version="3")]
    assert version.peak == 4
    assert taken[SERIES._replace(qualifier="3", version="3")].provisioned_gb_seconds == 2.0


def test_totals_go_on_from_what_was_taken_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOTALS", 2)
    meter = Meter()
    invoked(meter, invocation())
    meter.take()
    invoked(meter, invocation())
    key = FunctionKey(ACCOUNT, REGION, "f")
    assert {key: tally.invocations for key, tally in meter.functions()} == {key: 2}
    assert meter.totals[key].invocations == 1
    for name in "gh":
        invoked(meter, invocation(key=FunctionKey(ACCOUNT, REGION, name)))
        meter.take()
    assert [key.name for key in meter.totals] == ["g", "h"]


def test_totals_of_functions_that_were_deleted_are_forgotten_when_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MANY_TOTALS", 3)
    there = {"kept"}
    meter = Meter(exists=lambda key: key.name in there)
    for name in ("kept", "a", "b", "c"):
        invoked(meter, invocation(key=FunctionKey(ACCOUNT, REGION, name)))
        meter.take()
    assert [key.name for key in meter.totals] == ["kept", "c"]
    there |= {"c", "d", "e", "f"}
    for name in "def":
        invoked(meter, invocation(key=FunctionKey(ACCOUNT, REGION, name)))
        meter.take()
    assert [key.name for key in meter.totals] == ["kept", "c", "d", "e", "f"]
