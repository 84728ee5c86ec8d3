"""Asynchronous invocations on scripted environments, in virtual time: retries, turns, deliveries."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from harness.environments import ACCOUNT, REGION, START_MS, LoopClock, World, function
from squib.environment.drivers.fake import Fail, FakeEvent, FakeScript, Next, Respond, Step, Wait
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
    Target,
    TargetKind,
    WaitingEvent,
)
from squib.model.concurrency import PROVISIONED_CONCURRENCY, RESERVED_CONCURRENCY, ReservedConcurrency
from squib.model.event_invoke import EVENT_INVOKE_CONFIGS, EventInvokeConfig
from squib.model.function import FUNCTIONS, VERSIONS, FunctionKey, FunctionRecord
from squib.model.item import ItemKey, Kind
from squib.model.recursion import RECURSION_CONFIGS, RecursionConfig
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

    def __init__(self, world: World, events: MemoryEvents, deliveries: Deliveries) -> None:
        self.world, self.events, self.deliveries = world, events, deliveries
        self.store = MemoryStore(events)
        self.ledger = ConcurrencyLedger()
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
) -> Scene:
    """Runs the story, and ends with nothing begun and not ended."""
    scenes: list[Scene] = []

    async def told(world: World) -> None:
        scene = Scene(world, events or MemoryEvents(), Deliveries(failures))
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


def failing(event: FakeEvent) -> Iterable[Step]:
    return (Fail("ValueError", ERROR), Next())


class Log:
    """When each event reached the function, in seconds."""

    def __init__(
        self, then: Callable[[FakeEvent], Iterable[Step]] = lambda event: (Respond(), Next())
    ) -> None:
        self.seen: list[tuple[float, str, bytes]] = []
        self._then = then

    def __call__(self, event: FakeEvent) -> Iterable[Step]:
        at_s = round((LoopClock().now_ms() - START_MS) / 1000, 1)
        self.seen.append((at_s, event.headers["lambda-runtime-aws-request-id"], event.body))
        return self._then(event)


def test_a_failing_event_is_run_three_times_over_three_minutes_and_then_told() -> None:
    log = Log(failing)

    async def story(scene: Scene) -> None:
        scene.configure(on_failure=TOPIC)
        await scene.hand_in()
        await asyncio.sleep(1_000)

    scene = play(story, log)
    assert log.seen == [(0.0, "r-1", b"1"), (60.0, "r-1", b"1"), (180.0, "r-1", b"1")]
    assert [one[1:] for one in scene.deliveries.made] == [
        (TargetKind.DEAD_LETTER, QUEUE, Condition.RETRIES_EXHAUSTED, 3),
        (TargetKind.DESTINATION, TOPIC, Condition.RETRIES_EXHAUSTED, 3),
    ]
    assert scene.deliveries.endings[0].error_message == "no"
    assert scene.events.rows == {}
    assert scene.events.writes == ["progress", "progress", "ending", "ending", "remove"]


def test_a_success_that_nobody_is_told_of_leaves_one_removal() -> None:
    async def story(scene: Scene) -> None:
        await scene.hand_in()
        await asyncio.sleep(1)

    scene = play(story)
    assert scene.events.writes == ["remove"]
    assert scene.deliveries.made == []


def test_an_event_that_would_be_too_old_is_not_run_again() -> None:
    log = Log(failing)

    async def story(scene: Scene) -> None:
        scene.configure(max_event_age_s=60)
        await asyncio.sleep(5)
        await scene.hand_in(accepted_at_ms=EpochMs(START_MS))
        await asyncio.sleep(500)

    scene = play(story, log)
    assert len(log.seen) == 1
    assert scene.deliveries.made[0][3:] == (Condition.EVENT_AGE_EXCEEDED, 1)


def test_an_event_that_is_too_old_when_its_turn_comes_is_not_run() -> None:
    log = Log(lambda event: (Wait(2), Respond(), Next()))

    async def story(scene: Scene) -> None:
        scene.configure(max_event_age_s=60)
        await scene.hand_in(accepted_at_ms=EpochMs(START_MS - 60_001))
        await asyncio.sleep(5)

    scene = play(story, log)
    assert log.seen == []
    [ending] = scene.deliveries.endings
    assert (ending.condition, ending.executed_version, ending.status) == (
        Condition.EVENT_AGE_EXCEEDED,
        None,
        429,
    )


def test_without_concurrency_an_event_ends_at_once() -> None:
    async def story(scene: Scene) -> None:
        scene.reserve(0)
        await scene.hand_in()
        await asyncio.sleep(5)

    scene = play(story)
    assert [one[3:] for one in scene.deliveries.made] == [(Condition.NO_CONCURRENCY, 0)]


def test_reserved_concurrency_is_kept_to_and_wakes_what_waits() -> None:
    log = Log(lambda event: (Wait(1), Respond(), Next()))

    async def story(scene: Scene) -> None:
        scene.reserve(1)
        for number in range(4):
            await scene.hand_in(b"%d" % number)
        await asyncio.sleep(30)

    play(story, log)
    assert [(at_s, body) for at_s, _, body in log.seen] == [(n, b"%d" % n) for n in range(4)]


def test_a_throttled_function_is_tried_again_after_a_while() -> None:
    log = Log()

    async def story(scene: Scene) -> None:
        scene.reserve(1)
        share = scene.admission.take(F)  # as a synchronous invocation would
        await scene.hand_in()
        await scene.hand_in(b"2", G)
        await asyncio.sleep(2)
        assert [body for _, _, body in log.seen] == [b"2"]
        share.release()
        await asyncio.sleep(10)

    play(story, log)
    assert [body for _, _, body in log.seen] == [b"2", b"1"]
    assert log.seen[1][0] < 5


def test_more_reserved_concurrency_wakes_what_waits_at_once() -> None:
    log = Log()

    async def story(scene: Scene) -> None:
        scene.reserve(1)
        share = scene.admission.take(F)
        await scene.hand_in()
        await asyncio.sleep(0.5)
        scene.reserve(2)
        await asyncio.sleep(0.1)
        assert len(log.seen) == 1
        share.release()

    play(story, log)


def test_functions_take_turns() -> None:
    log = Log(lambda event: (Wait(1), Respond(), Next()))

    async def story(scene: Scene) -> None:
        for number in range(6):
            await scene.hand_in(b"%d" % number)
        await scene.hand_in(b"9", G)
        await asyncio.sleep(30)

    play(story, log)
    assert b"9" in [body for _, _, body in log.seen[:4]]


def test_a_delivery_that_fails_is_made_up_for() -> None:
    async def story(scene: Scene) -> None:
        scene.configure(on_success=TOPIC)
        await scene.hand_in()
        await asyncio.sleep(60)

    scene = play(story, failures=3)
    [(at_s, *_)] = scene.deliveries.made
    assert 0.8 * 7 <= at_s <= 7.1  # 1, 2 and 4 seconds, or a little less
    assert scene.events.rows == {}


def test_a_delivery_that_never_succeeds_is_given_up_after_hours() -> None:
    async def story(scene: Scene) -> None:
        scene.configure(on_success=TOPIC)
        await scene.hand_in()
        await asyncio.sleep(21_000)
        assert len(scene.events.rows) == 1
        await asyncio.sleep(1_000)
        assert scene.events.rows == {}

    play(story, failures=10_000)


def test_events_of_functions_that_are_gone_are_dropped() -> None:
    async def story(scene: Scene) -> None:
        await scene.hand_in(b"1", FunctionKey(ACCOUNT, REGION, "gone"))
        await scene.hand_in(b"2", qualifier="7")
        await asyncio.sleep(1)

    scene = play(story)
    assert scene.events.writes == ["remove", "remove"]
    assert scene.deliveries.made == []


def test_a_loop_is_ended_unless_it_is_allowed() -> None:
    log = Log()

    async def story(scene: Scene) -> None:
        await scene.hand_in(b"1", is_recursive=True)
        await asyncio.sleep(1)
        scene.store.put(RECURSION_CONFIGS, F, RecursionConfig(function=F, recursive_loop="Allow"))
        await scene.hand_in(b"2", is_recursive=True)
        await asyncio.sleep(1)

    scene = play(story, log)
    assert [body for _, _, body in log.seen] == [b"2"]
    assert [one[3:] for one in scene.deliveries.made] == [(Condition.RECURSION, 0)]
    assert scene.deliveries.endings[0].status == 400


def test_what_a_former_squib_left_is_taken_over() -> None:
    event = AcceptedEvent(RequestId("r-old"), F, None, EpochMs(START_MS - 10), "Root=1-0-0")
    ended = Ending(
        Condition.SUCCESS,
        EpochMs(START_MS),
        "arn:role",
        (Target(TargetKind.DESTINATION, TOPIC),),
        200,
        "$LATEST",
        None,
        b"1",
    )
    due_ms = EpochMs(START_MS + 5_000)
    found = [
        (
            WaitingEvent(1, F, event.accepted_at_ms, due_ms, Progress(1, 1), False),
            StoredEvent(event, b"1", None),
        ),
        (
            WaitingEvent(2, F, event.accepted_at_ms, due_ms, Progress(1, 0, 3), True),
            StoredEvent(event, b"2", ended),
        ),
    ]
    log = Log()

    async def story(scene: Scene) -> None:
        await asyncio.sleep(60)

    scene = play(story, log, events=MemoryEvents(found, keeps=False))
    assert log.seen == [(5.0, "r-old", b"1")]
    assert scene.deliveries.made == [(5.0, TargetKind.DESTINATION, TOPIC, Condition.SUCCESS, 1)]
    assert scene.events.rows == {}


def test_draining_begins_nothing_and_waits_for_what_has_begun() -> None:
    log = Log(lambda event: (Wait(2), Respond(), Next()))

    async def story(scene: Scene) -> None:
        scene.reserve(1)
        for number in range(3):
            await scene.hand_in(b"%d" % number)
        await asyncio.sleep(0.5)

    scene = play(story, log)
    assert [body for _, _, body in log.seen] == [b"0"]
    assert [stored.payload for _, stored in scene.events.rows.values()] == [b"1", b"2"]
    assert scene.events.writes == ["remove"]
