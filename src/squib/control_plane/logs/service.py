"""CloudWatch Logs: which operations are built. Each is a function of the store's logs and a call."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from squib.control_plane.logs.events import filter_log_events, get_log_events
from squib.control_plane.logs.groups import create_log_group, delete_log_group, describe_log_groups
from squib.control_plane.logs.put import put_log_events
from squib.control_plane.logs.retention import delete_retention_policy, put_retention_policy
from squib.control_plane.logs.streams import create_log_stream, delete_log_stream, describe_log_streams
from squib.control_plane.logs.tags import list_group_tags, tag_group, untag_group
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Logs

_OPERATIONS: Final[Mapping[str, Callable[[Logs, AuthorizedCall], Awaitable[OperationResult]]]] = {
    "CreateLogGroup": create_log_group,
    "DeleteLogGroup": delete_log_group,
    "DescribeLogGroups": describe_log_groups,
    "CreateLogStream": create_log_stream,
    "DeleteLogStream": delete_log_stream,
    "DescribeLogStreams": describe_log_streams,
    "PutLogEvents": put_log_events,
    "GetLogEvents": get_log_events,
    "FilterLogEvents": filter_log_events,
    "PutRetentionPolicy": put_retention_policy,
    "DeleteRetentionPolicy": delete_retention_policy,
    "TagResource": tag_group,
    "UntagResource": untag_group,
    "ListTagsForResource": list_group_tags,
    "TagLogGroup": tag_group,
    "UntagLogGroup": untag_group,
    "ListTagsLogGroup": list_group_tags,
}


class LogsService:
    """The operations on groups, streams, events, retention and tags."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    def handlers(self) -> Mapping[str, Handler]:
        """See `registry.Service`."""
        return {name: partial(operation, self._logs) for name, operation in _OPERATIONS.items()}
