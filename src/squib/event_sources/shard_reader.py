"""Reads one shard of a stream.

A reader takes records in order, packs them into batches, and does not go on before a batch is done or given
up. How far it has come is stored after each batch, so that a restart goes on there. With a parallelization
factor the records of a round are divided by their keys, and a round ends when all parts are done.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple, Protocol

import msgspec

from squib.event_sources.base import Tools
from squib.event_sources.conditions import Problem
from squib.event_sources.discards import Discarded, Discards
from squib.event_sources.results import FUNCTION_FAILED, OK, problem
from squib.event_sources.sender import Sent
from squib.event_sources.stream_access import (
    IteratorExpired,
    Position,
    StreamAccess,
    StreamFailed,
    StreamGone,
    StreamRecord,
)
from squib.model.event_source import EventSourceMapping
from squib.model.invocation import FunctionFailed
from squib.model.stream_checkpoint import StreamCheckpoint
from squib.scheduler.batch_response import REPORT_FAILURES, UnreadableReport, failed_items
from squib.scheduler.batching import BatchRules, cut, wait_ms
from squib.scheduler.retry import RetryDelays
from squib.scheduler.shards import FOR_EVER, Batch, Discard, ShardRules, after_failure, expired_count, lane
from squib.scheduler.windows import (
    MAX_STATE_BYTES,
    NO_STATE,
    state_after,
    window_members,
    window_start_ms,
)

_BACKOFF: Final = RetryDelays(first_backoff_ms=200, max_backoff_ms=30_000)  # squib's choice

_log: Final = logging.getLogger("squib.event_sources")


class StreamRules(NamedTuple):
    """What a mapping says about its records."""

    batches: BatchRules
    failures: ShardRules
    lanes: int
    """Batches of a shard at a time."""
    width_ms: int
    """Of tumbling windows; 0: there are none."""
    has_reports: bool

    @classmethod
    def of(cls, mapping: EventSourceMapping) -> "StreamRules":
        """Those of a mapping's settings."""
        batches = BatchRules(mapping.batch_size, (mapping.batching_window_s or 0) * 1000)
        width_ms = (mapping.tumbling_window_s or 0) * 1000
        if width_ms:  # the state goes into the event too
            batches = batches._replace(max_bytes=batches.max_bytes - 2 * MAX_STATE_BYTES)
        has_reports = REPORT_FAILURES in (mapping.function_response_types or ())
        lanes = mapping.parallelization_factor or 1
        return cls(batches, ShardRules.of(mapping), lanes, width_ms, has_reports)


class Owner(Protocol):
    """The poller that a reader belongs to."""

    mapping: EventSourceMapping
    tools: Tools
    access: StreamAccess
    discards: Discards
    rules: StreamRules

    @property
    def is_stopping(self) -> bool:
        """Nothing more is to be begun."""

    async def pause(self, seconds: float) -> None:
        """So long, or until it stops."""

    def wrong(self) -> str | None:
        """What stands in the way of reading and sending."""

    def report(self, result: str) -> None:
        """How it went."""

    async def keep(self, checkpoint: StreamCheckpoint) -> None:
        """Stores it."""


