"""Leases and environments whatever functions do, however they are called, and whatever is set meanwhile.

No lease leaks, none is given back twice, no limit is passed, no environment is left.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.asynchronous import F, Scene, play
from harness.environments import ACCOUNT, REGION, LoopClock, function
from squib.environment.drivers.fake_script import Exit, Fail, FailInit, FakeEvent, Next, Respond, Step, Wait
from squib.event_sources.sender import Sender
from squib.invoke.resolve import Resolver
from squib.model.concurrency import RESERVED_CONCURRENCY, ReservedConcurrency
from squib.model.errors import PlatformError, SquibError, TooManyRequests
from squib.model.event_source import EventSourceMapping, SourceKind
from squib.model.function import VERSIONS, version_key
from squib.model.units import EpochMs

LIMIT = 5
ONE = function(version="1")
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
DOES: dict[str, Callable[[FakeEvent], Iterable[Step]]] = {
    "respond": lambda event: (Respond(), Next()),
    "take a while": lambda event: (Wait(1.0), Respond(), Next()),
    "fail": lambda event: (Fail("ValueError", b"{}"), Next()),
    "crash": lambda event: (Exit(),),
    "crash later": lambda event: (Wait(0.7), Exit()),
    "hang": lambda event: (),
    "die after the answer": lambda event: (Respond(), Exit()),
}
STARTS: dict[str, Callable[[int], Iterable[Step]]] = {
    "well": lambda count: (Next(),),
    "slowly": lambda count: (Wait(2.0), Next()),
    "with a crash": lambda count: (Wait(0.2), Exit()),
    "with a crash at first": lambda count: (Exit(),) if count == 1 else (Next(),),
    "with an error": lambda count: (FailInit("Runtime.ImportModuleError", b"{}"), Exit()),
    "never": lambda count: (),
}
WAYS = ("call", "event", "batch")
STEPS = st.one_of(
    st.tuples(st.sampled_from(WAYS), st.sampled_from(("$LATEST", "1"))),
    st.tuples(st.just("do"), st.sampled_from(list(DOES))),
    st.tuples(st.just("start"), st.sampled_from(list(STARTS))),
    st.tuples(st.just("break the machine"), st.booleans()),
    st.tuples(st.just("provision"), st.integers(0, 3)),
    st.tuples(st.just("reserve"), st.sampled_from((None, 3, 5))),
    st.tuples(st.just("replace"), st.none()),
    st.tuples(st.just("pass"), st.sampled_from((0.0, 0.1, 1.5, 40.0))),
)


class Life:
    """Carries steps out on a scene."""

    def __init__(self, scene: Scene, tasks: asyncio.TaskGroup) -> None:
        self.scene, self._tasks = scene, tasks
        self._reserved: int | None = None
        self._provisioned = 0
        self._count = 0
        store: Any = scene.store
        scene.store.put(VERSIONS, version_key(F, "1"), ONE)
        world = scene.world
        self._sender = Sender(
            Resolver.of(store, world.entropy.draw),
            scene.admission,
            world.pool,
            world.meter,
            lambda key: False,
            world.tracing,
            LoopClock(),
            world.entropy,
        )

    async def take(self, step: str, what: Any) -> None:
        """One of STEPS."""
        world = self.scene.world
        self._count += 1
        if step == "do":
            world.script.on_event = DOES[what]
        elif step == "start":
            world.script.on_start = STARTS[what]
        elif step == "break the machine":
            world.script.create_error = PlatformError("out of order") if what else None
        elif step == "provision":
            self._provisioned = what
            self.settle()
        elif step == "reserve":
            self._reserved = what
            self.settle()
        elif step == "replace":
            world.pool.retire(lambda version: version == ONE)
        elif step == "pass":
            await asyncio.sleep(what)
        else:
            await self._invoke(step, None if what == "$LATEST" else what)
        self.check()

    def settle(self) -> None:
        """As the loops that follow the store would, when something was set."""
        reserved = {} if self._reserved is None else {F: self._reserved}
        provisioned = {(F, "1"): self._provisioned} if self._provisioned else {}
        if self._reserved is None:
            self.scene.store.put(RESERVED_CONCURRENCY, F, None)
        else:
            value = ReservedConcurrency(function=F, executions=self._reserved)
            self.scene.store.put(RESERVED_CONCURRENCY, F, value)
        self.scene.ledger.settle(reserved, provisioned)
        self.scene.world.pool.provision([(ONE, self._provisioned)] if self._provisioned else [])

    def check(self) -> None:
        """What holds at any moment."""
        in_flight = self.scene.ledger.in_flight(ACCOUNT, REGION)
        working = [one for one in self.scene.world.states() if one in ("busy", "reinit", "finishing")]
        assert len(working) <= in_flight <= LIMIT
        assert self.scene.world.pool.allocation(ONE, self._provisioned).allocated_count <= self._provisioned

    async def _invoke(self, way: str, qualifier: str | None) -> None:
        payload = b"%d" % self._count
        if way == "event":
            await self.scene.hand_in(payload, qualifier=qualifier)
        elif way == "batch":
            self._tasks.create_task(self._send(qualifier))
        else:
            self._tasks.create_task(self._call(payload, qualifier))

    async def _send(self, qualifier: str | None) -> None:
        mapping = msgspec.structs.replace(MAPPING, qualifier=qualifier)
        await self._sender.send(mapping, b"{}", None)

    async def _call(self, payload: bytes, qualifier: str | None) -> None:
        scene = self.scene
        version = ONE if qualifier else function()
        try:
            with scene.admission.lease(F, version.version):
                await scene.world.invoke(payload, of=version)
        except SquibError:
            return


@settings(deadline=None, max_examples=60)
@given(st.lists(STEPS, max_size=40))
def test_no_lease_leaks_and_no_limit_is_passed_whatever_happens(steps: list[tuple[str, Any]]) -> None:
    async def story(scene: Scene) -> None:
        async with asyncio.TaskGroup() as tasks:
            life = Life(scene, tasks)
            for step, what in steps:
                await life.take(step, what)
        await life.take("do", "respond")
        await life.take("start", "well")
        await life.take("break the machine", False)
        await asyncio.sleep(7 * 3_600)  # events have ended, and attempts to initialize gone on
        life.check()
        assert scene.ledger.in_flight(ACCOUNT, REGION) == 0
        assert scene.events.rows == {}
        wanted = life._provisioned
        assert scene.world.pool.allocation(ONE, wanted).allocated_count == wanted
        await life.take("provision", 0)
        await life.take("reserve", None)
        leases = [scene.admission.take(F) for _ in range(LIMIT)]  # as many as ever
        with pytest.raises(TooManyRequests):
            scene.admission.take(F)
        for lease in leases:
            lease.release()

    play(story, limit=LIMIT)
