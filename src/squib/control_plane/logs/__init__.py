"""CloudWatch Logs: log groups, streams and events, written and read."""

from squib.control_plane.logs.service import LogsService

__all__ = ["LogsService"]
