"""Environments that the pool initializes ahead of calls, and how long environments live."""

import asyncio
from collections.abc import Iterable

from harness.environments import World, function
from squib.environment.drivers.fake_script import Exit, FakeEvent, FakeScript, Next, Respond, Step, Wait
from squib.model.concurrency import Allocation, AllocationStatus
from squib.model.function import FunctionKey
from squib.model.invocation import FunctionFailed, Succeeded

ONE = function(version="1")
OTHER = function(key=FunctionKey(ONE.key.account_id, ONE.key.region, "other"), content_id="content-2")


def slow(event: FakeEvent) -> Iterable[Step]:
    return (Wait(1.0), Respond(), Next())


def ready(count: int) -> Allocation:
    return Allocation(AllocationStatus.READY, count)


def kinds(world: World) -> list[str]:
    return [spec.variables["AWS_LAMBDA_INITIALIZATION_TYPE"] for spec in world.driver.specs]


def test_environments_are_initialized_before_anyone_calls_and_serve_first() -> None:
    async def story(world: World) -> None:
        world.pool.provision([(ONE, 2)])
        assert world.pool.allocation(ONE, 2) == Allocation(AllocationStatus.IN_PROGRESS, 0)
        await asyncio.sleep(1)
        assert world.pool.allocation(ONE, 2) == ready(2)
        assert world.pool.allocation(ONE, 3) == Allocation(AllocationStatus.IN_PROGRESS, 2)
        async with asyncio.TaskGroup() as tasks:
            for number in range(3):
                tasks.create_task(world.invoke(b"%d" % number, of=ONE))
        assert kinds(world) == ["provisioned-concurrency"] * 2 + ["on-demand"]
        await world.invoke(of=ONE)
        on_demand = [stream for stream in world.logs.streams.values() if stream.lines.count("START") == 1]
        assert len(on_demand) == 2  # the fourth call was not given to the on-demand one, used last or not
        first = next(iter(world.logs.streams.values()))
        assert first.lines[1].startswith("INIT_REPORT Init Duration: ")
        report = next(message for _, message in first.events if message.startswith("REPORT"))
        assert "Billed Duration: 1000 ms" in report and "Init Duration" in report

    World(FakeScript(on_event=slow, on_start=lambda count: (Wait(0.5), Next()))).run(story)


def test_provisioned_environments_stay_and_follow_what_is_declared() -> None:
    async def story(world: World) -> None:
        world.pool.provision([(ONE, 3)])
        await asyncio.sleep(3_600)
        assert world.states() == ["idle"] * 3
        world.pool.provision([(ONE, 1), (OTHER, 1)])
        await asyncio.sleep(1)
        assert sorted(view.function_arn.rsplit(":", 1)[1] for view in world.pool.snapshot()) == ["f", "other"]
        running = asyncio.create_task(world.invoke(b"x", of=ONE))
        await asyncio.sleep(0.5)
        world.pool.provision([])
        await asyncio.sleep(0.1)
        assert world.states() == ["busy"]
        assert isinstance(await running, Succeeded)
        await asyncio.sleep(0.1)
        assert world.states() == []

    World(FakeScript(on_event=slow)).run(story)


def test_provisioned_environments_are_not_evicted_and_evict_others() -> None:
    async def story(world: World) -> None:
        await world.invoke(of=OTHER)
        await world.invoke(of=function(version="2"))
        world.pool.provision([(ONE, 2)])
        await asyncio.sleep(1)
        assert [view.version for view in world.pool.snapshot()] == ["1", "1"]
        world.pool.provision([(ONE, 2), (OTHER, 1)])
        await asyncio.sleep(0.5)
        expected = Allocation(AllocationStatus.FAILED, 0, "NO_ROOM_FOR_ENVIRONMENTS")
        assert world.pool.allocation(OTHER, 1) == expected
        world.pool.provision([(ONE, 1), (OTHER, 1)])
        await asyncio.sleep(3)
        assert world.pool.allocation(OTHER, 1) == ready(1)

    World(max_environments=2).run(story)


def test_a_failing_initialization_is_told_and_tried_again() -> None:
    async def story(world: World) -> None:
        world.pool.provision([(ONE, 2)])
        await asyncio.sleep(0.5)
        expected = Allocation(AllocationStatus.FAILED, 0, "FUNCTION_ERROR_INIT_FAILURE")
        assert world.pool.allocation(ONE, 2) == expected
        assert len(world.driver.specs) == 2
        await asyncio.sleep(2)
        assert len(world.driver.specs) == 3
        world.script.on_start = lambda count: (Next(),)
        await asyncio.sleep(30)
        assert world.pool.allocation(ONE, 2) == ready(2)

    World(FakeScript(on_start=lambda count: (Exit(),))).run(story)


def test_a_crashed_environment_is_replaced() -> None:
    async def story(world: World) -> None:
        world.pool.provision([(ONE, 1)])
        await asyncio.sleep(1)
        assert isinstance(await world.invoke(of=ONE), FunctionFailed)
        await asyncio.sleep(1)
        assert world.pool.allocation(ONE, 1) == ready(1)
        assert kinds(world) == ["provisioned-concurrency"] * 2
        assert world.states() == ["idle"]

    World(FakeScript(on_event=lambda event: (Exit(),))).run(story)


def test_environments_end_after_two_hours_even_when_they_are_busy_without_a_pause() -> None:
    async def story(world: World) -> None:
        world.pool.provision([(OTHER, 1)])
        loop = asyncio.get_running_loop()
        while loop.time() < 7_203:
            await world.invoke(of=ONE)
        await asyncio.sleep(1)
        assert kinds(world).count("on-demand") == 2
        assert kinds(world).count("provisioned-concurrency") == 2
        assert world.pool.allocation(OTHER, 1) == ready(1)

    World(FakeScript(on_event=slow)).run(story)


def test_credentials_stay_young_under_provisioned_concurrency_of_days() -> None:
    async def story(world: World) -> None:
        world.pool.provision([(ONE, 1)])
        for _ in range(24):
            known = len(world.minted)
            await asyncio.sleep(2 * 3600 + 60)
            assert len(world.minted) > known, "nobody has the keys of the environment before"
            assert world.pool.allocation(ONE, 1) == ready(1)
        assert len(world.minted) - len(world.revoked) == 1

    World().run(story)
