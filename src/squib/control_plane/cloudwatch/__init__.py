"""CloudWatch: metrics of functions, read. What is counted is in `store.usage`."""

from squib.control_plane.cloudwatch.service import CloudWatchService

__all__ = ["CloudWatchService"]
