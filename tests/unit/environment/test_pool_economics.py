"""What the pool does not start, and what it ends when memory is short."""

import asyncio
from collections.abc import Iterable

import pytest

from harness.environments import World, function
from squib.environment.drivers.fake_script import FakeEvent, FakeScript, Next, Respond, Step, Wait
from squib.model.errors import TooManyRequests
from squib.model.function import FunctionKey, FunctionVersion
from squib.model.invocation import Succeeded
from squib.scheduler.parameters import MAX_BEING_MADE

MIB = 1 << 20


def slow(event: FakeEvent) -> Iterable[Step]:
    return (Wait(1.0), Respond(), Next())


def named(name: str) -> FunctionVersion:
    one = function()
    return function(key=FunctionKey(one.key.account_id, one.key.region, name), content_id=name)


def names(world: World) -> list[str]:
    return sorted(view.function_arn.rsplit(":", 1)[1] for view in world.pool.snapshot())


async def burst(world: World, count: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(world.invoke(b"%d" % number)) for number in range(count)]
    assert all(isinstance(one.result(), Succeeded) for one in running)


def test_environments_that_are_free_make_those_needless_that_are_not_begun() -> None:
    async def story(world: World) -> None:
        await burst(world, 10 * MAX_BEING_MADE)
        assert len(world.driver.specs) <= 2 * MAX_BEING_MADE

    World(FakeScript(create_delay_s=0.1)).run(story)


def test_all_that_are_needed_are_started_though_few_are_made_at_once() -> None:
    async def story(world: World) -> None:
        await burst(world, 100)
        assert len(world.driver.specs) == 100
        assert asyncio.get_running_loop().time() < 1.0 + 0.1 * (100 / MAX_BEING_MADE + 1)

    World(FakeScript(create_delay_s=0.1, on_event=slow)).run(story)


def test_a_thousand_environments_in_ten_seconds_and_then_a_hundred_a_second() -> None:
    async def story(world: World) -> None:
        refused: list[TooManyRequests] = []

        async def call() -> None:
            try:
                await world.invoke(b"x")
            except TooManyRequests as error:
                refused.append(error)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(1_200):
                tasks.create_task(call())
        assert len(refused) == 200
        assert refused[0].headers == {"Retry-After": "1"}
        assert len(world.driver.specs) == 1_000

    World(FakeScript(on_event=slow), max_environments=5_000).run(story)


def test_short_of_memory_the_environment_longest_unused_makes_room() -> None:
    async def story(world: World) -> None:
        for name in ("a", "b", "c"):
            await world.invoke(of=named(name))
            await asyncio.sleep(1)
        assert names(world) == ["a", "b", "c"]
        await world.invoke(of=named("d"))
        await asyncio.sleep(1)
        assert names(world) == ["b", "c", "d"]

    World(FakeScript(memory_bytes=30 * MIB), memory_budget_bytes=100 * MIB).run(story)


def test_without_memory_an_invocation_waits_for_its_own_or_is_refused() -> None:
    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(world.invoke(b"x", of=named("a"))) for _ in range(3)]
            await asyncio.sleep(0.5)
            with pytest.raises(TooManyRequests):
                await world.invoke(of=named("b"))
        assert all(isinstance(one.result(), Succeeded) for one in running)
        assert len(world.driver.specs) == 2

    World(FakeScript(memory_bytes=40 * MIB, on_event=slow), memory_budget_bytes=16 * MIB).run(story)


def test_environments_that_have_grown_end_when_they_are_idle() -> None:
    async def story(world: World) -> None:
        for name in ("a", "b", "c"):
            await world.invoke(of=named(name))
        world.script.memory_bytes = 50 * MIB
        await world.invoke(of=named("c"))
        await asyncio.sleep(1)
        assert names(world) == ["b", "c"]

    World(FakeScript(memory_bytes=10 * MIB), memory_budget_bytes=100 * MIB).run(story)


def test_nothing_is_frozen_while_the_next_request_waits() -> None:
    async def story(world: World) -> None:
        await burst(world, 20)
        assert [call for call in world.sandbox.calls if "reeze" in call or "thaw" in call] == []
        await asyncio.sleep(1)
        assert world.sandbox.calls == ["freeze"]
        await world.invoke()
        assert world.sandbox.calls == ["freeze", "thaw"]

    World(FakeScript(on_event=slow), max_environments=1).run(story)


def test_an_environment_that_is_used_without_a_pause_is_not_frozen() -> None:
    async def story(world: World) -> None:
        for _ in range(1_000):
            await world.invoke()
            await asyncio.sleep(0.005)
        assert world.sandbox.calls == []

    World().run(story)


def test_a_function_that_grows_while_it_runs_takes_memory_from_those_that_are_idle() -> None:
    async def story(world: World) -> None:
        for name in ("a", "b", "c"):
            await world.invoke(of=named(name))
        await asyncio.sleep(1)
        world.script.on_event = slow
        running = asyncio.create_task(world.invoke(of=named("c")))
        await asyncio.sleep(0.1)
        world.script.memory_bytes = 50 * MIB
        await asyncio.sleep(0.5)
        assert world.states().count("busy") == 1
        assert names(world) == ["b", "c"]
        assert isinstance(await running, Succeeded)

    World(FakeScript(memory_bytes=10 * MIB), memory_budget_bytes=100 * MIB).run(story)