class ShardReader:
    """Reads one shard from its checkpoint on, until its end or until the poller stops."""

    def __init__(self, owner: Owner, checkpoint: StreamCheckpoint, *, is_new: bool) -> None:
        """`is_new`: the checkpoint has just been made."""
        self._owner, self._checkpoint = owner, checkpoint
        self._access, self._tools, self._rules = owner.access, owner.tools, owner.rules
        self._waiting: deque[StreamRecord] = deque()
        self._iterator: str | None = None
        self._is_closed = False
        self._is_new = is_new
        self._refusals = 0

    async def run(self) -> None:
        """Returns at the end of the shard, when the poller stops, or when something stands in the way."""
        owner = self._owner
        while not owner.is_stopping and owner.wrong() is None:
            round_ = await self._gather()
            if round_:
                if not await self._work(round_):
                    return
            elif self._is_window_over():
                await self._end_window()
            elif self._is_closed and not self._waiting:
                await self._keep(msgspec.structs.replace(self._checkpoint, is_finished=True))
                return

    # --- taking

    async def _gather(self) -> list[StreamRecord]:
        """As many records as one round takes, when there are enough of them or the window is over."""
        owner, rules = self._owner, self._rules.batches
        most = rules.max_count * self._rules.lanes
        first_at_ms: float | None = None
        while not owner.is_stopping:
            if len(self._waiting) < most and not self._is_closed:
                await self._fetch(most - len(self._waiting))
            if not self._waiting and (self._is_closed or self._is_window_over()):
                return []
            now_ms = self._tools.clock.monotonic_ms()
            left_ms = 0.0
            if self._waiting:
                first_at_ms = now_ms if first_at_ms is None else first_at_ms
                size_bytes = sum(_size_bytes(one) for one in self._waiting)
                left_ms = wait_ms(
                    rules, len(self._waiting), size_bytes, first_at_ms=first_at_ms, now_ms=now_ms
                )
                if left_ms <= 0 or self._is_closed:
                    return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            pause_s = self._access.pause_s
            await owner.pause(min(pause_s, left_ms / 1000) if left_ms else pause_s)
            if owner.wrong() is not None:
                return []
        return []

    async def _fetch(self, limit: int) -> None:
        try:
            if self._iterator is None:
                self._iterator = await self._access.iterator(self._checkpoint.shard_id, self._position())
            records, following = await self._access.read(self._iterator, limit, self._checkpoint.shard_id)
        except IteratorExpired:
            self._iterator = None
            return
        except (StreamGone, StreamFailed) as error:
            self._refusals, self._is_new = self._refusals + 1, False
            self._owner.report(problem(str(error)))
            draw = self._tools.entropy.draw()
            await self._owner.pause(_BACKOFF.backoff_ms(self._refusals, draw=draw) / 1000)
            return
        self._refusals, self._is_new = 0, False
        self._iterator, self._is_closed = following, following is None
        self._waiting.extend(records)

    def _position(self) -> Position:
        """After what is waiting, or done; else where the mapping says that it begins."""
        checkpoint, mapping = self._checkpoint, self._owner.mapping
        after = self._waiting[-1].sequence if self._waiting else checkpoint.sequence
        if after is not None:
            return Position(after=after)
        if not checkpoint.is_first or mapping.starting_position == "TRIM_HORIZON":
            return Position(is_start=True)
        if mapping.starting_position == "AT_TIMESTAMP":
            return Position(at_ms=mapping.starting_position_timestamp_ms)
        return Position(at_ms=checkpoint.begun_at_ms, is_now=self._is_new)

    # --- working

    async def _work(self, records: Sequence[StreamRecord]) -> bool:
        """Whether all are done or given up; else the poller stops, or something stands in the way."""
        lanes = self._rules.lanes
        wanted = [one for one in records if one.is_wanted]
        if self._rules.width_ms:
            is_done = await self._work_by_window(wanted)
        elif lanes == 1:
            is_done = await self._work_on(wanted, is_alone=True)
        else:
            parts: list[list[StreamRecord]] = [[] for _ in range(lanes)]
            for one in wanted:
                parts[lane(one.lane_key, lanes)].append(one)
            async with asyncio.TaskGroup() as tasks:
                works = [tasks.create_task(self._work_on(part, is_alone=False)) for part in parts]
            is_done = all(work.result() for work in works)
        if is_done:
            await self._advance(records[-1].sequence)
        return is_done

    async def _work_on(self, records: Sequence[StreamRecord], *, is_alone: bool) -> bool:
        """False: some are not done, and it can't go on. `is_alone`: how far it comes is how far the shard has
        come."""
        encoded = [msgspec.json.encode(one.record) for one in records]
        parts = cut([len(one) for one in encoded], self._rules.batches)
        plan = deque(Batch(part.stop - part.start) for part in parts)
        at, refusals = 0, 0
        while plan:
            owner = self._owner
            if owner.is_stopping:
                return False
            batch = plan.popleft()
            part = records[at : at + batch.size]
            now_ms = self._tools.clock.now_ms()
            old = expired_count([one.arrived_at_ms for one in part], self._rules.failures, now_ms=now_ms)
            if old:
                if not await self._discard(part[:old], Discard.AGE, batch.failures, None):
                    return False
                if old < batch.size:
                    plan.appendleft(Batch(batch.size - old))
                at += old
                continue
            event = self._event(encoded[at : at + batch.size])
            sent = await self._tools.sender.send(owner.mapping, event, None)
            if not isinstance(sent, Sent) and not sent.is_lasting:
                owner.report(problem(sent.reason))
                refusals += 1
                plan.appendleft(batch)
                await self._back_off(refusals)
                continue
            refusals = 0
            failed_at = self._failed_at(sent, part) if isinstance(sent, Sent) else 0
            if failed_at is None:
                owner.report(OK)
                at += batch.size
                if self._rules.width_ms and isinstance(sent, Sent):
                    await self._hand_on(sent, part[-1].sequence)
            else:
                owner.report(FUNCTION_FAILED if isinstance(sent, Sent) else problem(sent.reason))
                after = after_failure(batch, self._rules.failures, failed_at=failed_at)
                at += after.done
                if after.discarded:
                    told = sent if isinstance(sent, Sent) else None
                    given = part[after.done : after.done + after.discarded]
                    if not await self._discard(given, Discard.RETRIES, batch.failures + 1, told):
                        return False
                    at += after.discarded
                plan.extendleft(reversed(after.again))
                if after.again and len(after.again) == 1 and not after.done:
                    await self._back_off(after.again[0].failures)
            if is_alone and at:
                await self._advance(records[at - 1].sequence)
        return True

    def _failed_at(self, sent: Sent, part: Sequence[StreamRecord]) -> int | None:
        """The first record that has failed; None when all is done."""
        if isinstance(sent.outcome, FunctionFailed):
            return 0
        if not self._rules.has_reports:
            return None
        numbers = [one.sequence for one in part]
        try:
            failed = failed_items(sent.outcome.payload, frozenset(numbers))
        except UnreadableReport:
            return 0
        return min((numbers.index(one) for one in failed), default=None)

    # --- tumbling windows

    async def _work_by_window(self, records: Sequence[StreamRecord]) -> bool:
        """As `_work_on`; each record within its window."""
        width_ms = self._rules.width_ms
        for start_ms, part in groupby(records, lambda one: window_start_ms(one.arrived_at_ms, width_ms)):
            begun_ms = self._checkpoint.window_start_ms
            if begun_ms is not None and begun_ms < start_ms:
                if not await self._end_window():
                    return False
                begun_ms = None
            if begun_ms is None:
                await self._keep(msgspec.structs.replace(self._checkpoint, window_start_ms=start_ms))
            if not await self._work_on(list(part), is_alone=True):
                return False
        return True

    def _is_window_over(self) -> bool:
        start_ms = self._checkpoint.window_start_ms
        if start_ms is None or not self._rules.width_ms:
            return False
        late_ms = self._access.pause_s * 1000
        is_late = self._tools.clock.now_ms() >= start_ms + self._rules.width_ms + late_ms
        return is_late or (self._is_closed and not self._waiting)

    async def _hand_on(self, sent: Sent, sequence: str) -> None:
        """The state is stored together with how far it has come: nothing is added to it twice."""
        state = state_after(sent.outcome.payload)
        await self._keep(msgspec.structs.replace(self._checkpoint, window_state=state, sequence=sequence))
        if len(state) > MAX_STATE_BYTES:
            await self._end_window(is_early=True)

    async def _end_window(self, *, is_early: bool = False) -> bool:
        """The window's last invocation, which has no records. False: the poller stops before it is done."""
        owner, failures, refusals = self._owner, 0, 0
        event = self._event([], is_final=True, is_early=is_early)
        while not owner.is_stopping:
            sent = await self._tools.sender.send(owner.mapping, event, None)
            if isinstance(sent, Sent) and not isinstance(sent.outcome, FunctionFailed):
                break
            if isinstance(sent, Sent) or sent.is_lasting:
                owner.report(FUNCTION_FAILED)
                failures += 1
                if (
                    self._rules.failures.max_retries != FOR_EVER
                    and failures > self._rules.failures.max_retries
                ):
                    _log.warning("window_given_up uuid=%s", owner.mapping.uuid)
                    break
            else:
                owner.report(problem(sent.reason))
            refusals += 1
            await self._back_off(refusals)
        else:
            return False
        await self._keep(
            msgspec.structs.replace(self._checkpoint, window_start_ms=None, window_state=NO_STATE)
        )
        return True

    def _event(self, encoded: Sequence[bytes], *, is_final: bool = False, is_early: bool = False) -> bytes:
        event, start_ms = b'{"Records":[' + b",".join(encoded) + b"]", self._checkpoint.window_start_ms
        if start_ms is not None:
            event += b"," + window_members(
                start_ms,
                self._rules.width_ms,
                self._checkpoint.window_state,
                shard_id=self._checkpoint.shard_id,
                stream_arn=self._owner.mapping.source_arn or "",
                is_final=is_final,
                is_early=is_early,
            )
        return event + b"}"

    async def _back_off(self, times: int) -> None:
        draw = self._tools.entropy.draw()
        await self._owner.pause(_BACKOFF.backoff_ms(times, draw=draw) / 1000)

    async def _discard(
        self, records: Sequence[StreamRecord], why: Discard, attempts: int, sent: Sent | None
    ) -> bool:
        """False: they can't be given up, for there is nobody to tell it for."""
        given = Discarded(
            shard_id=self._checkpoint.shard_id, records=records, why=why, attempts=attempts, sent=sent
        )
        try:
            await self._owner.discards.tell(self._owner.mapping, given)
        except Problem as error:
            self._owner.report(problem(str(error)))
            return False
        return True

    async def _advance(self, sequence: str) -> None:
        if sequence != self._checkpoint.sequence:
            await self._keep(msgspec.structs.replace(self._checkpoint, sequence=sequence))

    async def _keep(self, checkpoint: StreamCheckpoint) -> None:
        self._checkpoint = checkpoint
        await self._owner.keep(checkpoint)


def _size_bytes(record: StreamRecord) -> int:
    """About what it takes in an event."""
    return 200 + len(str(record.record))
