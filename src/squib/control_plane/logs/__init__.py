"""CloudWatch Logs: reading log groups, streams and events."""

from squib.control_plane.logs.service import LogsService

__all__ = ["LogsService"]
