"""`squib usage`: what functions have used, and what AWS would have charged for it by a table of prices."""

import csv
import io
import sys
from pathlib import Path

import msgspec

from squib.commands.prices import Prices
from squib.commands.ps import table
from squib.commands.running import RunningSquib
from squib.model.usage import HourlyUsage

_FIELDS = tuple(HourlyUsage.__struct_fields__)


class Usage(msgspec.Struct):
    """The page."""

    hours: list[HourlyUsage]


def run(
    data_dir: Path,
    account: str | None,
    *,
    form: str,
    from_: str | None,
    to: str | None,
    prices: Path | None,
) -> None:
    """Prints it; `form` is `text`, `csv` or `json`. Raises NoAnswer, BadPrices."""
    charged = None if prices is None else Prices.load(prices)
    squib = RunningSquib(data_dir)
    rows: list[HourlyUsage] = []
    for account_id in squib.accounts(account):
        page = squib.ask(account_id, "/_squib/usage", Usage, **{"from": from_, "to": to})
        rows += page.hours if page is not None else []
    if form == "text":
        print(as_text(rows, charged))
    elif form == "csv":
        sys.stdout.write(as_csv(rows, charged))
    else:
        print(msgspec.json.format(msgspec.json.encode(_dicts(rows, charged)), indent=2).decode())


def as_text(rows: list[HourlyUsage], prices: Prices | None) -> str:
    """One line for each version of a function, its hours together, and one for all."""
    head: tuple[str, ...] = (
        "FUNCTION",
        "VERSION",
        "REGION",
        "ACCOUNT",
        "INVOCATIONS",
        "ERRORS",
        "THROTTLES",
        "COLD STARTS",
    )
    head += ("BILLED MS", "GB-S", "PROVISIONED GB-S", "PEAK")
    lines: list[tuple[str, ...]] = [head + ((f"COST {prices.currency}",) if prices else ())]
    groups: dict[tuple[str, ...], list[HourlyUsage]] = {}
    for row in rows:
        groups.setdefault((row.function, row.version, row.region, row.account_id), []).append(row)
    for names, group in sorted(groups.items()):
        lines.append(names + _sums(group, prices))
    if len(groups) > 1:
        lines.append(("all", "", "", "", *_sums(rows, prices)))
    return table(lines)


def _sums(rows: list[HourlyUsage], prices: Prices | None) -> tuple[str, ...]:
    counts = tuple(
        str(sum(getattr(row, field) for row in rows))
        for field in ("invocations", "errors", "throttles", "cold_starts", "billed_ms")
    )
    cost = (f"{sum(prices.cost(row) for row in rows):.6f}",) if prices else ()
    return (
        *counts,
        f"{sum(row.gb_seconds for row in rows):.3f}",
        f"{sum(row.provisioned_gb_seconds for row in rows):.3f}",
        str(max((row.peak_concurrency for row in rows), default=0)),
        *cost,
    )


def as_csv(rows: list[HourlyUsage], prices: Prices | None) -> str:
    """A line for each version and hour."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _FIELDS + (("cost", "currency") if prices else ()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_dicts(rows, prices))
    return text.getvalue()


def _dicts(rows: list[HourlyUsage], prices: Prices | None) -> list[dict[str, object]]:
    made = []
    for row in rows:
        fields: dict[str, object] = msgspec.structs.asdict(row)
        if prices is not None:
            fields |= {"cost": f"{prices.cost(row):.9f}", "currency": prices.currency}
        made.append(fields)
    return made
