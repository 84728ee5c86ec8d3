"""Messages of queues: on disk what must not be lost, in memory what decides who gets what next.

A send, a receive, a deletion and a change of visibility are each on disk before they are answered. So after
a crash nothing that was acknowledged is missing, nothing deleted comes back, and what was in flight stays
hidden until its visibility ends, with its receives counted. Receives could be recorded later (to lose the
record is to deliver again, which at-least-once allows), but then receive counts would be too low and
messages would come back before their time; as commits are shared (`queue_journal`), the record costs little.

Memory follows the disk or runs ahead of it, in one order: the event loop changes the state and adds the rows
to the journal in the same step, and whoever is answered has waited for a commit that holds everything that
was decided before. Messages come into the state when their commit is done. When a commit fails, memory is
ahead of the disk for good: every queue is read anew.

In memory are an entry per message (some 400 bytes) and the newest contents, up to a bound; the rest is read
when it is received.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any, Final

import msgspec

from squib.clock import Clock
from squib.model.queue import (
    QUEUES,
    HandleFault,
    NewMessage,
    Queue,
    QueueCounts,
    QueueKey,
    ReceivedMessage,
    SentMessage,
    parse_queue_arn,
)
from squib.model.queue_errors import OverLimit, QueueDoesNotExist, QueueParameterInvalid
from squib.model.queue_limits import DEDUPLICATION_MS, MAX_IN_FLIGHT
from squib.model.receipt import Receipt, unseal
from squib.model.units import EpochMs
from squib.scheduler.queue import Entry, Terms
from squib.scheduler.receipts import changeable, deletable, repeatable
from squib.store import queue_rows
from squib.store.base import Collection, Transaction
from squib.store.log_flusher import Look
from squib.store.message_contents import MessageContents
from squib.store.queue_journal import Journal
from squib.store.queue_live import Attempt, LiveQueue
from squib.store.queue_moves import DeadLetter, Redrive, Renewal, move_rows
from squib.store.queue_rows import Accepted
from squib.store.queue_sends import Sending, prepare
from squib.store.queue_sweeper import RowSweeper
from squib.store.writer import WriteFailed, Writer

SWEEP_INTERVAL_S: Final = 60.0
EXPIRED_PER_STEP: Final = 500  # squib's choice: bounds how long others on the loop wait
RELOAD_PAUSE_S: Final = 1.0
_NUMBERS_PER_MS: Final = 20  # bits

_log: Final = logging.getLogger("squib.store")


class SqliteQueues:
    """Implements `base.Queues`. Used from one event loop."""

    def __init__(
        self,
        *,
        writer: Writer,
        write: Callable[[Callable[[Transaction], Any]], Awaitable[Any]],
        look: Look,
        readers: Executor,
        definitions: Collection[QueueKey, Queue],
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Reads the index of all messages: called off the loop, before anything else."""
        self._write, self._look, self._readers = write, look, readers
        self._definitions, self._clock, self._loop = definitions, clock, loop
        self._journal = Journal(writer, loop, self._on_failure)
        self._live: dict[int, LiveQueue] = {}
        self._contents = MessageContents(look, readers, loop)
        self._sweeper = RowSweeper(self._journal)
        self._is_ending = False
        self._last_number = 0
        self._stale: asyncio.Future[None] | None = None
        self._has_failed = asyncio.Event()
        self._install(look(queue_rows.read_index))

    # --- what `base.Queues` promises

    def number(self) -> int:
        now_ms = self._clock.now_ms()
        self._last_number = max(self._last_number + 1, now_ms << _NUMBERS_PER_MS)
        return self._last_number

    def counts(self, key: QueueKey) -> QueueCounts:
        return self._of(self._definition(key)).state.counts(now_ms=self._clock.now_ms())

    async def send(self, key: QueueKey, messages: Sequence[NewMessage]) -> Sequence[SentMessage]:
        await self._readable()
        queue = self._definition(key)
        live = self._of(queue)
        sending = prepare(
            queue, messages, live.deduplication, number=self.number, now_ms=self._clock.now_ms()
        )
        waits_for = sending.waits_for
        if sending.added:
            committed = self._journal.add(
                messages=sending.rows,
                deduplications=sending.marks,
                then=lambda: self._sent(live, sending),
                size_bytes=sum(size_bytes for _, _, size_bytes in sending.added),
            )
            for first in sending.accepted:
                first.committed = committed
            waits_for.add(committed)
        for future in waits_for:
            await asyncio.shield(future)
        return sending.sent

    async def receive(
        self,
        key: QueueKey,
        *,
        max_count: int = 1,
        visibility_timeout_s: int | None = None,
        wait_ms: int = 0,
        attempt_id: str | None = None,
    ) -> Sequence[ReceivedMessage]:
        await self._readable()
        queue = self._definition(key)
        live = self._of(queue)
        until_s = self._loop.time() + wait_ms / 1000
        receipts = self._again(live, queue, attempt_id, visibility_timeout_s) if attempt_id else []
        while not receipts:
            queue = self._definition(key)
            if queue.queue_id != live.queue_id:
                raise QueueDoesNotExist()
            receipts, is_more = self._take(
                live, queue, max_count, visibility_timeout_s, is_waiting=wait_ms > 0
            )
            if is_more and not receipts:
                await asyncio.sleep(0)
                continue
            left_s = until_s - self._loop.time()
            if receipts or left_s <= 0 or self._is_ending:
                break
            await live.wait(left_s)
            await self._readable()
        if not receipts:
            return []
        if attempt_id and key.is_fifo:
            live.attempts[attempt_id] = Attempt(self._clock.now_ms(), tuple(receipts))
        entries = [entry for receipt in receipts if (entry := live.state.get(receipt.position)) is not None]
        # What the entries say now is what this receive is about: they may change while it waits.
        seen = [msgspec.structs.replace(entry) for entry in entries]
        committed = self._journal.add(deliveries=[queue_rows.delivery_row(entry) for entry in entries])
        try:
            contents = await self._contents.take([entry.message_key for entry in seen])
            await asyncio.shield(committed)
        except asyncio.CancelledError:  # nobody gets them: another may at once
            live.attempts.pop(attempt_id or "", None)
            self._show(live, receipts)
            raise
        return [
            queue_rows.received(queue, receipt, entry, stored)
            for receipt, entry in zip(receipts, seen, strict=True)
            if (stored := contents.get(entry.message_key)) is not None
        ]

    async def delete(self, key: QueueKey, handles: Sequence[str]) -> Sequence[HandleFault | None]:
        await self._readable()
        queue = self._definition(key)
        live, now_ms = self._of(queue), self._clock.now_ms()
        faults: list[HandleFault | None] = []
        gone: list[Entry] = []
        for handle in handles:
            receipt = unseal(handle, queue.queue_id, queue.secret)
            found = deletable(receipt, live.state, is_fifo=key.is_fifo, now_ms=now_ms)
            if isinstance(found, Entry):
                live.state.remove(found.position)
                gone.append(found)
            faults.append(found if isinstance(found, HandleFault) else None)
        if gone:
            committed = self._journal.add(gone=self._discard(gone))
            if key.is_fifo:
                live.wake()  # the next of the group; what it is answered with waits for this commit too
            await asyncio.shield(committed)
        elif (pending := self._journal.pending) is not None:
            await asyncio.shield(pending)  # what is deleted already may not be on disk yet
        return faults

    async def change_visibility(
        self, key: QueueKey, changes: Sequence[tuple[str, int]]
    ) -> Sequence[HandleFault | None]:
        await self._readable()
        queue = self._definition(key)
        live, now_ms = self._of(queue), self._clock.now_ms()
        faults: list[HandleFault | None] = []
        changed: list[Entry] = []
        for handle, timeout_s in changes:
            receipt = unseal(handle, queue.queue_id, queue.secret)
            found = changeable(receipt, timeout_s, live.state, is_fifo=key.is_fifo, now_ms=now_ms)
            if isinstance(found, HandleFault):
                faults.append(found)
                continue
            live.state.change_visibility(found, EpochMs(now_ms + timeout_s * 1000), now_ms=now_ms)
            changed.append(found)
            faults.append(None)
        if changed:
            committed = self._journal.add(deliveries=[queue_rows.delivery_row(entry) for entry in changed])
            live.wake()
            await asyncio.shield(committed)
        return faults

    async def purge(self, key: QueueKey, *, now_ms: EpochMs) -> None:
        position = self.number()

        def decide(transaction: Transaction) -> None:
            queue = transaction.get(QUEUES, key)
            if queue is None:
                raise QueueDoesNotExist()
            changed = msgspec.structs.replace(queue, purged_at_ms=now_ms, purged_before=position)
            transaction.put(QUEUES, key, changed)

        await self._readable()
        live = self._of(self._definition(key))
        await self._write(decide)
        self._sweeper.remove(self._discard(live.state.remove_before(position, now_ms=self._clock.now_ms())))

    async def delete_queue(self, key: QueueKey) -> bool:
        await self._readable()
        queue = self._definitions.peek(key)
        if queue is None or not await self._write(lambda transaction: transaction.delete(QUEUES, key)):
            return False
        live = self._live.pop(queue.queue_id, None)
        if live is not None:
            live.is_gone = True
            live.close()
            self._sweeper.remove(self._discard(list(live.state.entries())))
        return True

    async def move(
        self, source: QueueKey, max_count: int, *, to: QueueKey | None, message_id: Callable[[], str]
    ) -> int:
        await self._readable()
        live, now_ms = self._of(self._definition(source)), self._clock.now_ms()
        state = live.state
        entries = state.withdraw(max_count, now_ms=now_ms)
        targets: list[QueueKey | None] = [to] * len(entries)
        if to is None and entries:
            try:
                arns = await self._contents.sources([entry.message_key for entry in entries])
            except BaseException:
                for entry in entries:
                    state.add(entry, now_ms=now_ms)
                raise
            if state is not live.state:  # the disk has been read anew: they are back
                return 0
            targets = [None if arn is None else parse_queue_arn(arn) for arn in arns]
        by_target: dict[QueueKey | None, list[Entry]] = {}
        for entry, target in zip(entries, targets, strict=True):
            by_target.setdefault(target, []).append(entry)
        waits, moved_count = [], 0
        for target, some in by_target.items():
            queue = None if target is None else self._definitions.peek(target)
            if queue is None:  # nowhere to go: they stay
                for entry in some:
                    live.state.add(entry, now_ms=now_ms)
            else:
                waits.append(self._move(some, queue, Redrive(message_id, now_ms=now_ms)))
                moved_count += len(some)
        for committed in waits:
            await asyncio.shield(committed)
        return moved_count

    def end_waits(self) -> None:
        self._is_ending = True
        for live in self._live.values():
            live.close()

    async def run(self) -> None:
        """Removes what has expired, and reads the disk anew after a failure, until cancelled."""
        while True:
            self._has_failed.clear()
            while self._stale is not None:
                await self._reload(self._stale)
            self._sweeper.remove()
            await self._expire()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_INTERVAL_S):
                    await self._has_failed.wait()

    async def close(self) -> None:
        """Writes what is under way."""
        self.end_waits()
        await self._journal.settle()

    async def settle(self) -> None:
        """Returns when everything that has been begun is on disk."""
        await self._journal.settle()

    # --- the state

    def _definition(self, key: QueueKey) -> Queue:
        queue = self._definitions.peek(key)
        if queue is None:
            raise QueueDoesNotExist()
        return queue

    def _of(self, queue: Queue) -> LiveQueue:
        live = self._live.get(queue.queue_id)
        if live is None:
            live = self._live[queue.queue_id] = LiveQueue(queue.key, queue.queue_id, self._clock, self._loop)
        if queue.key.is_fifo and live.applied_delay_s != queue.delay_s:
            live.state.set_delay(queue.delay_s * 1000, now_ms=self._clock.now_ms())
            live.applied_delay_s = queue.delay_s
        return live

    def _take(
        self, live: LiveQueue, queue: Queue, max_count: int, timeout_s: int | None, *, is_waiting: bool
    ) -> tuple[list[Receipt], bool]:
        """Receipts, and whether some were set aside: there may be others behind them."""
        now_ms = self._clock.now_ms()
        hidden_s = queue.visibility_timeout_s if timeout_s is None else timeout_s
        redrive = queue.redrive
        target = None if redrive is None else self._definitions.peek(redrive.target)
        terms = Terms(
            queue.retention_s * 1000,
            redrive.max_receive_count if redrive is not None and target is not None else None,
            MAX_IN_FLIGHT,
        )
        taken = live.state.take(
            max_count, hidden_until_ms=EpochMs(now_ms + hidden_s * 1000), now_ms=now_ms, terms=terms
        )
        self._sweeper.remove(self._discard(taken.expired))
        if taken.exhausted and target is not None:
            self._move(taken.exhausted, target, DeadLetter(queue.key.arn, is_fifo=queue.key.is_fifo))
        if taken.is_over_limit and not taken.received and not is_waiting and not queue.key.is_fifo:
            raise OverLimit(f"The maximum number of in flight messages is reached. Limit: {MAX_IN_FLIGHT}")
        receipts = [
            Receipt(queue.queue_id, entry.position, now_ms, entry.receive_count) for entry in taken.received
        ]
        return receipts, bool(taken.expired or taken.exhausted)

    def _show(self, live: LiveQueue, receipts: Sequence[Receipt]) -> None:
        """Ends the visibility timeouts of receives."""
        now_ms = self._clock.now_ms()
        entries = [
            entry for receipt in receipts for entry in repeatable((receipt,), live.state, now_ms=now_ms) or ()
        ]
        for entry in entries:
            live.state.change_visibility(entry, now_ms, now_ms=now_ms)
        self._journal.add(deliveries=[queue_rows.delivery_row(entry) for entry in entries])
        live.wake()

    def _again(self, live: LiveQueue, queue: Queue, attempt_id: str, timeout_s: int | None) -> list[Receipt]:
        """The receipts of an earlier receive of this attempt, its messages hidden anew."""
        now_ms = self._clock.now_ms()
        attempt = live.attempts.get(attempt_id)
        if attempt is None or now_ms - attempt.at_ms >= DEDUPLICATION_MS:
            return []
        entries = repeatable(attempt.receipts, live.state, now_ms=now_ms)
        if entries is None:
            raise QueueParameterInvalid(
                f"Value {attempt_id} for parameter ReceiveRequestAttemptId is invalid. Reason: The "
                "receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
            )
        hidden_s = queue.visibility_timeout_s if timeout_s is None else timeout_s
        for entry in entries:
            live.state.change_visibility(entry, EpochMs(now_ms + hidden_s * 1000), now_ms=now_ms)
        return list(attempt.receipts)

    def _sent(self, live: LiveQueue, sending: Sending) -> None:
        """Their commit is done."""
        for first in sending.accepted:
            first.committed = None
        now_ms = self._clock.now_ms()
        queue = self._definitions.peek(live.key)
        for entry, stored, size_bytes in sending.added:
            if live.is_gone or queue is None or entry.position < queue.purged_before:
                self._sweeper.remove([entry.message_key])
            else:
                live.state.add(entry, now_ms=now_ms)
                self._contents.keep(entry.message_key, stored, size_bytes)
        live.wake()

    def _move(self, entries: Sequence[Entry], target: Queue, renewal: Renewal) -> "asyncio.Future[None]":
        """Puts messages that are in no state now into another queue."""
        now_ms = self._clock.now_ms()
        moved = [renewal.entry(entry, self.number(), now_ms=now_ms) for entry in entries]

        def landed() -> None:
            keys = self._discard(moved)  # what is kept of them has an old head
            now = self._definitions.peek(target.key)
            if now is None or now.queue_id != target.queue_id:
                self._sweeper.remove(keys)
                return
            live = self._of(now)
            for entry in moved:
                live.state.add(entry, now_ms=self._clock.now_ms())
            live.wake()

        def run(connection: sqlite3.Connection) -> None:
            move_rows(connection, target.queue_id, moved, renewal)

        return self._journal.add(run=run, then=landed)

    def _discard(self, entries: Iterable[Entry]) -> list[int]:
        """The row numbers of messages, whose contents are wanted no longer."""
        keys = [entry.message_key for entry in entries]
        self._contents.discard(keys)
        return keys

    # --- rows that nobody wants

    async def _expire(self) -> None:
        now_ms = self._clock.now_ms()
        for live in list(self._live.values()):
            queue = self._definitions.peek(live.key)
            if queue is not None:
                retention_ms = queue.retention_s * 1000
                while gone := live.state.expire(retention_ms, now_ms=now_ms, max_count=EXPIRED_PER_STEP):
                    self._sweeper.remove(self._discard(gone))
                    await asyncio.sleep(0)
            live.deduplication.expire(now_ms=now_ms)
            live.forget_attempts(now_ms)
        before_ms = EpochMs(now_ms - DEDUPLICATION_MS)
        self._journal.add(run=lambda connection: queue_rows.expire_deduplications(connection, before_ms))

    # --- reading the disk

    def _install(self, index: queue_rows.Index) -> None:
        messages, marks = index
        now_ms = self._clock.now_ms()
        queues = {queue.queue_id: queue for queue in self._definitions.all()}
        for live in self._live.values():
            live.reset()
        for queue_id, entry in messages:
            self._last_number = max(self._last_number, entry.position, entry.message_key)
            queue = queues.get(queue_id)
            if queue is None or entry.position < queue.purged_before:
                self._sweeper.hold([entry.message_key])
            else:
                self._of(queue).state.add(entry, now_ms=now_ms)
        for queue_id, scope, name, accepted_at_ms, message_id, position in marks:
            queue = queues.get(queue_id)
            if queue is not None:
                first = Accepted(message_id, position)
                self._of(queue).deduplication.accept((scope, name), first, at_ms=EpochMs(accepted_at_ms))
        for queue in queues.values():
            self._last_number = max(self._last_number, queue.queue_id, queue.purged_before)
        for live in self._live.values():
            live.applied_delay_s = None  # rows say the delay of when they were sent

    def _on_failure(self, error: WriteFailed) -> None:
        _log.error("queue_write_failed error=%s", error)
        if self._stale is None:
            self._stale = self._loop.create_future()
        self._has_failed.set()

    async def _reload(self, stale: "asyncio.Future[None]") -> None:
        """The disk is what counts: until it has been read, nobody gets or gives anything."""
        try:
            index = await self._loop.run_in_executor(self._readers, self._look, queue_rows.read_index)
        except Exception:  # the disk is in trouble: it may recover
            _log.exception("queue_reload_failed")
            await asyncio.sleep(RELOAD_PAUSE_S)
            return
        self._contents.clear()
        self._sweeper.clear()
        self._install(index)
        self._stale = None
        stale.set_result(None)
        for live in self._live.values():
            live.wake()

    async def _readable(self) -> None:
        while self._stale is not None:
            await asyncio.shield(self._stale)
