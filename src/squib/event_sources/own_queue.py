"""Queues of this squib: reached inside the process, without polling."""

from collections.abc import Sequence
from typing import Final

from squib.event_sources.queue_access import Message, QueueFailed, QueueGone
from squib.event_sources.queue_record import message_record
from squib.model.errors import ApiError, PlatformError
from squib.model.message_attributes import system_attributes
from squib.model.queue import QUEUES, Queue, QueueKey
from squib.model.queue_errors import QueueDoesNotExist
from squib.store.base import Store

GONE: Final = "Queue does not exist"
_MAX_AT_ONCE: Final = 100  # squib's choice: bounds what is in memory before the batch's size is looked at


class OwnQueue:
    """Implements `QueueAccess` on the store's queues."""

    max_receive_count = _MAX_AT_ONCE
    is_elsewhere = False

    def __init__(self, store: Store, key: QueueKey, *, gone: str = GONE) -> None:
        """`gone`: what is said while there is no such queue."""
        self._gone = gone
        self._queues, self._definitions = store.queues, store.collection(QUEUES)
        self._key, self._arn = key, key.arn

    def problem(self) -> str | None:
        return self._gone if self._definitions.peek(self._key) is None else None

    async def visibility_s(self) -> int:
        return self._definition().visibility_timeout_s

    async def receive(self, max_count: int, *, visibility_s: int | None, wait_ms: float) -> Sequence[Message]:
        try:
            found = await self._queues.receive(
                self._key, max_count=max_count, visibility_timeout_s=visibility_s, wait_ms=int(wait_ms)
            )
        except QueueDoesNotExist as error:
            raise QueueGone(self._gone) from error
        except (ApiError, PlatformError) as error:
            raise QueueFailed(str(error)) from error
        return [
            Message(
                message_id=one.message_id,
                handle=one.receipt_handle,
                record=message_record(
                    self._key,
                    message_id=one.message_id,
                    handle=one.receipt_handle,
                    body=one.body,
                    system=system_attributes(self._key, one),
                    attributes=one.attributes,
                ),
                trace_header=one.trace_header,
            )
            for one in found
        ]

    async def delete(self, handles: Sequence[str]) -> None:
        try:
            await self._queues.delete(self._key, handles)
        except QueueDoesNotExist as error:
            raise QueueGone(self._gone) from error
        except (ApiError, PlatformError) as error:
            raise QueueFailed(str(error)) from error

    def _definition(self) -> Queue:
        queue = self._definitions.peek(self._key)
        if queue is None:
            raise QueueGone(self._gone)
        return queue
