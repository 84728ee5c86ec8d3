"""Peaks reach the meter: of a function, of its region, of a version."""

import asyncio

from harness.environments import ACCOUNT, REGION, LoopClock, World, function
from squib.environment.drivers.fake_script import Next, Respond, Wait
from squib.invoke.concurrency_watch import ConcurrencyWatch
from squib.model.usage import SeriesKey
from squib.scheduler.concurrency import ConcurrencyLedger, Share


def test_the_most_that_ran_at_once_is_noted_once() -> None:
    async def story(world: World) -> None:
        ledger = ConcurrencyLedger()
        watch = ConcurrencyWatch(ledger.take_peaks, world.pool.take_use, world.meter, LoopClock())
        leases = [ledger.lease(function().key, now_ms=0) for _ in range(3)]
        for lease in leases[:2]:
            assert isinstance(lease, Share)
            lease.release()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(world.invoke())
        watch.note()
        taken = {series: tally for (series, _), tally in world.meter.take().items()}
        key = SeriesKey(ACCOUNT, REGION, "f", "", "")
        assert taken[key].others["ConcurrentExecutions"].most == 300
        region = taken[key._replace(function="")].others
        assert region["ConcurrentExecutions"].most == region["UnreservedConcurrentExecutions"].most == 300
        assert taken[key._replace(version="$LATEST")].peak == 3
        watch.note()
        again = {series: tally for (series, _), tally in world.meter.take().items()}
        assert again[key].others["ConcurrentExecutions"].most == 100
        assert key._replace(version="$LATEST") not in again

    world = World()
    world.driver.script.on_event = lambda event: (Wait(100), Respond(b"1"), Next())
    world.run(story)
