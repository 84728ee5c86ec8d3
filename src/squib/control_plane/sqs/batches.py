"""Operations on up to ten messages: one outcome for each entry (API reference, `...Batch`)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from squib.control_plane.sqs.calls import Sqs, in_range, queue_of, required
from squib.control_plane.sqs.message_checks import new_message
from squib.control_plane.sqs.messages import TRACE_HEADER, VISIBILITY_REASON
from squib.control_plane.sqs.shapes import fault, sent_shape
from squib.model.errors import ApiError
from squib.model.message_digest import message_bytes
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.queue import HandleFault, NewMessage
from squib.model.queue_errors import (
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InvalidBatchEntryId,
    TooManyEntriesInBatchRequest,
)
from squib.model.queue_limits import MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES, MAX_VISIBILITY_S

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


async def send_message_batch(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """SendMessageBatch: what is well-formed is sent, in order."""
    queue, outcome = queue_of(sqs, call), _Outcome(call)
    messages: dict[str, NewMessage] = {}
    for entry_id, entry in outcome.entries.items():
        try:
            messages[entry_id] = new_message(
                queue,
                entry,
                message_id=sqs.entropy.request_id(),
                sender_id=call.principal.user_id,
                request_trace=call.headers.get(TRACE_HEADER),
            )
        except ApiError as error:
            outcome.fail(entry_id, error)
    size_bytes = sum(message_bytes(message.body, message.attributes) for message in messages.values())
    if size_bytes > MAX_MESSAGE_BYTES:
        raise BatchRequestTooLong(MAX_MESSAGE_BYTES, size_bytes)
    sent = await sqs.queues.send(queue.key, list(messages.values())) if messages else ()
    for (entry_id, message), one in zip(messages.items(), sent, strict=True):
        outcome.succeed(entry_id, sent_shape(queue, outcome.entries[entry_id], message, one))
    return outcome.result()


async def delete_message_batch(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """DeleteMessageBatch."""
    queue, outcome = queue_of(sqs, call), _Outcome(call)
    handles: dict[str, str] = {}
    for entry_id, entry in outcome.entries.items():
        try:
            handles[entry_id] = required(entry, "ReceiptHandle")
        except ApiError as error:
            outcome.fail(entry_id, error)
    faults = await sqs.queues.delete(queue.key, list(handles.values()))
    outcome.settle([(entry_id, handle, None) for entry_id, handle in handles.items()], faults)
    return outcome.result()


async def change_message_visibility_batch(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """ChangeMessageVisibilityBatch."""
    queue, outcome = queue_of(sqs, call), _Outcome(call)
    changes: list[tuple[str, str, int | None]] = []
    for entry_id, entry in outcome.entries.items():
        try:
            handle = required(entry, "ReceiptHandle")
            required(entry, "VisibilityTimeout")
            timeout_s = in_range(entry, "VisibilityTimeout", 0, MAX_VISIBILITY_S, VISIBILITY_REASON)
            changes.append((entry_id, handle, timeout_s))
        except ApiError as error:
            outcome.fail(entry_id, error)
    wanted = [(handle, timeout_s or 0) for _, handle, timeout_s in changes]
    outcome.settle(changes, await sqs.queues.change_visibility(queue.key, wanted))
    return outcome.result()


class _Outcome:
    """The entries of a batch by their ids, and what became of each."""

    def __init__(self, call: AuthorizedCall) -> None:
        """Raises EmptyBatchRequest, TooManyEntriesInBatchRequest, InvalidBatchEntryId,
        BatchEntryIdsNotDistinct."""
        given: Sequence[Mapping[str, Any]] = call.input.get("Entries") or ()
        if not given:
            raise EmptyBatchRequest(f"{call.operation}RequestEntry")
        if len(given) > MAX_BATCH_ENTRIES:
            raise TooManyEntriesInBatchRequest(MAX_BATCH_ENTRIES, len(given))
        self.entries: dict[str, Mapping[str, Any]] = {}
        for entry in given:
            entry_id = entry.get("Id") or ""
            if _ID.fullmatch(entry_id) is None:
                raise InvalidBatchEntryId()
            if entry_id in self.entries:
                raise BatchEntryIdsNotDistinct(entry_id)
            self.entries[entry_id] = entry
        self._successful: list[Mapping[str, Any]] = []
        self._failed: list[Mapping[str, Any]] = []

    def succeed(self, entry_id: str, shape: Mapping[str, Any] | None = None) -> None:
        """This one is done."""
        self._successful.append({"Id": entry_id, **(shape or {})})

    def fail(self, entry_id: str, error: ApiError) -> None:
        """This one is refused."""
        self._failed.append(
            {
                "Id": entry_id,
                "SenderFault": error.fault == "client",
                "Code": error.code,
                "Message": error.message,
            }
        )

    def settle(
        self, entries: Sequence[tuple[str, str, int | None]], faults: Sequence[HandleFault | None]
    ) -> None:
        """(id, handle, visibility) of each and what is wrong with it, if anything."""
        for (entry_id, handle, timeout_s), kind in zip(entries, faults, strict=True):
            if kind is None:
                self.succeed(entry_id)
            else:
                self.fail(entry_id, fault(kind, handle, timeout_s))

    def result(self) -> OperationResult:
        """Both lists; `Failed` is left out when it is empty, as the service does."""
        output: dict[str, Any] = {"Successful": self._successful}
        if self._failed:
            output["Failed"] = self._failed
        return OperationResult(output=output)
