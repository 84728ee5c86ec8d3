"""What the commands print of the pages that squib answers."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from squib.commands.explain import Denial, explained
from squib.commands.prices import BadPrices, Prices
from squib.commands.ps import age
from squib.commands.running import NoAnswer, RunningSquib
from squib.commands.usage import as_csv, as_text
from squib.model.units import AccountId, Region
from squib.model.usage import HourlyUsage

PRICES = """
currency = "EUR"
invocation = 0.0000002
gb_second = 0.00001
[region.eu-south-1]
gb_second = 0.00002
provisioned_gb_second = 1
"""


def hour(**more: Any) -> HourlyUsage:
    fields: dict[str, Any] = {
        "account_id": AccountId("000000000000"),
        "region": Region("eu-west-1"),
        "function": "f",
        "version": "1",
        "hour": "2026-01-31T12:00:00Z",
        "invocations": 1_000,
        "errors": 2,
        "throttles": 3,
        "cold_starts": 4,
        "init_ms": 5.5,
        "duration_ms": 6.6,
        "billed_ms": 7,
        "gb_seconds": 100.0,
        "prepared_gb_seconds": 0.0,
        "provisioned_gb_seconds": 0.0,
        "peak_concurrency": 8,
    }
    return HourlyUsage(**{**fields, **more})


def prices(tmp_path: Path, text: str = PRICES) -> Prices:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return Prices.load(path)


def test_a_price_is_that_of_the_region_or_the_one_for_all(tmp_path: Path) -> None:
    charged = prices(tmp_path)
    assert charged.cost(hour()) == Decimal("0.0012")
    assert charged.cost(hour(region=Region("eu-south-1"), provisioned_gb_seconds=2.0)) == Decimal("2.0022")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gb_seconds = 1", "no price is called gb_seconds"),
        ("invocation = -1", "not less than 0"),
        ("invocation = 'much'", "a number"),
        ("invocation = ", "no TOML file"),
        ("region = 1", "region a table"),
        ("[region]\neu-west-1 = 1", "no price is called region"),
    ],
)
def test_what_is_no_table_of_prices_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BadPrices, match=reason):
        prices(tmp_path, text)


def test_what_ran_in_provisioned_environments_has_a_price_of_its_own(tmp_path: Path) -> None:
    row = hour(invocations=0, gb_seconds=5.0, prepared_gb_seconds=2.0)
    assert prices(tmp_path, "gb_second = 1").cost(row) == 5
    assert prices(tmp_path, "gb_second = 1\nprepared_gb_second = 0.5").cost(row) == 4


def test_usage_is_added_up_by_version_and_for_all(tmp_path: Path) -> None:
    rows = [hour(), hour(hour="2026-01-31T13:00:00Z", peak_concurrency=9), hour(version="2")]
    head, first, second, total = (line.split() for line in as_text(rows, prices(tmp_path)).splitlines())
    assert head[-1] == "EUR"
    assert first[:4] == ["f", "1", "eu-west-1", "000000000000"]
    assert first[4:] == ["2000", "4", "6", "8", "14", "200.000", "0.000", "9", "0.002400"]
    assert second[1] == "2"
    assert total == ["all", "3000", "6", "9", "12", "21", "300.000", "0.000", "9", "0.003600"]


def test_a_csv_has_a_line_for_each_version_and_hour(tmp_path: Path) -> None:
    head, row = as_csv([hour()], prices(tmp_path)).splitlines()
    assert head.startswith("account_id,region,function,version,hour,invocations,")
    assert row.endswith(",7,100.0,0.0,0.0,8,0.001200000,EUR")
    assert "cost" not in as_csv([hour()], None)


def test_a_denial_is_told_in_plain_words() -> None:
    denial = Denial(
        request_id="r-1",
        at_ms=0,
        account_id="000000000000",
        principal="arn:aws:iam::000000000000:user/u",
        action="lambda:InvokeFunction",
        resource="arn:aws:lambda:us-east-1:000000000000:function:f",
        outcome="implicit_deny",
        policy_type="boundary",
        policy=None,
        statement=None,
    )
    assert explained(denial).splitlines() == [
        "Request r-1 was denied at 1970-01-01 00:00:00 UTC.",
        "  who:         arn:aws:iam::000000000000:user/u",
        "  what:        lambda:InvokeFunction",
        "  on:          arn:aws:lambda:us-east-1:000000000000:function:f",
        "  why:         no permissions boundary of the caller allows it",
        "  what to do:  add a statement that allows lambda:InvokeFunction on "
        "arn:aws:lambda:us-east-1:000000000000:function:f to the permissions boundary, which must allow it "
        "beside the policies",
    ]
    denial.outcome, denial.policy, denial.statement = "explicit_deny", "arn:aws:iam::1:policy/p", "NoInvoke"
    assert "statement NoInvoke of arn:aws:iam::1:policy/p denies it" in explained(denial)


@pytest.mark.parametrize("kind", ["identity", "resource", "trust", "session", "service-control"])
def test_every_kind_of_policy_has_its_advice(kind: str) -> None:
    denial = Denial(
        request_id="r",
        at_ms=0,
        account_id=None,
        principal="p",
        action="a:B",
        resource="*",
        outcome="implicit_deny",
        policy_type=kind,
        policy=None,
        statement=None,
    )
    assert "what to do:" in explained(denial)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (61, "1m"), (7_200, "2h"), (200_000, "2d")])
def test_ages_are_short(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_it_says_when_there_is_no_squib_to_ask(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="no squib has run"):
        RunningSquib(tmp_path)
