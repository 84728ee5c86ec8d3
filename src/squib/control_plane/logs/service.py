"""CloudWatch Logs: which operations are built. Each is a function of the store's logs and a call."""

from collections.abc import Mapping
from functools import partial

from squib.control_plane.logs.events import filter_log_events, get_log_events
from squib.control_plane.logs.groups import describe_log_groups
from squib.control_plane.logs.streams import describe_log_streams
from squib.model.operation import Handler
from squib.store.base import Logs


class LogsService:
    """The operations that read: groups, streams, events."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    def handlers(self) -> Mapping[str, Handler]:
        """See `registry.Service`."""
        return {
            "DescribeLogGroups": partial(describe_log_groups, self._logs),
            "DescribeLogStreams": partial(describe_log_streams, self._logs),
            "GetLogEvents": partial(get_log_events, self._logs),
            "FilterLogEvents": partial(filter_log_events, self._logs),
        }
