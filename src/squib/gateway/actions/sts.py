"""STS's rows (service authorization reference, "AWS Security Token Service")."""

from collections.abc import Iterator, Mapping
from typing import Final

from squib.gateway.actions.rule import Input, Place, Rule, Value, anything, tag_keys


def _role(given: Input, place: Place) -> str:
    arn: str = given["RoleArn"]
    return arn


def _role_session_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    if given.get("ExternalId"):
        yield "sts:ExternalId", given["ExternalId"]
    yield from _session_keys(given, place)


def _session_keys(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    if given.get("RoleSessionName"):
        yield "sts:RoleSessionName", given["RoleSessionName"]
    if given.get("SourceIdentity"):
        yield "sts:SourceIdentity", given["SourceIdentity"]
    if given.get("TransitiveTagKeys"):
        yield "sts:TransitiveTagKeys", tuple(given["TransitiveTagKeys"])
    if given.get("DurationSeconds"):
        yield "sts:DurationSeconds", str(given["DurationSeconds"])
    yield from tag_keys({tag["Key"]: tag["Value"] for tag in given.get("Tags") or ()})


ROWS: Final[Mapping[str, Rule]] = {
    "AssumeRole": Rule("sts:AssumeRole", _role, _role_session_keys),
    "AssumeRoleWithWebIdentity": Rule("sts:AssumeRoleWithWebIdentity", _role, _session_keys),
    "DecodeAuthorizationMessage": Rule("sts:DecodeAuthorizationMessage", anything),
    "GetAccessKeyInfo": Rule("sts:GetAccessKeyInfo", anything),
    "GetCallerIdentity": Rule("sts:GetCallerIdentity", anything),
    "GetSessionToken": Rule("sts:GetSessionToken", anything),
}
"""Operation -> what it asks for, for every operation that is built."""
