"""Looking at what is due, and at nothing else."""

import asyncio
import random
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from harness.environments import LoopClock, VirtualLoop
from squib.environment.sweeper import NEVER, Sweeper


class Thing:
    """Is looked at every `period_ms`, or once."""

    def __init__(self, period_ms: float = NEVER) -> None:
        self.due_at_ms = NEVER
        self.period_ms = period_ms
        self.looked_at_ms: list[float] = []


def look(thing: Thing, now_ms: float) -> float:
    thing.looked_at_ms.append(now_ms)
    return now_ms + thing.period_ms


def run(story: Callable[[Sweeper[Thing]], Coroutine[Any, Any, None]]) -> None:
    async def tell() -> None:
        sweeper = Sweeper[Thing](LoopClock(), asyncio.get_running_loop(), look)
        await story(sweeper)
        sweeper.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(tell())


def test_each_is_looked_at_in_its_time_and_nothing_else_is() -> None:
    async def story(sweeper: Sweeper[Thing]) -> None:
        often, once, never = Thing(10.0), Thing(), Thing()
        sweeper.due(often, 10.0)
        sweeper.due(once, 25.0)
        await asyncio.sleep(0.0455)
        assert [round(at_ms) for at_ms in often.looked_at_ms] == [10, 20, 30, 40]
        assert [round(at_ms) for at_ms in once.looked_at_ms] == [25]
        assert never.looked_at_ms == []

    run(story)


def test_an_earlier_time_counts_and_a_later_one_does_not() -> None:
    async def story(sweeper: Sweeper[Thing]) -> None:
        thing = Thing()
        for at_ms in (500.0, 900.0, 20.0, 300.0):
            sweeper.due(thing, at_ms)
        await asyncio.sleep(2)
        assert [round(at_ms) for at_ms in thing.looked_at_ms] == [20]
        assert thing.due_at_ms == NEVER

    run(story)


def test_what_is_forgotten_is_not_looked_at_unless_it_is_asked_for_again() -> None:
    async def story(sweeper: Sweeper[Thing]) -> None:
        thing = Thing()
        sweeper.due(thing, 20.0)
        sweeper.forget(thing)
        sweeper.forget(thing)
        await asyncio.sleep(0.1)
        assert thing.looked_at_ms == []
        sweeper.due(thing, 150.0)
        await asyncio.sleep(0.1)
        assert [round(at_ms) for at_ms in thing.looked_at_ms] == [150]

    run(story)


def test_one_that_fails_does_not_keep_the_others_waiting() -> None:
    async def story(sweeper: Sweeper[Thing]) -> None:
        broken, fine = Thing(), Thing(10.0)
        broken.looked_at_ms = None  # type: ignore[assignment]  # `look` stumbles over it
        sweeper.due(broken, 10.0)
        sweeper.due(fine, 10.0)
        await asyncio.sleep(0.035)
        assert [round(at_ms) for at_ms in fine.looked_at_ms] == [10, 20, 30]

    run(story)


def test_outdated_entries_do_not_pile_up() -> None:
    async def story(sweeper: Sweeper[Thing]) -> None:
        things = [Thing() for _ in range(10)]
        for step in range(10_000):
            thing = things[step % 10]
            sweeper.due(thing, 900_000.0 - step)
        assert len(sweeper._heap) < 200
        for thing in things:
            sweeper.forget(thing)
        assert len(sweeper._heap) <= 64

    run(story)


def test_everybody_is_looked_at_no_later_than_the_earliest_time_asked_for() -> None:
    async def story(sweeper: Sweeper[Thing]) -> None:
        chance = random.Random(5)
        things = [Thing() for _ in range(50)]
        wanted: dict[Thing, float] = {}
        clock = LoopClock()
        for _ in range(3_000):
            thing = chance.choice(things)
            if wanted.get(thing, NEVER) <= clock.monotonic_ms():
                assert thing.looked_at_ms and thing.looked_at_ms[-1] >= wanted.pop(thing)
            if chance.random() < 0.1:
                sweeper.forget(thing)
                wanted.pop(thing, None)
            else:
                at_ms = clock.monotonic_ms() + chance.choice((1, 10, 1_000, 100_000)) * chance.random()
                sweeper.due(thing, at_ms)
                wanted[thing] = min(at_ms, wanted.get(thing, NEVER))
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() / 100)
        await asyncio.sleep(200)
        assert all(thing.looked_at_ms[-1] >= at_ms for thing, at_ms in wanted.items())
        assert all(thing.due_at_ms == NEVER for thing in things)

    run(story)


def test_who_is_forgotten_is_not_kept_alive() -> None:
    async def story(sweeper: Sweeper[Thing]) -> None:
        thing = Thing()
        for at_ms in (900_000.0, 800_000.0, 700_000.0):
            sweeper.due(thing, at_ms)
        sweeper.forget(thing)
        reference = weakref.ref(thing)
        del thing
        assert reference() is None

    run(story)
