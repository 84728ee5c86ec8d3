"""Tags of log groups, by ARN (TagResource and its kin) and by name (TagLogGroup and its kin, deprecated)."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from squib.model.errors import InvalidLogResourceArn, InvalidParameter, LogResourceNotFound, TooManyTags
from squib.model.limits import MAX_TAGS
from squib.model.log import LogGroup, LogGroupKey
from squib.model.operation import AuthorizedCall, OperationResult
from squib.store.base import Logs

Tags: TypeAlias = Mapping[str, str]

_GROUP_ARN: Final = re.compile(r"arn:aws[\w-]*:logs:([^:]+):([^:]+):log-group:([^:]+)")
"""Without the `:*` of DescribeLogGroups: these operations refuse it."""


async def tag_group(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """TagResource, TagLogGroup: adds tags, in place of those of the same keys."""
    given: Tags = call.input["tags"]
    await _change(logs, call, lambda tags: {**tags, **given})
    return OperationResult(output={})


async def untag_group(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """UntagResource, UntagLogGroup: removes the tags of these keys; others are passed over."""
    gone = frozenset(call.input["tagKeys"] if "resourceArn" in call.input else call.input["tags"])
    await _change(logs, call, lambda tags: {key: value for key, value in tags.items() if key not in gone})
    return OperationResult(output={})


async def list_group_tags(logs: Logs, call: AuthorizedCall) -> OperationResult:
    """ListTagsForResource, ListTagsLogGroup."""
    group = await logs.group(_tagged(call))
    if group is None:
        raise LogResourceNotFound("log group")
    return OperationResult(output={"tags": dict(group.tags)})


def check_tags(tags: Tags) -> None:
    """Raises TooManyTags, or InvalidParameter for a key that only AWS may use."""
    if any(key.lower().startswith("aws:") for key in tags):
        raise InvalidParameter("Tag keys starting with 'aws:' are reserved for internal use")
    if len(tags) > MAX_TAGS:
        raise TooManyTags(MAX_TAGS)


async def _change(logs: Logs, call: AuthorizedCall, change: Callable[[Tags], Tags]) -> None:
    def changed(group: LogGroup) -> LogGroup:
        tags = change(group.tags)
        check_tags(tags)
        return msgspec.structs.replace(group, tags=tags)

    if not await logs.change_group(_tagged(call), changed):
        raise LogResourceNotFound("log group")


def _tagged(call: AuthorizedCall) -> LogGroupKey:
    """The group that the call names. Raises InvalidLogResourceArn, LogResourceNotFound for another's."""
    arn = call.input.get("resourceArn")
    if arn is None:
        return LogGroupKey(call.account_id, call.region, call.input["logGroupName"])
    match = _GROUP_ARN.fullmatch(arn)
    if match is None:
        raise InvalidLogResourceArn()
    if (match[1], match[2]) != (call.region, call.account_id):
        raise LogResourceNotFound("log group")
    return LogGroupKey(call.account_id, call.region, match[3])
