"""Events that have ended, while somebody is to be told: destinations and dead-letter queues, one by one."""

import asyncio
import logging
from functools import partial
from typing import Final

import msgspec

from squib.clock import Clock, Entropy
from squib.invoke.alarm import Alarm
from squib.invoke.async_entry import Entry
from squib.invoke.destinations import DeliveryFailed, Destinations
from squib.model.async_event import (
    AcceptedEvent,
    AsyncMetric,
    Ending,
    Progress,
    StoredEvent,
    TargetKind,
)
from squib.model.units import EpochMs
from squib.scheduler.async_event import Event, State, tell_again_at_ms
from squib.scheduler.backlog import Backlog
from squib.scheduler.retry import RetryDelays
from squib.store.base import AsyncEvents
from squib.store.meter import Meter

_log: Final = logging.getLogger("squib.asynchronous")
MAX_TELLING: Final = 32  # squib's choice: deliveries at a time


class Teller:
    """Brings endings where they belong. Owned by one event loop; `run` must be running."""

    def __init__(
        self,
        *,
        events: AsyncEvents,
        destinations: Destinations,
        meter: Meter,
        clock: Clock,
        entropy: Entropy,
        delays: RetryDelays,
    ) -> None:
        self._events, self._destinations, self._meter = events, destinations, meter
        self._clock, self._entropy, self._delays = clock, entropy, delays
        self._waiting: Backlog[tuple[Entry, StoredEvent | None]] = Backlog()
        self._telling = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._is_stopping = False
        self._is_idle = asyncio.Event()
        self._alarm = Alarm(asyncio.get_running_loop(), clock, self._pump)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._pump()
            try:
                await asyncio.Event().wait()
            finally:
                self._is_stopping = True
                self._alarm.cancel()

    async def drain(self) -> None:
        """Begins nothing more, and waits for what has begun; the rest stays on disk."""
        self._is_stopping = True
        while self._telling:
            self._is_idle.clear()
            await self._is_idle.wait()

    def take_over(self, entry: Entry, due_at_ms: EpochMs) -> None:
        """An event whose ending is stored already."""
        self._add(entry, None, due_at_ms)
        self._pump()

    def hand_in(self, event: AcceptedEvent, payload: bytes, ending: Ending) -> "asyncio.Future[None]":
        """Something that is to be told though no invocation has ended with it. The future is done when it is
        on disk; or it raises PlatformError."""

        def stored(event_key: int) -> None:
            entry = Entry(event_key, event.function, event.accepted_at_ms, Progress(), State.RESTING)
            self.take_over(entry, ending.ended_at_ms)

        return self._events.add_ended(event, payload, ending, stored)

    def settle(self, entry: Entry, stored: StoredEvent) -> None:
        """An event has just ended: stores how, and then tells whoever is to be told."""
        entry.happen(Event.SETTLE)
        entry.progress = msgspec.structs.replace(entry.progress, backoffs=0)
        self._keep(entry, stored)

    def _keep(self, entry: Entry, stored: StoredEvent) -> None:
        """Only what is on disk is told: a crash in between repeats the telling, not the function."""
        assert stored.ending is not None, "it has ended"
        self._events.forget(entry.event_key)
        self._events.put_ending(
            entry.event_key,
            stored.ending.ended_at_ms,
            entry.progress,
            stored.ending,
            partial(self._kept, entry, stored),
        )

    def _kept(self, entry: Entry, stored: StoredEvent) -> None:
        self._add(entry, stored, EpochMs(0))
        self._pump()

    def _add(self, entry: Entry, stored: StoredEvent | None, due_at_ms: EpochMs) -> None:
        self._waiting.add(entry.function, (entry, stored), due_at_ms, now_ms=self._clock.now_ms())

    def _pump(self) -> None:
        now_ms = self._clock.now_ms()
        while not self._is_stopping and self._tasks is not None and self._telling < MAX_TELLING:
            found = self._waiting.take(now_ms=now_ms)
            if found is None:
                break
            self._telling += 1
            found[0].happen(Event.BEGIN)
            self._tasks.create_task(self._one(*found))
        self._alarm.set(None if self._is_stopping else self._waiting.next_due_ms())

    async def _one(self, entry: Entry, stored: StoredEvent | None) -> None:
        try:
            await self._tell(entry, stored)
        finally:
            self._telling -= 1
            self._is_idle.set()
            self._pump()

    async def _tell(self, entry: Entry, stored: StoredEvent | None) -> None:
        if stored is None:
            try:
                stored = await self._events.read(entry.event_key)
            except Exception:  # the disk is in trouble: the event is there when squib starts again
                _log.exception("async_event_unreadable event_key=%d", entry.event_key)
        if stored is None or stored.ending is None:
            entry.happen(Event.LEAVE)
            return
        try:
            await self._destinations.deliver(stored.event, stored.payload, entry.progress, stored.ending)
        except DeliveryFailed as error:
            due_at_ms = self._failed(entry, stored, error)
            if due_at_ms is not None:
                entry.happen(Event.TELL_AGAIN)
                again = partial(self.take_over, entry, due_at_ms)
                self._events.put_progress(entry.event_key, due_at_ms, entry.progress, again)
                return
        left = stored.ending.targets[1:]
        if not left:
            entry.happen(Event.CLOSE)
            self._events.remove(entry.event_key)
            return
        entry.happen(Event.TELL_NEXT)
        entry.progress = msgspec.structs.replace(entry.progress, backoffs=0)
        self._keep(entry, stored._replace(ending=msgspec.structs.replace(stored.ending, targets=left)))

    def _failed(self, entry: Entry, stored: StoredEvent, error: DeliveryFailed) -> EpochMs | None:
        """Counts and says it; when it is tried again, None: not any more."""
        event, _, ending = stored
        assert ending is not None, "it has ended"
        target = ending.targets[0]
        is_letter = target.kind is TargetKind.DEAD_LETTER
        metric = AsyncMetric.DEAD_LETTER_ERRORS if is_letter else AsyncMetric.DELIVERY_FAILURES
        self._meter.saw(metric, 1, arn=event.invoked_arn, version="", at_ms=self._clock.now_ms())
        failures = entry.progress.backoffs + 1
        entry.progress = msgspec.structs.replace(entry.progress, backoffs=failures)
        due_at_ms = tell_again_at_ms(
            ending.ended_at_ms,
            failures,
            self._delays,
            now_ms=self._clock.now_ms(),
            draw=self._entropy.draw(),
        )
        _log.warning(
            "delivery_failed request_id=%s kind=%s target=%s failures=%d is_given_up=%s reason=%r",
            event.request_id,
            target.kind,
            target.arn,
            failures,
            due_at_ms is None,
            str(error),
        )
        return due_at_ms
