"""SQS: which operations are built. Each is a function of the parts it works on and a call."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from squib.clock import Entropy
from squib.control_plane.sqs.attributes import get_queue_attributes, set_queue_attributes
from squib.control_plane.sqs.batches import (
    change_message_visibility_batch,
    delete_message_batch,
    send_message_batch,
)
from squib.control_plane.sqs.calls import Sqs
from squib.control_plane.sqs.listing import list_queues
from squib.control_plane.sqs.messages import (
    change_message_visibility,
    delete_message,
    receive_message,
    send_message,
)
from squib.control_plane.sqs.moves import (
    cancel_message_move_task,
    list_message_move_tasks,
    start_message_move_task,
)
from squib.control_plane.sqs.permissions import add_permission, remove_permission
from squib.control_plane.sqs.queues import (
    create_queue,
    delete_queue,
    get_queue_url,
    list_queue_tags,
    purge_queue,
    tag_queue,
    untag_queue,
)
from squib.control_plane.sqs.redrive import list_dead_letter_source_queues
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.model.queue import QUEUES
from squib.store.base import Store

_OPERATIONS: Final[Mapping[str, Callable[[Sqs, AuthorizedCall], Awaitable[OperationResult]]]] = {
    "AddPermission": add_permission,
    "CancelMessageMoveTask": cancel_message_move_task,
    "ChangeMessageVisibility": change_message_visibility,
    "ChangeMessageVisibilityBatch": change_message_visibility_batch,
    "CreateQueue": create_queue,
    "DeleteMessage": delete_message,
    "DeleteMessageBatch": delete_message_batch,
    "DeleteQueue": delete_queue,
    "GetQueueAttributes": get_queue_attributes,
    "GetQueueUrl": get_queue_url,
    "ListDeadLetterSourceQueues": list_dead_letter_source_queues,
    "ListMessageMoveTasks": list_message_move_tasks,
    "ListQueueTags": list_queue_tags,
    "ListQueues": list_queues,
    "PurgeQueue": purge_queue,
    "ReceiveMessage": receive_message,
    "RemovePermission": remove_permission,
    "SendMessage": send_message,
    "SendMessageBatch": send_message_batch,
    "SetQueueAttributes": set_queue_attributes,
    "StartMessageMoveTask": start_message_move_task,
    "TagQueue": tag_queue,
    "UntagQueue": untag_queue,
}


class SqsService:
    """Every operation of SQS."""

    def __init__(self, store: Store, entropy: Entropy) -> None:
        self._sqs = Sqs(store, store.queues, store.collection(QUEUES), entropy)

    def handlers(self) -> Mapping[str, Handler]:
        """See `registry.Service`."""
        return {name: partial(operation, self._sqs) for name, operation in _OPERATIONS.items()}
