"""Aliases: names that point to a version of a function, or divide their invocations between two."""

from collections.abc import Mapping
from typing import Final

import msgspec

from squib.model.function import FunctionKey
from squib.model.item import ItemKey, Kind


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """One alias of a function."""

    function: FunctionKey
    name: str
    function_version: str
    """A number, or `$LATEST`."""
    description: str = ""
    weights: Mapping[str, float] = {}
    """At most one further version and the share of invocations it gets, 0 to 1."""
    revision_id: str

    @property
    def arn(self) -> str:
        """The function's ARN, qualified with the alias."""
        return self.function.arn(self.name)


ALIASES: Final = Kind("alias", ItemKey, Alias)


def qualified_key(function: FunctionKey, qualifier: str | None) -> ItemKey:
    """The key of what belongs to a qualifier of a function: `NAME:QUALIFIER`; `NAME` without a qualifier."""
    name = function.name if qualifier is None else f"{function.name}:{qualifier}"
    return ItemKey(function.account_id, function.region, name)


def version_for(alias: Alias, *, draw: float) -> str:
    """The version that one invocation through the alias runs; `draw` is uniform in [0, 1)."""
    for version, weight in alias.weights.items():
        if draw < weight:
            return version
    return alias.function_version
