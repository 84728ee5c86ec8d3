"""A dispatcher of asynchronous invocations on scripted environments, in virtual time, without a disk."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from harness.environments import ACCOUNT, REGION, START_MS, LoopClock, World, function
from squib.environment.drivers.fake_script import FakeEvent, FakeScript, Step
from squib.invoke.admit import Admission
from squib.invoke.async_pace import Pace, Work
from squib.invoke.asynchronous import Dispatcher
from squib.invoke.destinations import DeliveryFailed
from squib.invoke.resolve import Resolver
from squib.invoke.telling import Teller
from squib.model.alias import ALIASES
from squib.model.async_event import (
    AcceptedEvent,
    Condition,
    Ending,
    Progress,
    StoredEvent,
    TargetKind,
    WaitingEvent,
)
from squib.model.concurrency import PROVISIONED_CONCURRENCY, RESERVED_CONCURRENCY, ReservedConcurrency
from squib.model.event_invoke import EVENT_INVOKE_CONFIGS, EventInvokeConfig
from squib.model.function import FUNCTIONS, VERSIONS, FunctionKey, FunctionRecord
from squib.model.item import ItemKey, Kind
from squib.model.limits import ACCOUNT_CONCURRENCY
from squib.model.recursion import RECURSION_CONFIGS
from squib.model.units import EpochMs, RequestId
from squib.scheduler.concurrency import ConcurrencyLedger
from squib.scheduler.retry import RetryDelays
from squib.store.collections import MemoryCollection

F, G = (FunctionKey(ACCOUNT, REGION, name) for name in "fg")
QUEUE, TOPIC = "arn:queue", "arn:topic"
KINDS: tuple[Kind[Any, Any], ...] = (
    *(VERSIONS, ALIASES, EVENT_INVOKE_CONFIGS, RECURSION_CONFIGS),
    *(RESERVED_CONCURRENCY, PROVISIONED_CONCURRENCY),
)
ERROR = b'{"errorMessage": "no", "errorType": "ValueError"}'


class MemoryEvents:
    """Implements store.base.AsyncEvents without a disk; `rows` are what a restart would find."""

    def __init__(self, found: Sequence[tuple[WaitingEvent, StoredEvent]] = (), *, keeps: bool = True) -> None:
        self.rows = {waiting.event_key: (waiting, stored) for waiting, stored in found}
        self.keeps = keeps
        self.writes: list[str] = []
        self._next = 100

    def _written(self, then: Callable[[], None]) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        future.add_done_callback(lambda _: then())
        return future

    def add(
        self, event: AcceptedEvent, payload: bytes, then: Callable[[int], None]
    ) -> "asyncio.Future[None]":
        self._next = key = self._next + 1
        waiting = WaitingEvent(key, event.function, event.accepted_at_ms, EpochMs(0), Progress(), False)
        self.rows[key] = (waiting, StoredEvent(event, payload, None))
        return self._written(lambda: then(key))

    def add_ended(
        self, event: AcceptedEvent, payload: bytes, ending: Ending, then: Callable[[int], None]
    ) -> "asyncio.Future[None]":
        self._next = key = self._next + 1
        waiting = WaitingEvent(key, event.function, event.accepted_at_ms, EpochMs(0), Progress(), True)
        self.rows[key] = (waiting, StoredEvent(event, payload, ending))
        return self._written(lambda: then(key))

    def put_progress(
        self, event_key: int, due_at_ms: EpochMs, progress: Progress, then: Callable[[], None]
    ) -> "asyncio.Future[None]":
        waiting, stored = self.rows[event_key]
        self.rows[event_key] = (waiting._replace(due_at_ms=due_at_ms, progress=progress), stored)
        self.writes.append("progress")
        return self._written(then)

    def put_ending(
        self,
        event_key: int,
        due_at_ms: EpochMs,
        progress: Progress,
        ending: Ending,
        then: Callable[[], None],
    ) -> "asyncio.Future[None]":
        waiting, stored = self.rows[event_key]
        changed = waiting._replace(due_at_ms=due_at_ms, progress=progress, has_ended=True)
        self.rows[event_key] = (changed, stored._replace(ending=ending))
        self.writes.append("ending")
        return self._written(then)

    def remove(self, event_key: int) -> None:
        del self.rows[event_key]
        self.writes.append("remove")

    def kept(self, event_key: int) -> tuple[AcceptedEvent, bytes] | None:
        row = self.rows.get(event_key) if self.keeps else None
        return None if row is None else row[1][:2]

    def forget(self, event_key: int) -> None:
        pass

    async def read(self, event_key: int) -> StoredEvent | None:
        row = self.rows.get(event_key)
        return None if row is None else row[1]

    async def waiting(self) -> list[WaitingEvent]:
        return [waiting for waiting, _ in self.rows.values()]


class MemoryStore:
    """What a dispatcher needs of `store.base.Store`."""

    def __init__(self, events: MemoryEvents) -> None:
        loop = asyncio.get_running_loop()
        records = [
            FunctionRecord(declared=version, active=version)
            for version in (
                function(dead_letter_arn=QUEUE),
                function(key=G, content_id="content-g"),
            )
        ]
        self.async_events = events
        self._collections: dict[str, MemoryCollection[Any, Any]] = {
            FUNCTIONS.name: MemoryCollection(loop, ((record.key, record) for record in records)),
            **{kind.name: MemoryCollection(loop, ()) for kind in KINDS},
        }

    @property
    def functions(self) -> Any:
        return self.collection(FUNCTIONS)

    def collection(self, kind: Any) -> Any:
        return self._collections[kind.name]

    def put(self, kind: Any, key: Any, value: Any) -> None:
        """As a committed write would."""
        self._collections[kind.name].apply(key, value)
        self._collections[kind.name].wake()


class Deliveries:
    """Stands for destinations: remembers, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.made: list[tuple[float, TargetKind, str, Condition, int]] = []
        self.endings: list[Ending] = []

    async def deliver(self, event: AcceptedEvent, payload: bytes, progress: Progress, ending: Ending) -> None:
        if self.failures:
            self.failures -= 1
            raise DeliveryFailed("not yet")
        target = ending.targets[0]
        at_s = (LoopClock().now_ms() - START_MS) / 1000
        self.made.append((at_s, target.kind, target.arn, ending.condition, progress.attempts))
        self.endings.append(ending)


