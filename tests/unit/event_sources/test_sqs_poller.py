"""The poller of a queue, in a time that passes only while everything waits."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from harness.environments import ACCOUNT, REGION, CountingEntropy, LoopClock, VirtualLoop, function
from squib.event_sources.base import Tools
from squib.event_sources.conditions import Problem
from squib.event_sources.queue_access import Message, QueueFailed
from squib.event_sources.sender import Refused, Sending, Sent
from squib.event_sources.sources.sqs import SqsPoller
from squib.model.event_source import EventSourceMapping, SourceKind
from squib.model.invocation import FunctionFailed, Succeeded
from squib.model.units import EpochMs, RequestId

MAPPING = EventSourceMapping(
    uuid="u",
    account_id=ACCOUNT,
    region=REGION,
    function=function().key,
    kind=SourceKind.SQS,
    source_arn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:q",
    modified_at_ms=EpochMs(0),
    batch_size=10,
)
FINE = Sent(RequestId("r"), Succeeded(payload=b"null", executed_version="$LATEST"))
FAILED = Sent(RequestId("r"), FunctionFailed(error_type="E", payload=b"{}", executed_version="$LATEST"))


class World:
    """A queue, a function and what they have seen; all of it made up."""

    max_receive_count = 100
    is_elsewhere = False

    def __init__(self, **settings: Any) -> None:
        self.mapping = msgspec.structs.replace(MAPPING, **settings)
        self.there: deque[Message] = deque()
        self.arrived = asyncio.Event()
        self.deleted: list[str] = []
        self.asked: list[tuple[int, int | None]] = []
        self.fault: Exception | None = None
        self.sent: list[tuple[float, list[str]]] = []
        self.answer: Callable[[], Sending] = lambda: FINE
        self.takes_s = 0.0
        self.reported: list[str] = []
        self.lacks: str | None = None
        self.has_function = True
        self.listeners: set[Callable[[], None]] = set()

    # the queue

    def problem(self) -> str | None:
        return None

    async def visibility_s(self) -> int:
        return 30

    async def receive(self, max_count: int, *, visibility_s: int | None, wait_ms: float) -> Sequence[Message]:
        self.asked.append((max_count, visibility_s))
        if self.fault is not None:
            raise self.fault
        if not self.there:
            self.arrived.clear()
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    await self.arrived.wait()
            except TimeoutError:
                return []
        return [self.there.popleft() for _ in range(min(max_count, len(self.there)))]

    async def delete(self, handles: Sequence[str]) -> None:
        self.deleted += handles

    def put(self, *bodies: str) -> None:
        for body in bodies:
            self.there.append(Message(message_id=body, handle=f"h-{body}", record={"body": body}))
        self.arrived.set()

    # the function

    async def send(self, mapping: EventSourceMapping, event: bytes, trace: str | None) -> Sending:
        bodies = [one["body"] for one in json.loads(event)["Records"]]
        self.sent.append((asyncio.get_running_loop().time(), bodies))
        await asyncio.sleep(self.takes_s)
        return self.answer()

    def function(self, mapping: EventSourceMapping) -> Any:
        if not self.has_function:
            raise Problem("Function not found")
        return function(timeout_s=3)

    def missing(self, *_: Any, **__: Any) -> str | None:
        return self.lacks

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.listeners.add(changed)
        return lambda: self.listeners.discard(changed)

    def report(self, key: Any, result: str, **_: Any) -> None:
        if self.reported[-1:] != [result]:
            self.reported.append(result)

    def change(self) -> None:
        for changed in self.listeners:
            changed()


def play(story: Callable[[World, SqsPoller], Coroutine[Any, Any, None]], **settings: Any) -> World:
    """Runs the story beside a poller, and stops that."""

    async def run() -> World:
        world: Any = World(**settings)
        tools = Tools(
            sender=world, conditions=world, results=world, clock=LoopClock(), entropy=CountingEntropy()
        )

        async def access(account_id: Any, key: Any) -> Any:
            return world

        poller = SqsPoller(world.mapping, tools, access)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(poller.run())
            await story(world, poller)
            await poller.stop()
            await poller.wait_idle()
        assert not world.listeners
        return world  # type: ignore[no-any-return]  # any to the tools, a World to us

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def test_a_message_goes_at_once_and_is_deleted_when_done() -> None:
    async def story(world: World, poller: SqsPoller) -> None:
        await asyncio.sleep(5)
        world.put("a")
        await asyncio.sleep(1)

    world = play(story)
    assert world.sent == [(5.0, ["a"])]
    assert world.deleted == ["h-a"]


def test_a_window_gathers_until_it_is_over_and_hides_messages_that_long() -> None:
    async def story(world: World, poller: SqsPoller) -> None:
        await asyncio.sleep(1)
        world.put("a")
        await asyncio.sleep(3)
        world.put("b")
        await asyncio.sleep(10)

    world = play(story, batching_window_s=5)
    assert world.sent == [(6.0, ["a", "b"])]
    assert world.asked[0] == (10, 38)


def test_what_a_window_has_gathered_goes_its_way_when_the_poller_stops() -> None:
    async def story(world: World, poller: SqsPoller) -> None:
        await asyncio.sleep(0.1)
        world.put("a")
        await asyncio.sleep(1)

    world = play(story, batching_window_s=300)
    assert world.sent == [(1.1, ["a"])]
    assert world.deleted == ["h-a"]


def test_a_throttled_batch_is_tried_again_until_its_messages_come_back_by_themselves() -> None:
    async def story(world: World, poller: SqsPoller) -> None:
        world.answer = lambda: Refused("throttled")
        world.put("a")
        await asyncio.sleep(60)

    world = play(story)
    assert len(world.sent) > 5
    assert world.sent[-1][0] <= 30
    pauses = [after[0] - before[0] for before, after in zip(world.sent, world.sent[1:], strict=False)]
    assert pauses == sorted(pauses), "they grow"
    assert world.deleted == []
    assert world.reported == ["PROBLEM: throttled"]


def test_an_error_leaves_the_batch_and_a_batch_under_way_is_finished() -> None:
    async def story(world: World, poller: SqsPoller) -> None:
        world.answer = lambda: FAILED
        world.put("a")
        await asyncio.sleep(1)
        world.answer, world.takes_s = (lambda: FINE), 5
        world.put("b")
        await asyncio.sleep(1)

    world = play(story)
    assert world.deleted == ["h-b"]
    assert world.reported == ["PROBLEM: Function call failed"]


def test_without_the_right_to_read_nothing_is_asked_until_it_is_given_back() -> None:
    async def story(world: World, poller: SqsPoller) -> None:
        await asyncio.sleep(1)
        world.lacks = "sqs:ReceiveMessage"
        world.change()
        await asyncio.sleep(1)
        asked = len(world.asked)
        world.put("a")
        await asyncio.sleep(100)
        assert len(world.asked) == asked
        world.lacks = None
        world.change()
        await asyncio.sleep(1)

    world = play(story)
    assert world.sent == [(102.0, ["a"])]
    assert "not authorized to perform sqs:ReceiveMessage" in world.reported[0]
    assert world.reported[1:] == ["OK"]


def test_a_missing_function_stops_consumption() -> None:
    async def story(world: World, poller: SqsPoller) -> None:
        world.has_function = False
        world.change()
        await asyncio.sleep(1)
        world.put("a")
        await asyncio.sleep(100)

    world = play(story)
    assert (world.sent, world.reported) == ([], ["PROBLEM: Function not found"])


def test_a_queue_that_does_not_answer_is_asked_less_and_less_often() -> None:
    async def story(world: World, poller: SqsPoller) -> None:
        world.fault = QueueFailed("no answer")
        world.put()
        await asyncio.sleep(600)
        world.fault = None
        world.put("a")
        await asyncio.sleep(60)

    world = play(story)
    assert len(world.asked) < 50
    assert world.reported == ["PROBLEM: no answer", "OK"]
    assert world.deleted == ["h-a"]


def test_a_batch_whose_answer_names_failures_is_deleted_but_for_them() -> None:
    async def story(world: World, poller: SqsPoller) -> None:
        answer = b'{"batchItemFailures": [{"itemIdentifier": "b"}]}'
        world.answer = lambda: Sent(RequestId("r"), Succeeded(payload=answer, executed_version="$LATEST"))
        world.put("a", "b", "c")
        await asyncio.sleep(1)

    world = play(story, function_response_types=("ReportBatchItemFailures",))
    assert world.deleted == ["h-a", "h-c"]
