"""When one more asynchronous invocation may be begun, in virtual time on processors that are told of."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from harness.environments import World
from squib.environment.drivers.fake import FakeScript
from squib.invoke.async_pace import TICK_S, Pace, Work


class Machine:
    """Processors that are as busy as they are told to be, and who else invokes."""

    def __init__(self) -> None:
        self.idle_ratio, self.company, self.woken = 0.0, 0, 0
        self.own = 0
        self._idle = self._total = 0.0

    def work(self) -> Work:
        self._total += 1_000
        self._idle += 1_000 * self.idle_ratio
        return Work(int(self._idle), int(self._total), 0, self._total)

    def invocations(self) -> int:
        return self.company + self.own

    def wake(self) -> None:
        self.woken += 1


def play(story: Callable[[Pace, Machine], Coroutine[Any, Any, None]]) -> None:
    async def told(world: World) -> None:
        machine = Machine()
        pace = Pace(machine.invocations, processors=2, work=machine.work)
        await story(pace, machine)
        pace.stop()

    World(FakeScript()).run(told)


def test_who_waits_meets_few_of_those_that_nobody_waits_for() -> None:
    async def story(pace: Pace, machine: Machine) -> None:
        assert pace.may_begin(0)
        pace.running(1, machine.wake)
        machine.company += 1
        await asyncio.sleep(1.5 * TICK_S)
        pace.running(1, machine.wake)
        assert not pace.may_begin(1)
        pace.ended(0.001)
        assert not pace.may_begin(0), "it rests"
        machine.woken = 0
        await asyncio.sleep(0.010)
        assert (machine.woken, pace.may_begin(0)) == (1, True)

    play(story)


def test_a_rest_ends_when_nobody_waits_any_more() -> None:
    async def story(pace: Pace, machine: Machine) -> None:
        pace.running(1, machine.wake)
        machine.company += 1
        await asyncio.sleep(TICK_S)
        pace.running(1, machine.wake)
        await asyncio.sleep(0.95 * TICK_S)  # the next look is soon
        machine.idle_ratio = 0.9
        pace.ended(60)
        assert not pace.may_begin(0)
        machine.woken = 0
        await asyncio.sleep(0.06 * TICK_S)
        assert (machine.woken, pace.may_begin(0)) == (1, True)

    play(story)
