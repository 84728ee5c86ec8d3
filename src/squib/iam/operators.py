"""The names of condition operators: a base, perhaps before it a set operator, perhaps after it IfExists."""

from typing import Final, NamedTuple

SET_OPERATORS: Final = {"forallvalues": "ForAllValues", "foranyvalue": "ForAnyValue"}
_IF_EXISTS: Final = "ifexists"

BASES: Final = {
    name.lower(): name
    for name in (
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
        "NumericEquals",
        "NumericNotEquals",
        "NumericLessThan",
        "NumericLessThanEquals",
        "NumericGreaterThan",
        "NumericGreaterThanEquals",
        "DateEquals",
        "DateNotEquals",
        "DateLessThan",
        "DateLessThanEquals",
        "DateGreaterThan",
        "DateGreaterThanEquals",
        "Bool",
        "BinaryEquals",
        "IpAddress",
        "NotIpAddress",
        "ArnEquals",
        "ArnNotEquals",
        "ArnLike",
        "ArnNotLike",
        "Null",
    )
}


class Operator(NamedTuple):
    """An operator taken apart. `quantifier` is `ForAllValues`, `ForAnyValue` or None."""

    base: str
    quantifier: str | None
    is_if_exists: bool


def parse_operator(name: str) -> Operator | None:
    """The operator of that name, in any case; None when there is none. `NullIfExists` is none."""
    prefix, colon, rest = name.rpartition(":")
    quantifier = SET_OPERATORS.get(prefix.lower()) if colon else None
    if colon and quantifier is None:
        return None
    lowered = rest.lower()
    is_if_exists = lowered.endswith(_IF_EXISTS)
    base = BASES.get(lowered.removesuffix(_IF_EXISTS))
    if base is None or (base == "Null" and is_if_exists):
        return None
    return Operator(base, quantifier, is_if_exists)
