"""Message move tasks: declared through the API, carried out by a loop that may stop at any point."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conformance.queue_harness import ACCOUNT, REGION, World, run
from squib.clock import SystemEntropy
from squib.control_plane.sqs import SqsService
from squib.control_plane.sqs.moves import MoveLoop
from squib.model.errors import ApiError
from squib.model.identity import root_principal
from squib.model.operation import AuthorizedCall
from squib.model.queue import QueueKey
from squib.model.queue_move import ACTIVE, MOVE_TASKS
from squib.model.units import RequestId


async def call(world: World, operation: str, **given: Any) -> Mapping[str, Any]:
    handlers = SqsService(world.store, SystemEntropy()).handlers()
    made = AuthorizedCall(
        service="sqs",
        operation=operation,
        input=given,
        principal=root_principal(ACCOUNT),
        access_key_id="AKIA",
        account_id=ACCOUNT,
        region=REGION,
        request_id=RequestId("0"),
        received_at_ms=world.clock.now_ms(),
        base_url="http://127.0.0.1:1",
    )
    return (await handlers[operation](made)).output


@asynccontextmanager
async def moving(world: World) -> AsyncIterator[None]:
    """The loop, while it is needed."""
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(MoveLoop(world.store, world.clock, SystemEntropy()).run())
        try:
            yield
        finally:
            loop.cancel()


async def ended(world: World) -> None:
    """Returns once no task is active any more."""
    tasks, seen = world.store.collection(MOVE_TASKS), 0
    while any(task.status in ACTIVE for task in tasks.all()):
        seen = await tasks.changed(seen)


async def dead_letters(world: World, count: int) -> tuple[QueueKey, QueueKey]:
    """A queue and its dead-letter queue, which has all of its messages."""
    dead = await world.queue("dead")
    key = await world.queue("q", dead_letters=(dead, 1))
    await world.send(key, *(f"{number:03}" for number in range(count)))
    assert len(await world.receive(key, count, visibility_timeout_s=0)) == count
    assert await world.receive(key, 10) == []
    await world.store.queues.settle()
    return key, dead


async def shown(world: World, dead: QueueKey) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (await call(world, "ListMessageMoveTasks", SourceArn=dead.arn))["Results"][0]
    return found


def test_a_task_that_was_stopped_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key, dead = await dead_letters(world, 350)
            await call(world, "StartMessageMoveTask", SourceArn=dead.arn)
            tasks, seen = world.store.collection(MOVE_TASKS), 0
            async with moving(world):
                while not any(task.moved_count for task in tasks.all()):
                    seen = await tasks.changed(seen)
        async with world.opened():
            assert (await shown(world, dead))["Status"] in ("RUNNING", "COMPLETED")
            async with moving(world):
                await ended(world)
            task = await shown(world, dead)
            assert (task["Status"], task["TaskHandle"]) == ("COMPLETED", None)
            assert task["ApproximateNumberOfMessagesToMove"] == 350
            assert world.store.queues.counts(dead).visible == 0
            assert sorted(await world.bodies(key, 400)) == [f"{number:03}" for number in range(350)]

    run(tmp_path, story)


def test_messages_go_to_another_queue_when_it_is_named(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened(), moving(world):
            _, dead = await dead_letters(world, 5)
            other = await world.queue("other")
            await call(world, "StartMessageMoveTask", SourceArn=dead.arn, DestinationArn=other.arn)
            await ended(world)
            assert len(await world.bodies(other)) == 5

    run(tmp_path, story)


def test_what_cannot_go_on_fails_and_says_why(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            _, dead = await dead_letters(world, 0)
            other = await world.queue("other")
            await world.send(dead, "sent here by hand")
            await call(world, "StartMessageMoveTask", SourceArn=dead.arn)
            async with moving(world):
                await ended(world)
            task = await shown(world, dead)
            assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
            world.clock.now += 1
            await call(world, "StartMessageMoveTask", SourceArn=dead.arn, DestinationArn=other.arn)
            await world.store.queues.delete_queue(other)
            async with moving(world):
                await ended(world)
            assert (await shown(world, dead))["FailureReason"] == "DestinationQueueDoesNotExist"
            assert world.store.queues.counts(dead).visible == 1

    run(tmp_path, story)


def test_tasks_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key, dead = await dead_letters(world, 1)
            fifo = await world.queue("x.fifo")
            none = "arn:aws:sqs:us-east-1:000000000000:none"
            for given, code in (
                ({"SourceArn": none}, "ResourceNotFoundException"),
                ({"SourceArn": key.arn}, "InvalidParameterValue"),
                ({"SourceArn": "no arn"}, "InvalidParameterValue"),
                ({"SourceArn": dead.arn, "DestinationArn": none}, "ResourceNotFoundException"),
                ({"SourceArn": dead.arn, "DestinationArn": dead.arn}, "InvalidParameterValue"),
                ({"SourceArn": dead.arn, "DestinationArn": fifo.arn}, "InvalidParameterValue"),
                ({"SourceArn": dead.arn, "MaxNumberOfMessagesPerSecond": 501}, "InvalidParameterValue"),
                ({}, "MissingParameter"),
            ):
                with pytest.raises(ApiError) as refused:
                    await call(world, "StartMessageMoveTask", **given)
                assert refused.value.code == code, given
            started = await call(world, "StartMessageMoveTask", SourceArn=dead.arn)
            with pytest.raises(ApiError, match="already a task running"):
                await call(world, "StartMessageMoveTask", SourceArn=dead.arn)
            moved = await call(world, "CancelMessageMoveTask", TaskHandle=started["TaskHandle"])
            assert moved == {"ApproximateNumberOfMessagesMoved": 0}
            with pytest.raises(ApiError, match="Only active tasks"):
                await call(world, "CancelMessageMoveTask", TaskHandle=started["TaskHandle"])
            with pytest.raises(ApiError, match="not the handle of a task"):
                await call(world, "CancelMessageMoveTask", TaskHandle="x")

    run(tmp_path, story)