class Scene:
    """A dispatcher, a teller and what they work with."""

    def __init__(
        self, world: World, events: MemoryEvents, deliveries: Deliveries, limit: int = ACCOUNT_CONCURRENCY
    ) -> None:
        """`limit`: of concurrent executions."""
        self.world, self.events, self.deliveries = world, events, deliveries
        self.store = MemoryStore(events)
        self.ledger = ConcurrencyLedger(limit)
        anything: Any = self.store
        self.admission = Admission(self.ledger, anything, LoopClock())
        clock, delays = LoopClock(), RetryDelays()
        common: dict[str, Any] = {"meter": world.meter, "clock": clock, "entropy": world.entropy}
        destinations: Any = deliveries
        self.teller = Teller(events=anything.async_events, destinations=destinations, delays=delays, **common)
        self.dispatcher = Dispatcher(
            store=anything,
            resolver=Resolver.of(anything, world.entropy.draw),
            pool=world.pool,
            admission=self.admission,
            teller=self.teller,
            tracing=world.tracing,
            delays=delays,
            pace=Pace(lambda: self.admission.taken_count, processors=2, work=lambda: Work(0, 0, 0, 0)),
            **common,
        )

    async def hand_in(self, payload: bytes = b"1", key: FunctionKey = F, **more: Any) -> None:
        event = AcceptedEvent(
            RequestId(f"r-{payload.decode()}"), key, None, LoopClock().now_ms(), "Root=1-0-0"
        )
        await self.dispatcher.accept(msgspec.structs.replace(event, **more), payload)

    def configure(self, **more: Any) -> None:
        config = EventInvokeConfig(function=F, qualifier="$LATEST", modified_at_ms=EpochMs(0), **more)
        self.store.put(EVENT_INVOKE_CONFIGS, ItemKey(ACCOUNT, REGION, "f:$LATEST"), config)

    def reserve(self, executions: int) -> None:
        reserved = ReservedConcurrency(function=F, executions=executions)
        self.store.put(RESERVED_CONCURRENCY, F, reserved)
        self.ledger.settle({F: executions}, {})


def play(
    story: Callable[[Scene], Coroutine[Any, Any, None]],
    on_event: Callable[[FakeEvent], Iterable[Step]] | None = None,
    *,
    events: MemoryEvents | None = None,
    failures: int = 0,
    limit: int = ACCOUNT_CONCURRENCY,
) -> Scene:
    """Runs the story, and ends with nothing begun and not ended."""
    scenes: list[Scene] = []

    async def told(world: World) -> None:
        scene = Scene(world, events or MemoryEvents(), Deliveries(failures), limit)
        scenes.append(scene)
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(scene.teller.run()), tasks.create_task(scene.dispatcher.run())]
            await asyncio.sleep(0)
            await story(scene)
            await scene.dispatcher.drain(100)
            for loop in loops:
                loop.cancel()
        assert scene.ledger.in_flight(ACCOUNT, REGION) == 0

    script = FakeScript() if on_event is None else FakeScript(on_event=on_event)
    World(script, idle_expiry_s=100_000).run(told)
    return scenes[0]
