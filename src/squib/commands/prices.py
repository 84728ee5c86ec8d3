"""A table of prices, from a TOML file of the user's: what AWS charges, or anybody else.

currency = "USD"
invocation = 0.0000002                 # each
gb_second = 0.0000166667               # of billed time
provisioned_gb_second = 0.0000041667   # of environments kept ready
    prepared_gb_second = 0.0000097222      # of billed time in them; gb_second, unless it is given

[region.eu-south-1]                    # what differs there
gb_second = 0.0000195
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from squib.model.errors import SquibError
from squib.model.usage import HourlyUsage

_NAMES: Final = ("invocation", "gb_second", "provisioned_gb_second", "prepared_gb_second")


class BadPrices(SquibError):
    """The file is no table of prices."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What things cost: by region, and elsewhere."""

    currency: str
    elsewhere: Mapping[str, Decimal]
    regions: Mapping[str, Mapping[str, Decimal]]

    @staticmethod
    def load(path: Path) -> "Prices":
        """Raises BadPrices, OSError."""
        try:
            given = tomllib.loads(path.read_text(), parse_float=Decimal)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadPrices(f"{path} is no TOML file: {error}") from None
        currency, regions = given.pop("currency", "USD"), given.pop("region", {})
        if not isinstance(currency, str) or not isinstance(regions, dict):
            raise BadPrices(f"{path}: currency is a text, region a table")
        elsewhere = {name: Decimal(0) for name in _NAMES[:3]} | _checked(path, given)
        return Prices(
            currency, elsewhere, {name: {**elsewhere, **_checked(path, row)} for name, row in regions.items()}
        )

    def cost(self, row: HourlyUsage) -> Decimal:
        """Of one version in one hour."""
        prices = self.regions.get(row.region, self.elsewhere)
        return (
            row.invocations * prices["invocation"]
            + Decimal(str(row.gb_seconds - row.prepared_gb_seconds)) * prices["gb_second"]
            + Decimal(str(row.prepared_gb_seconds)) * prices.get("prepared_gb_second", prices["gb_second"])
            + Decimal(str(row.provisioned_gb_seconds)) * prices["provisioned_gb_second"]
        )


def _checked(path: Path, row: Any) -> dict[str, Decimal]:
    prices: dict[str, Decimal] = {}
    for name, value in row.items() if isinstance(row, dict) else [("region", row)]:
        if name not in _NAMES:
            raise BadPrices(f"{path}: no price is called {name}; known are {', '.join(_NAMES)}")
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or value < 0:
            raise BadPrices(f"{path}: {name} is a number, and not less than 0")
        prices[name] = Decimal(value)
    return prices
