"""StartMessageMoveTask and its kin, and the loop that moves messages.

A task is declared like anything else; the loop looks at what is declared and goes on with it after a restart.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from squib.clock import Clock, Entropy
from squib.control_plane.sqs.calls import Sqs, in_range, invalid, required
from squib.control_plane.sqs.redrive import sources_of
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.queue import QueueKey, parse_queue_arn, parse_task_handle, task_handle
from squib.model.queue_errors import (
    QueueDoesNotExist,
    QueueParameterInvalid,
    QueueResourceNotFound,
    UnsupportedQueueOperation,
)
from squib.model.queue_limits import MAX_ACTIVE_MOVES, MAX_MOVES_LISTED, MAX_MOVES_PER_SECOND
from squib.model.queue_move import ACTIVE, MOVE_TASKS, MoveStatus, MoveTask
from squib.store.base import Store, Transaction

BATCH_COUNT: Final = 100  # squib's choice: what one step of a task moves, in one commit
_MAX_KEPT: Final = MAX_MOVES_LISTED  # of one source queue

_log: Final = logging.getLogger("squib.sqs")


async def start_message_move_task(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """StartMessageMoveTask: from a dead-letter queue to a queue, or back to where the messages came from."""
    given = call.input
    rate = in_range(
        given,
        "MaxNumberOfMessagesPerSecond",
        1,
        MAX_MOVES_PER_SECOND,
        f"Must be between 1 and {MAX_MOVES_PER_SECOND}, if provided.",
    )
    source = _existing(sqs, call, "SourceArn", required(given, "SourceArn"))
    destination = None
    if given.get("DestinationArn"):
        destination = _existing(sqs, call, "DestinationArn", given["DestinationArn"])
        if destination == source:
            raise QueueParameterInvalid("Source queue arn and destination queue arn cannot be the same.")
        if destination.is_fifo != source.is_fifo:
            raise QueueParameterInvalid("Source and destination queue must be of the same type.")
    if not sources_of(sqs, source):
        raise QueueParameterInvalid("Source queue must be configured as a Dead Letter Queue.")
    task = MoveTask(
        task_id=sqs.entropy.request_id(),
        source=source,
        destination=destination,
        max_per_second=rate,
        started_at_ms=call.received_at_ms,
        to_move_count=sqs.queues.counts(source).visible,
    )

    def decide(transaction: Transaction) -> None:
        everywhere = transaction.page(MOVE_TASKS, source.account_id, source.region)
        active = [other for other in everywhere if other.status in ACTIVE]
        if any(other.source == source for other in active):
            raise QueueParameterInvalid(
                "There is already a task running. Only one active task is allowed for a source queue "
                "arn at a given time."
            )
        if len(active) >= MAX_ACTIVE_MOVES:
            raise UnsupportedQueueOperation(f"An account can have {MAX_ACTIVE_MOVES} active tasks at most.")
        earlier = [other for other in everywhere if other.source == source]
        for old in earlier[: max(0, len(earlier) + 1 - _MAX_KEPT)]:
            transaction.delete(MOVE_TASKS, old.key)
        transaction.put(MOVE_TASKS, task.key, task)

    await sqs.store.write(decide)
    return OperationResult(output={"TaskHandle": _handle(task)})


async def list_message_move_tasks(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """ListMessageMoveTasks: the latest first."""
    reason = f"Must be between 1 and {MAX_MOVES_LISTED}, if provided."
    limit = in_range(call.input, "MaxResults", 1, MAX_MOVES_LISTED, reason) or 1
    source = _existing(sqs, call, "SourceArn", required(call.input, "SourceArn"))
    tasks = sqs.store.collection(MOVE_TASKS).page(source.account_id, source.region, prefix=f"{source.name}:")
    results = [_shape(task) for task in reversed(tasks)][:limit]
    return OperationResult(output={"Results": results} if results else {})


async def cancel_message_move_task(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """CancelMessageMoveTask: what is moved stays moved."""
    handle = required(call.input, "TaskHandle")
    arn = parse_task_handle(handle)
    source = None if arn is None else parse_queue_arn(arn)
    if source is None:
        raise invalid("TaskHandle", handle, "It is not the handle of a task.")

    def decide(transaction: Transaction) -> int:
        found = transaction.page(MOVE_TASKS, source.account_id, call.region, prefix=f"{source.name}:")
        task = next((task for task in found if _handle(task) == handle), None)
        if task is None or source.account_id != call.account_id:
            raise QueueResourceNotFound("Task does not exist.")
        if task.status is not MoveStatus.RUNNING:
            raise UnsupportedQueueOperation("Only active tasks can be cancelled.")
        cancelled = msgspec.structs.replace(task, status=MoveStatus.CANCELLING)
        transaction.put(MOVE_TASKS, task.key, cancelled)
        return task.moved_count

    moved_count = await sqs.store.write(decide)
    return OperationResult(output={"ApproximateNumberOfMessagesMoved": moved_count})


class MoveLoop:
    """Carries every task out that is declared, side by side."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        self._store, self._clock, self._entropy = store, clock, entropy
        self._tasks = store.collection(MOVE_TASKS)

    async def run(self) -> None:
        """Until cancelled."""
        seen = 0
        while True:
            active = [task for task in self._tasks.all() if task.status in ACTIVE]
            if not active:
                seen = await self._tasks.changed(seen)
                continue
            started_ms = self._clock.monotonic_ms()
            has_failed = False
            for task in active:
                try:
                    await self._step(task)
                except Exception:  # the disk may be full or slow now; the task goes on later
                    _log.exception("message_move_failed task_id=%s", task.task_id)
                    has_failed = True
            # In one step a task moves what it may in a second, or as much as it likes.
            is_limited = has_failed or all(task.max_per_second is not None for task in active)
            passed_s = (self._clock.monotonic_ms() - started_ms) / 1000
            await asyncio.sleep(max(0.0, 1.0 - passed_s) if is_limited else 0)

    async def _step(self, task: MoveTask) -> None:
        if task.status is MoveStatus.CANCELLING:
            await self._note(task, status=MoveStatus.CANCELLED)
            return
        queues = self._store.queues
        count = BATCH_COUNT if task.max_per_second is None else task.max_per_second
        if task.destination is not None and not self._exists(task.destination):
            await self._note(task, status=MoveStatus.FAILED, reason="DestinationQueueDoesNotExist")
            return
        try:
            moved = await queues.move(
                task.source, count, to=task.destination, message_id=self._entropy.request_id
            )
            left = queues.counts(task.source).visible
        except QueueDoesNotExist:
            await self._note(task, status=MoveStatus.FAILED, reason="SourceQueueDoesNotExist")
            return
        if moved:
            await self._note(task, moved_count=moved)
        elif left:
            await self._note(task, status=MoveStatus.FAILED, reason="CouldNotDetermineMessageSource")
        else:
            await self._note(task, status=MoveStatus.COMPLETED)

    def _exists(self, key: QueueKey) -> bool:
        try:
            self._store.queues.counts(key)
        except QueueDoesNotExist:
            return False
        return True

    async def _note(
        self, task: MoveTask, *, moved_count: int = 0, status: MoveStatus | None = None, reason: str = ""
    ) -> None:
        """Writes how far a task is, unless it is gone."""

        def decide(transaction: Transaction) -> None:
            now = transaction.get(MOVE_TASKS, task.key)
            if now is not None:
                changed = msgspec.structs.replace(
                    now,
                    moved_count=now.moved_count + moved_count,
                    status=status or now.status,
                    failure_reason=reason or None,
                )
                transaction.put(MOVE_TASKS, task.key, changed)

        await self._store.write(decide)


def _existing(sqs: Sqs, call: AuthorizedCall, name: str, arn: str) -> QueueKey:
    key = parse_queue_arn(arn)
    if key is None:
        raise invalid(name, arn, "It is not the ARN of a queue.")
    if (key.account_id, key.region) != (call.account_id, call.region) or sqs.definitions.peek(key) is None:
        raise QueueResourceNotFound(
            f"The resource that you specified for the {name} parameter doesn't exist."
        )
    return key


def _handle(task: MoveTask) -> str:
    return task_handle(task.task_id, task.source.arn)


def _shape(task: MoveTask) -> Mapping[str, Any]:
    return {
        "TaskHandle": _handle(task) if task.status is MoveStatus.RUNNING else None,
        "Status": task.status.value,
        "SourceArn": task.source.arn,
        "DestinationArn": None if task.destination is None else task.destination.arn,
        "MaxNumberOfMessagesPerSecond": task.max_per_second,
        "ApproximateNumberOfMessagesMoved": task.moved_count,
        "ApproximateNumberOfMessagesToMove": task.to_move_count,
        "FailureReason": task.failure_reason,
        "StartedTimestamp": task.started_at_ms,
    }
