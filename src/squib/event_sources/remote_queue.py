"""Queues elsewhere: of AWS, or of any server that speaks SQS, at the endpoint that squib was told of."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from squib.event_sources.queue_access import Message, QueueFailed, QueueGone
from squib.event_sources.queue_record import message_record
from squib.invoke.upstream import Upstream, UpstreamError
from squib.model.queue import MessageAttribute, QueueKey
from squib.model.units import AccountId

_MAX_COUNT: Final = 10  # of one call, SQS
_MAX_WAIT_S: Final = 5  # squib's choice: a call can't be taken back, and the end of squib waits for it
_VISIBILITY_AGE_S: Final = 60.0  # squib's choice: how long a queue's visibility timeout is believed
_GONE: Final = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


class RemoteQueue:
    """Implements `QueueAccess` on an SQS elsewhere."""

    max_receive_count = _MAX_COUNT
    is_elsewhere = True

    def __init__(self, upstream: Upstream, account_id: AccountId, key: QueueKey) -> None:
        """`account_id`: whose keys are used, whoever the queue belongs to."""
        self._upstream, self._account_id, self._key = upstream, account_id, key
        self._url: str | None = None
        self._visibility_s = 0
        self._looked_at_s = float("-inf")

    def problem(self) -> str | None:
        return None

    async def visibility_s(self) -> int:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_at_s > _VISIBILITY_AGE_S:
            answer = await self._call("get_queue_attributes", AttributeNames=["VisibilityTimeout"])
            self._visibility_s = int(answer["Attributes"]["VisibilityTimeout"])
            self._looked_at_s = now_s
        return self._visibility_s

    async def receive(self, max_count: int, *, visibility_s: int | None, wait_ms: float) -> Sequence[Message]:
        more = {} if visibility_s is None else {"VisibilityTimeout": visibility_s}
        receiving = asyncio.ensure_future(  # noqa: TID251  # outlives a cancelled receive, to give back
            self._call(
                "receive_message",
                MaxNumberOfMessages=min(max_count, _MAX_COUNT),
                WaitTimeSeconds=min(_MAX_WAIT_S, max(0, int(wait_ms / 1000))),
                MessageAttributeNames=["All"],
                AttributeNames=["All"],
                **more,
            )
        )
        try:
            answer = await asyncio.shield(receiving)
        except asyncio.CancelledError:
            receiving.add_done_callback(self._give_back)
            raise
        return [self._message(one) for one in answer.get("Messages", ())]

    async def delete(self, handles: Sequence[str]) -> None:
        await self._batches("delete_message_batch", [{"ReceiptHandle": handle} for handle in handles])

    def _give_back(self, receiving: "asyncio.Future[Mapping[str, Any]]") -> None:
        """Nobody works on what a receive has taken that was given up: others may have it at once."""
        if receiving.cancelled() or receiving.exception() is not None:
            return
        entries = [
            {"ReceiptHandle": one["ReceiptHandle"], "VisibilityTimeout": 0}
            for one in receiving.result().get("Messages", ())
        ]
        if entries:
            giving = asyncio.ensure_future(  # noqa: TID251  # as above
                self._batches("change_message_visibility_batch", entries)
            )
            giving.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _batches(self, operation: str, entries: Sequence[Mapping[str, Any]]) -> None:
        for start in range(0, len(entries), _MAX_COUNT):
            part = [
                {"Id": str(number), **entry}
                for number, entry in enumerate(entries[start : start + _MAX_COUNT])
            ]
            await self._call(operation, Entries=part)

    async def _call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        try:
            if self._url is None:
                answer = await self._upstream.call(
                    self._account_id,
                    "sqs",
                    self._key.region,
                    "get_queue_url",
                    QueueName=self._key.name,
                    QueueOwnerAWSAccountId=self._key.account_id,
                )
                self._url = answer["QueueUrl"]
            return await self._upstream.call(
                self._account_id, "sqs", self._key.region, operation, QueueUrl=self._url, **parameters
            )
        except UpstreamError as error:
            if error.code in _GONE:
                self._url = None  # it may be made anew
                raise QueueGone("Queue does not exist") from error
            raise QueueFailed(str(error)) from error

    def _message(self, given: Mapping[str, Any]) -> Message:
        system = given.get("Attributes", {})
        attributes = {
            name: MessageAttribute(
                one["DataType"], text=one.get("StringValue", ""), data=one.get("BinaryValue", b"")
            )
            for name, one in given.get("MessageAttributes", {}).items()
        }
        return Message(
            message_id=given["MessageId"],
            handle=given["ReceiptHandle"],
            record=message_record(
                self._key,
                message_id=given["MessageId"],
                handle=given["ReceiptHandle"],
                body=given["Body"],
                system=system,
                attributes=attributes,
            ),
            trace_header=system.get("AWSTraceHeader"),
        )
