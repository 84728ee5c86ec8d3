"""Every quota and default of SQS, with its unit and source."""

from typing import Final

MAX_MESSAGE_BYTES: Final = 1_048_576  # SQS quotas, "Message size": 1 MiB, attributes included; also per batch
MIN_MESSAGE_LIMIT_BYTES: Final = 1_024  # SetQueueAttributes reference, MaximumMessageSize
MAX_DELAY_S: Final = 900  # SetQueueAttributes reference, DelaySeconds
DEFAULT_RETENTION_S: Final = 345_600  # SetQueueAttributes reference, MessageRetentionPeriod: 4 days
MIN_RETENTION_S: Final = 60  # the same
MAX_RETENTION_S: Final = 1_209_600  # the same: 14 days
DEFAULT_VISIBILITY_S: Final = 30  # SetQueueAttributes reference, VisibilityTimeout
MAX_VISIBILITY_S: Final = 43_200  # the same: 12 hours, counted from the receive
MAX_WAIT_S: Final = 20  # ReceiveMessage reference, WaitTimeSeconds
MAX_RECEIVED: Final = 10  # ReceiveMessage reference, MaxNumberOfMessages
MAX_BATCH_ENTRIES: Final = 10  # SendMessageBatch reference
MAX_MESSAGE_ATTRIBUTES: Final = 10  # developer guide, "Message attributes"
MAX_IN_FLIGHT: Final = 120_000  # SQS quotas, "Messages per queue (in flight)", of standard and FIFO queues
MAX_RECEIVE_COUNT: Final = 1_000  # SetQueueAttributes reference, maxReceiveCount
MAX_REDRIVE_SOURCES: Final = 10  # SetQueueAttributes reference, sourceQueueArns
MAX_LISTED: Final = 1_000  # ListQueues reference, MaxResults
MAX_QUEUE_NAME: Final = 80  # SQS quotas, "Queue name": with the suffix .fifo
MAX_WAITING_RECEIVES: Final = 1_000  # squib's choice, of an account: each holds a connection
MAX_QUEUE_TAGS: Final = 50  # SQS quotas, "Queue tag"
MAX_POLICY_BYTES: Final = 8_192  # SQS quotas, "Policies"
MAX_POLICY_STATEMENTS: Final = 20  # SQS quotas, "Policies"
MAX_POLICY_ACTIONS: Final = 7  # AddPermission reference, OverLimit
MAX_POLICY_PRINCIPALS: Final = 50  # SQS quotas, "Policies"
DEDUPLICATION_MS: Final = 5 * 60 * 1000  # developer guide, "Exactly-once processing": 5-minute interval
DELETED_NAME_MS: Final = 60 * 1000  # CreateQueue reference, QueueDeletedRecently
PURGE_INTERVAL_MS: Final = 60 * 1000  # PurgeQueue reference, PurgeQueueInProgress
MAX_MOVES_PER_SECOND: Final = 500  # StartMessageMoveTask reference
MAX_ACTIVE_MOVES: Final = 100  # StartMessageMoveTask reference, in an account
MAX_MOVES_LISTED: Final = 10  # ListMessageMoveTasks reference
