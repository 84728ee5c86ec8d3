"""Queues of SQS: checks of a mapping, and its group of pollers.

A group has workers: each waits for messages, has the function work on them, and deletes what was done. A few
wait at a time, more work; how many is said by `scheduler.scaling`. What is not deleted comes back when its
visibility ends, and goes to the queue's dead-letter queue by the queue's own count.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from squib.event_sources.base import Tools
from squib.event_sources.conditions import Conditions, Problem
from squib.event_sources.queue_access import Message, QueueAccess, QueueFailed, QueueGone
from squib.event_sources.results import FUNCTION_FAILED, OK, problem
from squib.event_sources.sender import Refused, Sent
from squib.model.errors import InvalidParameterValue
from squib.model.event_source import EventSourceMapping
from squib.model.function import FunctionVersion
from squib.model.invocation import FunctionFailed
from squib.model.queue import QueueKey, parse_queue_arn
from squib.model.units import AccountId
from squib.scheduler import scaling
from squib.scheduler.batch_response import REPORT_FAILURES, UnreadableReport, failed_items
from squib.scheduler.batching import BatchRules, cut, wait_ms
from squib.scheduler.filtering import Filters
from squib.scheduler.lineage import longest
from squib.scheduler.scaling import Bounds, Scale

ACTIONS: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
_RECEIVERS: Final = 4  # squib's choice: that many receives share a commit, and more would only wait
_WAIT_MS: Final = 20_000  # as long as a receive of SQS can wait
_WINDOW_GRACE_S: Final = 30  # developer guide, batching window: visible again after window + timeout + 30 s
_FIRST_PAUSE_MS: Final = 100  # squib's choice: doubled with each refusal
_MAX_PAUSE_MS: Final = 10_000
_BROKEN_PAUSE_S: Final = 1.0  # likewise, doubled each time
_MAX_BROKEN_PAUSE_S: Final = 30.0

_log: Final = logging.getLogger("squib.event_sources")


Access: TypeAlias = Callable[[AccountId, QueueKey], Awaitable[QueueAccess]]
"""The way to a queue, wherever it is, for an account's mapping."""


class SqsSource:
    """Implements `base.Source`."""

    def __init__(self, tools: Tools, access: Access) -> None:
        self._tools, self._access = tools, access

    async def check(self, mapping: EventSourceMapping, function: FunctionVersion) -> None:
        key = _queue_of(mapping)
        if key.region != mapping.region:
            raise InvalidParameterValue(
                f"The queue must be in the region of the function, {mapping.region}: {key.arn}"
            )
        queue = await self._access(mapping.account_id, key)
        action = self._tools.conditions.missing(function, ACTIONS, key.arn, is_elsewhere=queue.is_elsewhere)
        if action is not None:
            raise InvalidParameterValue(
                "The provided execution role does not have permissions to call "
                f"{action.partition(':')[2]} on SQS"
            )
        try:
            visibility_s = await queue.visibility_s()
        except QueueGone as error:
            raise InvalidParameterValue(
                "Error occurred while ReceiveMessage. SQS Error Code: "
                "AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not "
                "exist for this wsdl version."
            ) from error
        except QueueFailed as error:
            raise InvalidParameterValue(f"Error occurred while GetQueueAttributes. {error}") from error
        if visibility_s < function.timeout_s:
            raise InvalidParameterValue(
                f"Queue visibility timeout: {visibility_s} seconds is less than Function timeout: "
                f"{function.timeout_s} seconds"
            )

    def poller(self, mapping: EventSourceMapping) -> "SqsPoller":
        return SqsPoller(mapping, self._tools, self._access)

    async def forget(self, mapping: EventSourceMapping) -> None:
        """Nothing is kept beside the queue."""


def _queue_of(mapping: EventSourceMapping) -> QueueKey:
    key = parse_queue_arn(mapping.source_arn or "")
    if key is None:
        raise InvalidParameterValue(f"Invalid queue ARN: {mapping.source_arn}")
    return key


