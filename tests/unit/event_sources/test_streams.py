"""The poller of a stream on made-up shards, in a time that passes only while everything waits."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from harness.environments import ACCOUNT, REGION, START_MS, CountingEntropy, LoopClock, VirtualLoop, function
from squib.event_sources.base import Tools
from squib.event_sources.conditions import Problem
from squib.event_sources.discards import Discards
from squib.event_sources.sender import Sending, Sent
from squib.event_sources.stream_access import IteratorExpired, Position, Shard, StreamFailed, StreamRecord
from squib.event_sources.streams import StreamPoller
from squib.model.async_event import AcceptedEvent, Ending
from squib.model.event_source import EventSourceMapping, SourceKind
from squib.model.invocation import FunctionFailed, Succeeded
from squib.model.stream_checkpoint import STREAM_CHECKPOINTS, StreamCheckpoint
from squib.model.units import EpochMs, RequestId
from squib.store.collections import MemoryCollection

MAPPING = EventSourceMapping(
    uuid="u",
    account_id=ACCOUNT,
    region=REGION,
    function=function().key,
    kind=SourceKind.KINESIS,
    source_arn=f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s",
    modified_at_ms=EpochMs(START_MS),
    batch_size=2,
    starting_position="TRIM_HORIZON",
)
FINE = Sent(RequestId("r"), Succeeded(payload=b"null", executed_version="$LATEST"))
FAILED = Sent(RequestId("r"), FunctionFailed(error_type="E", payload=b"{}", executed_version="$LATEST"))
DESTINATION = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"


class World:
    """A stream, a function, a store and who is told; all of it made up, and there for several pollers."""

    actions = ("kinesis:GetRecords",)
    pause_s = 1.0

    def __init__(self, **settings: Any) -> None:
        self.mapping = msgspec.structs.replace(MAPPING, **settings)
        self.parts: dict[str, list[str]] = {"s1": []}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.closed: set[str] = set()
        self.positions: list[tuple[str, Position]] = []
        self.faults: list[Exception] = []
        self.sent: list[list[str]] = []
        self.answer: Callable[[list[str]], Sending] = lambda bodies: FINE
        self.has_function = True
        self.reported: list[str] = []
        self.told: list[Any] = []
        self.checkpoints: MemoryCollection[Any, StreamCheckpoint] = MemoryCollection(
            asyncio.get_running_loop(), ()
        )
        self.writes = 0
        self.kept: list[StreamCheckpoint] = []

    # the stream

    async def shards(self) -> Sequence[Shard]:
        return [Shard(name, self.parents.get(name, ())) for name in self.parts]

    async def iterator(self, shard_id: str, position: Position) -> str:
        self.positions.append((shard_id, position))
        return str(0 if position.after is None else int(position.after) + 1)

    async def read(
        self, iterator: str, limit: int, shard_id: str
    ) -> tuple[Sequence[StreamRecord], str | None]:
        if self.faults:
            raise self.faults.pop()
        start, whole = int(iterator), self.parts[shard_id]
        given = [
            StreamRecord(sequence=str(number), lane_key=body, arrived_at_ms=START_MS, record={"body": body})
            for number, body in enumerate(whole[start : start + limit], start)
        ]
        end = start + len(given)
        return given, None if shard_id in self.closed and end == len(whole) else str(end)

    # the function, and who hears of it

    async def send(self, mapping: EventSourceMapping, event: bytes, trace: str | None) -> Sending:
        bodies = [one["body"] for one in json.loads(event)["Records"]]
        self.sent.append(bodies)
        await asyncio.sleep(0.01)
        return self.answer(bodies)

    def function(self, mapping: EventSourceMapping) -> Any:
        if not self.has_function:
            raise Problem("Function not found")
        return function(timeout_s=3)

    def missing(self, *_: Any, **__: Any) -> str | None:
        return None

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def report(self, key: Any, result: str, **_: Any) -> None:
        if self.reported[-1:] != [result]:
            self.reported.append(result)

    def hand_in(self, event: AcceptedEvent, payload: bytes, ending: Ending) -> "asyncio.Future[None]":
        self.told.append((json.loads(payload), ending))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    # the store

    def collection(self, kind: object) -> Any:
        assert kind is STREAM_CHECKPOINTS
        return self.checkpoints

    async def write(self, decide: Callable[[Any], None]) -> None:
        self.writes += 1
        decide(self)

    def put(self, kind: object, key: Any, value: StreamCheckpoint) -> None:
        self.kept.append(value)
        self.checkpoints.apply(key, value)

    def delete(self, kind: object, key: Any) -> None:
        self.checkpoints.apply(key, None)

    def stored(self) -> dict[str, StreamCheckpoint]:
        return {one.shard_id: one for one in self.checkpoints.all()}

    async def poll(self, seconds: float) -> None:
        """A poller for so long."""
        anything: Any = self
        tools = Tools(
            sender=anything,
            conditions=anything,
            results=anything,
            clock=LoopClock(),
            entropy=CountingEntropy(),
        )
        discards = Discards(self.hand_in, anything, LoopClock(), CountingEntropy())
        poller = StreamPoller(self.mapping, tools, anything, discards, anything)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(poller.run())
            await asyncio.sleep(seconds)
            await poller.stop()


def play(story: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> World:
    async def run() -> World:
        world = World(**settings)
        await story(world)
        return world

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def test_where_reading_begins_is_stored_for_all_shards_at_once_and_as_of_the_declaration() -> None:
    async def story(world: World) -> None:
        world.parts = {"s1": [], "s2": []}
        await asyncio.sleep(50)  # nobody polls yet
        await world.poll(1)
        assert world.writes == 1
        world.parts["s3"] = ["new"]
        await world.poll(1)

    world = play(story, starting_position="LATEST")
    by_shard = world.stored()
    for shard_id in ("s1", "s2"):
        assert (by_shard[shard_id].is_first, by_shard[shard_id].begun_at_ms) == (True, START_MS)
    assert not by_shard["s3"].is_first, "what is new is read from its beginning"
    positions = dict(world.positions[:2])
    assert positions == {name: Position(at_ms=EpochMs(START_MS)) for name in ("s1", "s2")}
    assert (("s3", Position(is_start=True))) in world.positions


def test_only_a_mapping_that_is_new_begins_now() -> None:
    async def story(world: World) -> None:
        await world.poll(1)
        await world.poll(1)

    world = play(story, starting_position="LATEST")
    assert [position.is_now for _, position in world.positions] == [True, False]


def test_children_are_read_after_their_parents() -> None:
    async def story(world: World) -> None:
        world.parts = {"s1": ["1", "2", "3"], "s2": ["4"], "s3": ["5"]}
        world.parents = {"s2": ("s1",), "s3": ("s1", "s2")}
        world.closed = {"s1", "s2"}
        await world.poll(10)

    world = play(story)
    assert world.sent == [["1", "2"], ["3"], ["4"], ["5"]]
    assert [one.is_finished for _, one in sorted(world.stored().items())] == [True, True, False]


def test_checkpoints_of_shards_that_are_no_more_go_when_others_come() -> None:
    async def story(world: World) -> None:
        world.parts, world.closed = {"s1": ["1"]}, {"s1"}
        await world.poll(5)
        world.parts = {"s9": ["2"]}
        await world.poll(5)

    world = play(story, starting_position="LATEST")
    assert world.stored().keys() == {"s9"}
    assert world.sent[-1:] == [["2"]], "what came meanwhile is not passed over as older than the mapping"


def test_a_poller_goes_on_after_what_is_done() -> None:
    async def story(world: World) -> None:
        world.parts["s1"] = ["1", "2"]
        await world.poll(5)
        world.parts["s1"] += ["3"]
        world.faults = [IteratorExpired(), StreamFailed("busy")]
        await world.poll(5)

    world = play(story)
    assert world.sent == [["1", "2"], ["3"]]
    assert [one.after for _, one in world.positions] == [None, "1", "1"]
    assert world.reported == ["OK", "PROBLEM: busy", "OK"]
    assert world.stored()["s1"].sequence == "2"


def test_what_is_given_up_is_told_before_the_shard_goes_on() -> None:
    async def story(world: World) -> None:
        world.parts["s1"] = ["bad", "good"]
        world.answer = lambda bodies: FAILED if "bad" in bodies else FINE
        await world.poll(5)

    world = play(story, batch_size=1, max_retry_attempts=1, on_failure=DESTINATION)
    assert world.sent == [["bad"], ["bad"], ["good"]]
    (told, ending), *others = world.told
    assert not others
    assert told["requestContext"]["approximateInvokeCount"] == 2
    assert ending.targets[0].arn == DESTINATION
    assert ending.bucket_folder == "aws/lambda/u/s1"


def test_records_stay_where_they_are_while_there_is_no_function_to_give_them_up_for() -> None:
    async def story(world: World) -> None:
        world.parts["s1"] = ["bad", "good"]

        def answer(bodies: list[str]) -> Sending:
            world.has_function = False
            return FAILED

        world.answer = answer
        await world.poll(5)
        assert (world.sent, world.told, world.stored()["s1"].sequence) == ([["bad"]], [], None)
        world.has_function, world.answer = True, lambda bodies: FAILED if "bad" in bodies else FINE
        await world.poll(5)

    world = play(story, batch_size=1, max_retry_attempts=0, on_failure=DESTINATION)
    assert world.sent == [["bad"], ["bad"], ["good"]]
    assert len(world.told) == 1


def test_the_state_of_a_window_is_stored_together_with_how_far_it_has_come() -> None:
    async def story(world: World) -> None:
        world.parts["s1"] = ["1", "2", "3"]
        count = 0

        def answer(bodies: list[str]) -> Sending:
            nonlocal count
            count += len(bodies)
            payload = b'{"state": %d}' % count
            return Sent(RequestId("r"), Succeeded(payload=payload, executed_version="$LATEST"))

        world.answer = answer
        await world.poll(100)

    world = play(story, batch_size=1, tumbling_window_s=60)
    assert world.sent == [["1"], ["2"], ["3"], []]
    within = [one for one in world.kept if one.window_start_ms is not None]
    assert [(one.sequence, one.window_state) for one in within] == [
        (None, b"{}"),
        ("0", b"1"),
        ("1", b"2"),
        ("2", b"3"),
    ]
