"""Messages: sending, receiving and deleting them, and how long they stay hidden."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from squib.control_plane.sqs.calls import NOTHING, Sqs, in_range, invalid, queue_of, required
from squib.control_plane.sqs.message_checks import NOT_FOR_THIS_TYPE, new_message
from squib.control_plane.sqs.shapes import fault, message_shape, sent_shape
from squib.model.message_attributes import SYSTEM_ATTRIBUTES
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.queue_errors import InvalidAttributeName
from squib.model.queue_limits import MAX_RECEIVED, MAX_VISIBILITY_S, MAX_WAIT_S, MAX_WAITING_RECEIVES

TRACE_HEADER: Final = "x-amzn-trace-id"
VISIBILITY_REASON: Final = f"Must be between 0 and {MAX_VISIBILITY_S}, if provided."


async def send_message(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """SendMessage: on disk when it answers."""
    queue = queue_of(sqs, call)
    message = new_message(
        queue,
        call.input,
        message_id=sqs.entropy.request_id(),
        sender_id=call.principal.user_id,
        request_trace=call.headers.get(TRACE_HEADER),
    )
    [sent] = await sqs.queues.send(queue.key, [message])
    return OperationResult(output=sent_shape(queue, call.input, message, sent))


async def receive_message(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """ReceiveMessage: waits for a message if asked to, and if not too many of the account wait already. Who
    leaves while waiting gets none, nor keeps others from it."""
    queue, given = queue_of(sqs, call), call.input
    reason = f"Must be between 1 and {MAX_RECEIVED}, if provided."
    max_count = in_range(given, "MaxNumberOfMessages", 1, MAX_RECEIVED, reason)
    timeout_s = in_range(given, "VisibilityTimeout", 0, MAX_VISIBILITY_S, VISIBILITY_REASON)
    wait_reason = f"Must be >= 0 and <= {MAX_WAIT_S}, if provided."
    wait_s = in_range(given, "WaitTimeSeconds", 0, MAX_WAIT_S, wait_reason)
    attempt_id = given.get("ReceiveRequestAttemptId")
    if attempt_id is not None and not queue.key.is_fifo:
        raise invalid("ReceiveRequestAttemptId", attempt_id, NOT_FOR_THIS_TYPE)
    system_names = _system_names(given.get("AttributeNames"), given.get("MessageSystemAttributeNames"))
    waiting = asyncio.current_task()
    if waiting is not None:
        call.when_gone(partial(_leave, waiting))
    account_id = call.principal.account_id
    may_wait = sqs.waiting[account_id] < MAX_WAITING_RECEIVES
    sqs.waiting[account_id] += 1
    try:
        received = await sqs.queues.receive(
            queue.key,
            max_count=max_count or 1,
            visibility_timeout_s=timeout_s,
            wait_ms=1000 * (queue.receive_wait_s if wait_s is None else wait_s) if may_wait else 0,
            attempt_id=attempt_id,
        )
    finally:
        sqs.waiting[account_id] -= 1
    call.when_gone(ignore_gone)
    names = frozenset(given.get("MessageAttributeNames") or ())
    messages = [message_shape(queue, message, system_names, names) for message in received]
    return OperationResult(output={"Messages": messages} if messages else {})


async def delete_message(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """DeleteMessage: fine, too, when the message is deleted already."""
    queue, handle = queue_of(sqs, call), required(call.input, "ReceiptHandle")
    [kind] = await sqs.queues.delete(queue.key, [handle])
    if kind is not None:
        raise fault(kind, handle)
    return NOTHING


async def change_message_visibility(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """ChangeMessageVisibility: counted from now."""
    queue, handle = queue_of(sqs, call), required(call.input, "ReceiptHandle")
    required(call.input, "VisibilityTimeout")
    timeout_s = in_range(call.input, "VisibilityTimeout", 0, MAX_VISIBILITY_S, VISIBILITY_REASON) or 0
    [kind] = await sqs.queues.change_visibility(queue.key, [(handle, timeout_s)])
    if kind is not None:
        raise fault(kind, handle, timeout_s)
    return NOTHING


def _leave(waiting: "asyncio.Task[Any]") -> None:
    waiting.cancel()


def ignore_gone() -> None:
    """What is received is received, whoever left."""


def _system_names(*lists: Sequence[str] | None) -> frozenset[str]:
    """The system attributes that either parameter asks for. Raises InvalidAttributeName."""
    names = frozenset(name for some in lists for name in some or ())
    for name in names:
        if name != "All" and name not in SYSTEM_ATTRIBUTES:
            raise InvalidAttributeName(name)
    return frozenset(SYSTEM_ATTRIBUTES) if "All" in names else names
