"""SQS: the operations on queues and messages."""

from squib.control_plane.sqs.service import SqsService

__all__ = ["SqsService"]
