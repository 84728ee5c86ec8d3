"""Provisioned environments and the ledger, whichever way an invocation comes: it counts the same."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from harness.asynchronous import F, Scene, play
from harness.environments import ACCOUNT, REGION, LoopClock, function
from squib.environment.drivers.fake_script import FakeEvent, Next, Respond, Step, Wait
from squib.event_sources.sender import Sender, Sent
from squib.invoke.resolve import Resolver
from squib.model.event_source import EventSourceMapping, SourceKind
from squib.model.function import VERSIONS, version_key
from squib.model.metric import ONE
from squib.model.units import EpochMs
from squib.scheduler.concurrency import Share, VersionShare

ONE_VERSION = function(version="1")
MAPPING = EventSourceMapping(
    uuid="u",
    account_id=ACCOUNT,
    region=REGION,
    function=F,
    qualifier="1",
    kind=SourceKind.SQS,
    modified_at_ms=EpochMs(0),
    batch_size=1,
)


def slow(event: FakeEvent) -> Iterable[Step]:
    return (Wait(1.0), Respond(), Next())


async def provide(scene: Scene, count: int) -> None:
    """A version of F with so many environments that wait for calls."""
    scene.store.put(VERSIONS, version_key(F, "1"), ONE_VERSION)
    scene.ledger.settle({}, {(F, "1"): count})
    scene.world.meter.provisioned = frozenset({(F, "1")})
    scene.world.pool.provision([(ONE_VERSION, count)])
    await asyncio.sleep(0.5)


def sender(scene: Scene) -> Sender:
    store: Any = scene.store
    return Sender(
        Resolver.of(store, scene.world.entropy.draw),
        scene.admission,
        scene.world.pool,
        scene.world.meter,
        lambda key: False,
        scene.world.tracing,
        LoopClock(),
        scene.world.entropy,
    )


def counted(scene: Scene) -> tuple[int, int]:
    """Invocations in provisioned environments, and those that have spilled over, as the meter has them."""
    tallies = list(scene.world.meter.take().values())
    prepared = sum(tally.other("ProvisionedConcurrencyInvocations").total for tally in tallies)
    spilled = sum(tally.other("ProvisionedConcurrencySpilloverInvocations").total for tally in tallies)
    return prepared // ONE, spilled // ONE


def kinds(scene: Scene) -> list[str]:
    specs = scene.world.driver.specs
    return [spec.variables["AWS_LAMBDA_INITIALIZATION_TYPE"] for spec in specs]


def test_an_event_takes_a_provisioned_environment_and_its_lease() -> None:
    async def story(scene: Scene) -> None:
        await provide(scene, 1)
        await scene.hand_in(qualifier="1")
        await asyncio.sleep(0.5)
        another = scene.admission.take(F, "1")
        assert isinstance(another, Share), "the provisioned one is taken: this is on demand"
        another.release()
        await asyncio.sleep(5)
        again = scene.admission.take(F, "1")
        assert isinstance(again, VersionShare)
        again.release()
        assert kinds(scene) == ["provisioned-concurrency"]
        assert counted(scene) == (1, 0)

    play(story, slow)


def test_a_batch_of_an_event_source_does_too_and_what_is_too_much_spills_over() -> None:
    async def story(scene: Scene) -> None:
        await provide(scene, 1)
        own = sender(scene)
        async with asyncio.TaskGroup() as tasks:
            sendings = [tasks.create_task(own.send(MAPPING, b"{}", None)) for _ in range(2)]
        assert all(isinstance(one.result(), Sent) for one in sendings)
        assert kinds(scene) == ["provisioned-concurrency", "on-demand"]
        assert counted(scene) == (1, 1)

    play(story, slow)


def test_what_is_throttled_is_counted_whichever_way_it_came() -> None:
    async def story(scene: Scene) -> None:
        scene.reserve(1)
        lease = scene.admission.take(F)
        await scene.hand_in()
        await asyncio.sleep(0.01)
        await sender(scene).send(msgspec.structs.replace(MAPPING, qualifier=None), b"{}", None)
        tallies = scene.world.meter.take().values()
        assert sum(tally.throttles for tally in tallies) == 2
        lease.release()
        await asyncio.sleep(10)

    play(story)
