"""The typed values of conditions: numbers, dates, bytes, addresses; each read from a string, or None."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_NUMBER: Final = re.compile(r"[+-]?(\d{1,64}(\.\d{0,64})?|\.\d{1,64})([eE][+-]?\d{1,3})?", re.ASCII)
_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?)?)?)?",
    re.ASCII,
)
_EPOCH: Final = re.compile(r"\d{5,16}(\.\d{1,9})?", re.ASCII)  # of four digits or fewer it is a year


@lru_cache(maxsize=1024)
def number(text: str) -> Decimal | None:
    """The decimal number that `text` is."""
    if _NUMBER.fullmatch(text) is None:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


@lru_cache(maxsize=1024)
def instant(text: str) -> Decimal | None:
    """Seconds since the epoch, from a W3C form of ISO 8601 (UTC unless it names a zone) or from seconds."""
    if _EPOCH.fullmatch(text) is not None:
        return Decimal(text)
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0),
            tzinfo=_zone(zone),
        )  # fmt: skip
        return Decimal(int(moment.timestamp())) + Decimal(f"0.{fraction or 0}")
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


def boolean(text: str) -> bool | None:
    """`true` or `false`, in any case."""
    return {"true": True, "false": False}.get(text.lower())


def octets(text: str) -> bytes | None:
    """What `text` is the base64 form of."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


@lru_cache(maxsize=4096)
def address(text: str) -> Address | None:
    """An IP address; an IPv4 address written as IPv6 is the IPv4 address."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def network(text: str) -> Network | None:
    """A range of addresses in CIDR form, or one address."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "Numeric": number,
    "Date": instant,
    "Bool": boolean,
    "Null": boolean,
    "Binary": octets,
    "IpAddress": network,
    "NotIpAddress": network,
}
_WITH_VARIABLES: Final = frozenset(("Bool",))


def is_value_of(operator: str, text: str, has_variables: bool) -> bool:
    """Whether a policy may compare with `text` under the operator of this base name."""
    for prefix, reader in _READERS.items():
        if operator.startswith(prefix):
            is_variable = has_variables and prefix in _WITH_VARIABLES and "${" in text
            return is_variable or reader(text) is not None
    return True
