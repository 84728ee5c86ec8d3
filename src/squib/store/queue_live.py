"""One queue while squib runs: the state of its messages, who waits for them, and the timer of hidden ones."""

import asyncio
from typing import Final

import msgspec

from squib.clock import Clock
from squib.model.queue import QueueKey
from squib.model.queue_limits import DEDUPLICATION_MS
from squib.model.receipt import Receipt
from squib.model.units import EpochMs
from squib.scheduler.deduplication import Deduplication
from squib.scheduler.queue import QueueState
from squib.store.queue_rows import Accepted

MIN_TIMER_S: Final = 0.001  # the wall clock, which messages go by, may be behind the loop's


class Attempt(msgspec.Struct, frozen=True):
    """A receive that may be asked for again by its ReceiveRequestAttemptId."""

    at_ms: EpochMs
    receipts: tuple[Receipt, ...]


class LiveQueue:
    """Owned by one event loop. What is declared of the queue is looked up at each use."""

    def __init__(self, key: QueueKey, queue_id: int, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self.key, self.queue_id = key, queue_id
        self.is_gone = False
        self.applied_delay_s: int | None = None
        self.attempts: dict[str, Attempt] = {}
        self.reset()
        self._clock, self._loop = clock, loop
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def reset(self) -> None:
        """No messages known: before they are read from the disk."""
        self.state = QueueState(is_fifo=self.key.is_fifo)
        self.deduplication: Deduplication[Accepted] = Deduplication()

    @property
    def waiter_count(self) -> int:
        """Receives that wait for messages."""
        return len(self._waiters)

    async def wait(self, timeout_s: float) -> None:
        """Returns when there may be messages, the queue is gone, or the time is over. Who waits longest is
        woken first."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters[waiter] = None
        timeout = self._loop.call_later(timeout_s, _wake, waiter)
        self._set_timer()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # its turn is another's now
                self.wake()
            raise
        finally:
            timeout.cancel()
            self._waiters.pop(waiter, None)

    def wake(self, *, all_of_them: bool = False) -> None:
        """Messages may have become visible: wakes as many waiters as there are."""
        if not self._waiters:
            return
        visible = self.state.counts(now_ms=self._clock.now_ms()).visible
        count = len(self._waiters) if all_of_them else visible
        for waiter in list(self._waiters)[:count]:
            del self._waiters[waiter]
            _wake(waiter)
        self._set_timer()

    def forget_attempts(self, now_ms: EpochMs) -> None:
        """Drops the attempts whose time is over."""
        self.attempts = {
            name: attempt
            for name, attempt in self.attempts.items()
            if now_ms - attempt.at_ms < DEDUPLICATION_MS
        }

    def close(self) -> None:
        """The queue is gone, or squib stops: nobody waits any more."""
        self.wake(all_of_them=True)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        """One timer, for the next hidden message, and only while somebody waits for it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at_ms = self.state.next_visible_at_ms() if self._waiters else None
        if at_ms is not None:
            delay_s = max(MIN_TIMER_S, (at_ms - self._clock.now_ms()) / 1000)
            self._timer = self._loop.call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.wake()


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
