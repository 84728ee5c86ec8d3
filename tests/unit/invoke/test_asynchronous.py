"""Asynchronous invocations on scripted environments, in virtual time: retries, turns, deliveries."""

import asyncio
from collections.abc import Callable, Iterable

from harness.asynchronous import ERROR, QUEUE, TOPIC, F, G, MemoryEvents, Scene, play
from harness.environments import ACCOUNT, REGION, START_MS, LoopClock
from squib.environment.drivers.fake_script import Fail, FakeEvent, Next, Respond, Step, Wait
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
from squib.model.function import FunctionKey
from squib.model.recursion import RECURSION_CONFIGS, RecursionConfig
from squib.model.units import EpochMs, RequestId


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


def test_what_no_invocation_ended_with_is_told_as_endings_are() -> None:
    async def story(scene: Scene) -> None:
        event = AcceptedEvent(RequestId("r-1"), F, None, EpochMs(START_MS), "")
        target = Target(TargetKind.DISCARD, TOPIC)
        ending = Ending(Condition.RETRIES_EXHAUSTED, EpochMs(START_MS), "arn:role", (target,), 200)
        await scene.teller.hand_in(event, b"{}", ending)
        await asyncio.sleep(60)

    scene = play(story, failures=2)
    (made,) = scene.deliveries.made
    assert made[0] > 1 and made[1:3] == (TargetKind.DISCARD, TOPIC)
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
