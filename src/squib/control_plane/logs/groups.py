"""Log groups: making, listing and deleting them, and finding the one that a call names."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from squib.control_plane.logs.shapes import group_shape, group_summary
from squib.control_plane.logs.tags import check_tags
from squib.control_plane.pagination import BadMarker, marker, position
from squib.model.errors import (
    InvalidParameter,
    LogResourceAlreadyExists,
    LogResourceNotFound,
    UnsupportedParameter,
)
from squib.model.log import LogGroup, LogGroupKey
from squib.model.operation import AuthorizedCall, OperationResult
from squib.store.base import Logs

MAX_PAGE: Final = 50  # DescribeLogGroups reference, `limit`
_SEARCH_BATCH: Final = 1_000

_IDENTIFIER: Final = re.compile(r"arn:aws[\w-]*:logs:([^:]*):([^:]*):log-group:([^:]+)(?::\*)?")


class _After(msgspec.Struct, frozen=True, tag="log-groups", forbid_unknown_fields=True):
    name: str


async def create_log_group(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """CreateLogGroup: of the class STANDARD, not encrypted, not protected against deletion."""
    for parameter in ("kmsKeyId", "deletionProtectionEnabled"):
        if call.input.get(parameter):
            raise UnsupportedParameter(call.operation, parameter)
    log_class = call.input.get("logGroupClass", "STANDARD")
    if log_class != "STANDARD":
        raise UnsupportedParameter(call.operation, f"logGroupClass ({log_class})")
    name, tags = call.input["logGroupName"], call.input.get("tags", {})
    if name.lower().startswith("aws/"):
        raise InvalidParameter("Log groups starting with AWS/ are reserved for AWS.")
    check_tags(tags)
    key = LogGroupKey(call.account_id, call.region, name)
    if not await logs.create_group(key, now_ms=call.received_at_ms, tags=tags):
        raise LogResourceAlreadyExists("log group")
    return OperationResult(output={})


async def delete_log_group(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """DeleteLogGroup: with its streams and events."""
    key = LogGroupKey(call.account_id, call.region, call.input["logGroupName"])
    if not await logs.delete_group(key):
        raise LogResourceNotFound("log group")
    return OperationResult(output={})


async def describe_log_groups(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """DescribeLogGroups: by prefix or by pattern, in order of name."""
    for parameter in ("accountIdentifiers", "includeLinkedAccounts", "logGroupIdentifiers"):
        if call.input.get(parameter):
            raise UnsupportedParameter(call.operation, parameter)
    prefix = call.input.get("logGroupNamePrefix")
    pattern = call.input.get("logGroupNamePattern")
    if prefix and pattern:
        raise InvalidParameter(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    if call.input.get("logGroupClass", "STANDARD") != "STANDARD":  # all of squib's are
        return OperationResult(output={"logGroups": []})
    limit = call.input.get("limit", MAX_PAGE)
    found = await _groups(logs, call, prefix or "", pattern or "", limit + 1)
    shape = group_summary if pattern else group_shape
    output: dict[str, object] = {"logGroups": [shape(group) for group in found[:limit]]}
    if len(found) > limit:
        output["nextToken"] = marker(_After(found[limit - 1].key.name))
    return OperationResult(output=output)


async def named_group(logs: Logs, call: AuthorizedCall) -> LogGroupKey:
    """The log group of `logGroupName` or `logGroupIdentifier` (a name or an ARN).

    Raises InvalidParameter unless exactly one is given, LogResourceNotFound when there is no such group.
    """
    name, identifier = call.input.get("logGroupName"), call.input.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise InvalidParameter("Exactly one of logGroupName and logGroupIdentifier must be specified.")
    if identifier is not None and identifier.startswith("arn:"):
        match = _IDENTIFIER.fullmatch(identifier)
        if match is None:
            raise InvalidParameter("The specified logGroupIdentifier is not a log group's name or ARN.")
        if (match[1], match[2]) != (call.region, call.account_id):
            raise LogResourceNotFound("log group")
        identifier = match[3]
    key = LogGroupKey(call.account_id, call.region, str(identifier if name is None else name))
    if await logs.group(key) is None:
        raise LogResourceNotFound("log group")
    return key


def invalid_token() -> InvalidParameter:
    """What every operation says to a token it has not given out."""
    return InvalidParameter("The specified nextToken is invalid.")


async def _groups(
    logs: Logs, call: AuthorizedCall, prefix: str, pattern: str, limit: int
) -> Sequence[LogGroup]:
    """The first `limit` after the call's token."""
    after = ""
    if token := call.input.get("nextToken"):
        try:
            after = position(token, _After).name
        except BadMarker:
            raise invalid_token() from None
    if not pattern:
        return await logs.groups(call.account_id, call.region, prefix=prefix, after=after, limit=limit)
    found: list[LogGroup] = []
    while len(found) < limit:
        batch = await logs.groups(call.account_id, call.region, after=after, limit=_SEARCH_BATCH)
        found.extend(group for group in batch if pattern in group.key.name)
        if len(batch) < _SEARCH_BATCH:
            break
        after = batch[-1].key.name
    return found[:limit]