class SqsPoller:
    """Implements `base.Poller`."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        tools: Tools,
        access: Access,
    ) -> None:
        self._mapping, self._tools, self._access = mapping, tools, access
        self._conditions: Conditions = tools.conditions
        self._key = _queue_of(mapping)
        self._rules = BatchRules(mapping.batch_size, (mapping.batching_window_s or 0) * 1000)
        self._filters = Filters(mapping.filter_patterns, data_key="body")
        self._has_reports = REPORT_FAILURES in (mapping.function_response_types or ())
        self._bounds = Bounds.of(mapping)
        self._scale = Scale.start(self._bounds, now_ms=self._now_ms())
        self._busy = 0
        self._receiving: set[asyncio.Task[None]] = set()
        self._hidden_s: int | None = None
        self._problem: str | None = None
        self._failures = 0
        self._has_plenty = False
        self._is_stopping = False
        self._look_again = asyncio.Event()
        self._is_done = asyncio.Event()

    async def run(self) -> None:
        end = self._conditions.listen(self._look_again.set)
        self._queue = await self._access(self._mapping.account_id, self._key)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while not self._is_stopping:
                    self._look_again.clear()
                    self._settle()
                    await self._look_again.wait()
        finally:
            end()
            self._is_done.set()

    async def stop(self) -> None:
        """Batches that are under way are finished meanwhile: the queue keeps their messages from others."""
        self._is_stopping = True
        self._look_again.set()
        receiving = list(self._receiving)
        for task in receiving:
            task.cancel()
        if receiving:
            await asyncio.wait(receiving)

    async def wait_idle(self) -> None:
        """Returns when everything is dealt with."""
        await self._is_done.wait()

    # --- who works

    def _settle(self) -> None:
        """Has workers receive, as many as may; or none, when something stands in the way."""
        found = self._what_is_wrong()
        if found is not None:
            if found != self._problem:
                self._report(problem(found))
            for task in self._receiving:
                task.cancel()
        elif self._problem is not None:
            self._report(OK)
        self._problem = found
        self._fill()

    def _what_is_wrong(self) -> str | None:
        gone = self._queue.problem()
        if gone is not None:
            return gone
        try:
            function = self._conditions.function(self._mapping)
        except Problem as error:
            return str(error)
        arn, is_elsewhere = self._key.arn, self._queue.is_elsewhere
        action = self._conditions.missing(function, ACTIONS, arn, is_elsewhere=is_elsewhere)
        if action is not None:
            return f"The execution role is not authorized to perform {action} on {arn}"
        self._hidden_s = None
        if self._rules.window_ms:
            self._hidden_s = self._rules.window_ms // 1000 + function.timeout_s + _WINDOW_GRACE_S
        return None

    def _fill(self) -> None:
        if self._problem is not None or self._is_stopping:
            return
        # Asking an empty queue elsewhere costs something each time: one asks, until there is plenty.
        is_one = (
            self._rules.window_ms or self._failures or (self._queue.is_elsewhere and not self._has_plenty)
        )
        most = 1 if is_one else _RECEIVERS
        wanted = min(most, self._scale.slots - self._busy)
        while len(self._receiving) < wanted:
            self._receiving.add(self._tasks.create_task(self._work()))

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            messages = await self._gather()
        except (QueueGone, QueueFailed) as error:
            await self._rest(str(error))
            return
        except Exception:
            _log.exception("poller_failed uuid=%s", self._mapping.uuid)
            await self._rest("Internal error")
            return
        finally:
            self._receiving.discard(task)
        self._failures = 0
        self._has_plenty = len(messages) >= min(self._rules.max_count, self._queue.max_receive_count)
        if not messages:
            self._fill()
            return
        self._busy += 1
        self._look()
        try:
            await self._handle(messages)
        except (QueueGone, QueueFailed) as error:
            self._report(problem(str(error)))
        except Exception:
            _log.exception("batch_failed uuid=%s", self._mapping.uuid)
        finally:
            self._busy -= 1
            self._look()

    def _look(self) -> None:
        self._scale = scaling.seen(self._scale, self._bounds, in_flight=self._busy, now_ms=self._now_ms())
        self._fill()

    async def _rest(self, reason: str) -> None:
        """After a receive that has failed: the pause grows, and one worker tries."""
        self._failures += 1
        self._report(problem(reason))
        self._look_again.set()
        await asyncio.sleep(min(_BROKEN_PAUSE_S * 2 ** (self._failures - 1), _MAX_BROKEN_PAUSE_S))
        self._look_again.set()

    # --- one batch

    async def _gather(self) -> list[Message]:
        """Messages for one batch, as soon as it is full or its window is over."""
        rules, queue = self._rules, self._queue
        hidden_s = self._hidden_s
        if hidden_s is not None:
            own_s = await queue.visibility_s()
            hidden_s = None if own_s >= hidden_s else hidden_s
        most = min(rules.max_count, queue.max_receive_count)
        messages = list(await queue.receive(most, visibility_s=hidden_s, wait_ms=_WAIT_MS))
        first_at_ms = self._now_ms()
        size_bytes = sum(_size_bytes(one) for one in messages)
        while messages and not self._is_stopping:
            left_ms = wait_ms(
                rules, len(messages), size_bytes, first_at_ms=first_at_ms, now_ms=self._now_ms()
            )
            if left_ms <= 0:
                break
            most = min(rules.max_count - len(messages), queue.max_receive_count)
            try:
                more = await queue.receive(most, visibility_s=hidden_s, wait_ms=min(left_ms, _WAIT_MS))
            except (asyncio.CancelledError, QueueGone, QueueFailed):
                break  # what there is goes its way
            messages += more
            size_bytes += sum(_size_bytes(one) for one in more)
        return messages

    async def _handle(self, messages: Sequence[Message]) -> None:
        if self._filters:
            wanted = [one for one in messages if self._filters.wants(one.record, one.record["body"])]
            kept = {one.message_id for one in wanted}
            dropped = [one.handle for one in messages if one.message_id not in kept]
            if dropped:
                await self._delete(dropped)
            messages = wanted
        records = [msgspec.json.encode(one.record) for one in messages]
        for part in cut([len(record) for record in records], self._rules):
            await self._send(messages[part], b'{"Records":[' + b",".join(records[part]) + b"]}")

    async def _send(self, messages: Sequence[Message], event: bytes) -> None:
        """Has the function work on them, and deletes those that are done. While the function can't be invoked
        it is tried again, as long as the messages are hidden from others."""
        until_ms = self._now_ms() + 1000 * max(await self._queue.visibility_s(), self._hidden_s or 0)
        trace = longest(one.trace_header for one in messages)
        pause_ms = _FIRST_PAUSE_MS
        while True:
            sent = await self._tools.sender.send(self._mapping, event, trace)
            if isinstance(sent, Sent):
                break
            self._report(problem(sent.reason))
            self._scale = scaling.failed(self._scale, now_ms=self._now_ms())
            if self._is_over(sent, until_ms - pause_ms):
                return
            await asyncio.sleep(pause_ms / 1000 * (1 - self._tools.entropy.draw() / 4))
            pause_ms = min(2 * pause_ms, _MAX_PAUSE_MS)
        done = self._done(sent, messages)
        if done:
            await self._delete([one.handle for one in done])

    def _is_over(self, refused: Refused, until_ms: float) -> bool:
        return refused.is_lasting or self._is_stopping or self._now_ms() >= until_ms

    def _done(self, sent: Sent, messages: Sequence[Message]) -> Sequence[Message]:
        """Those of a batch that need not come back."""
        if isinstance(sent.outcome, FunctionFailed):
            self._report(FUNCTION_FAILED)
            if not self._has_reports:
                self._scale = scaling.failed(self._scale, now_ms=self._now_ms())
            return ()
        if not self._has_reports:
            self._report(OK)
            return messages
        try:
            failed = failed_items(sent.outcome.payload, {one.message_id for one in messages})
        except UnreadableReport as error:
            self._report(problem(f"The function's batch response can't be used: {error}"))
            return ()
        self._report(OK)
        return [one for one in messages if one.message_id not in failed]

    async def _delete(self, handles: Sequence[str]) -> None:
        """Also in a poller that stops: what is done is done."""
        await self._queue.delete(handles)

    def _report(self, result: str) -> None:
        if not self._is_stopping:
            self._tools.results.report(self._mapping.key, result, is_quiet_when_fine=True)

    def _now_ms(self) -> float:
        return self._tools.clock.monotonic_ms()


def _size_bytes(message: Message) -> int:
    """About what it takes in an event; exactly is only looked at when the batch is put together."""
    return len(message.record["body"]) + 1_000
