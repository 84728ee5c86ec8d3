"""What SQS tells of a message beside its own attributes: to clients, and in the events of mappings."""

from collections.abc import Mapping
from typing import Final

from squib.model.queue import QueueKey, ReceivedMessage

SYSTEM_ATTRIBUTES: Final = (
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
)


def system_attributes(key: QueueKey, message: ReceivedMessage) -> dict[str, str]:
    """What squib knows of a message, by the names of SQS."""
    known: Mapping[str, str | None] = {
        "SenderId": message.sender_id,
        "SentTimestamp": str(message.sent_at_ms),
        "ApproximateReceiveCount": str(message.receive_count),
        "ApproximateFirstReceiveTimestamp": str(message.first_received_at_ms),
        "SequenceNumber": sequence_number(message.sequence_number) if key.is_fifo else None,
        "MessageDeduplicationId": message.deduplication_id,
        "MessageGroupId": message.group_id,
        "AWSTraceHeader": message.trace_header,
        "DeadLetterQueueSourceArn": message.source_arn,
    }
    return {name: text for name, text in known.items() if text is not None}


def sequence_number(number: int) -> str:
    """Twenty digits, of which later messages have the greater."""
    return f"{number:020d}"
