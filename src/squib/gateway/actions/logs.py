"""CloudWatch Logs' rows (service authorization reference, "Amazon CloudWatch Logs")."""

from collections.abc import Iterator, Mapping
from typing import Final

from squib.gateway.actions.rule import Input, Place, Rule, Value, own, removed_tags, request_tags


def _group(given: Input, place: Place) -> str:
    """A group's ARN is asked for with its stream's part, empty where the action is about the group: so the
    patterns `log-group:NAME:*` that policies use take both. Only where tags are asked for by ARN it stands
    alone (user guide, "Overview of managing access permissions")."""
    if given.get("resourceArn"):
        return own(given["resourceArn"])
    named = given.get("logGroupName") or given.get("logGroupIdentifier") or ""
    group = f"arn:aws:logs:{place.region}:{place.account_id}:log-group:{named}"
    if named.startswith("arn:"):
        group = own(named.removesuffix(":*"))
    return f"{group}:log-stream:{given.get('logStreamName', '')}"


def _tag_group(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    yield from request_tags(given, place)


_PLAIN: Final = (
    *("CreateLogStream", "DeleteLogGroup", "DeleteLogStream", "DescribeLogGroups", "DescribeLogStreams"),
    *("GetLogEvents", "FilterLogEvents", "PutLogEvents", "PutRetentionPolicy", "DeleteRetentionPolicy"),
    *("ListTagsForResource", "ListTagsLogGroup"),
)

ROWS: Final[Mapping[str, Rule]] = {
    **{operation: Rule(f"logs:{operation}", _group) for operation in _PLAIN},
    "CreateLogGroup": Rule("logs:CreateLogGroup", _group, _tag_group),
    "TagLogGroup": Rule("logs:TagLogGroup", _group, _tag_group),
    "UntagLogGroup": Rule("logs:UntagLogGroup", _group),
    "TagResource": Rule("logs:TagResource", _group, _tag_group),
    "UntagResource": Rule("logs:UntagResource", _group, removed_tags),
}
"""Operation -> what it asks for, for every operation that is built."""
