"""The pool on scripted sandboxes: reuse, waiting, eviction, retiring, freezing, closing."""

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.environments import World, function
from squib.environment.drivers.fake_script import FakeEvent, FakeScript, Next, Respond, Step, Wait
from squib.model.errors import PlatformError, ServiceUnavailable, TooManyRequests
from squib.model.function import FunctionKey
from squib.model.invocation import InvokeOutcome, Succeeded
from squib.scheduler.parameters import LOG_END_AFTER_MS


def payload(outcome: InvokeOutcome) -> bytes:
    assert isinstance(outcome, Succeeded), outcome
    return outcome.payload


def slow(event: FakeEvent) -> Iterable[Step]:
    return (Wait(1.0), Respond(), Next())


async def together(world: World, *payloads: bytes) -> list[InvokeOutcome]:
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(world.invoke(one)) for one in payloads]
    return [one.result() for one in waiting]


def test_first_invocation_starts_an_environment_and_the_next_reuses_it() -> None:
    async def story(world: World) -> None:
        assert payload(await world.invoke(b"1")) == b"1"
        assert payload(await world.invoke(b"2")) == b"2"
        assert len(world.driver.specs) == 1
        assert world.states() == ["idle"]

    world = World().run(story)
    assert world.lines[1:] == ["START", "END", "REPORT", "START", "END", "REPORT"]
    assert world.lines[0].startswith("INIT_START Runtime Version: python:3.11\t")


def test_idle_environment_is_taken_without_waiting_for_the_loop() -> None:
    async def story(world: World) -> None:
        got: list[object] = []
        assert not world.pool.try_invoke(world.invocation(), got.append)
        await world.invoke()
        assert world.pool.try_invoke(world.invocation(b"now"), got.append)
        while not got:
            await asyncio.sleep(0)
        assert isinstance(got[0], Succeeded) and got[0].payload == b"now"

    World().run(story)


def test_concurrent_invocations_get_an_environment_each() -> None:
    async def story(world: World) -> None:
        outcomes = await together(world, b"1", b"2", b"3")
        assert [payload(one) for one in outcomes] == [b"1", b"2", b"3"]
        assert len(world.driver.specs) == 3
        assert asyncio.get_running_loop().time() < 1.1

    World(FakeScript(on_event=slow)).run(story)


def test_waiting_invocation_takes_what_is_free_first() -> None:
    """One environment answers within 1 s, a new one would take 2 s to start: the freed one serves."""

    async def story(world: World) -> None:
        await world.invoke(b"0")
        world.script.create_delay_s = 2.0
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        await together(world, b"1", b"2")
        assert loop.time() - started_s < 2.1
        await asyncio.sleep(3)
        assert world.states() == ["idle", "idle"]  # the one started for it stays
        assert len(world.driver.specs) == 2

    World(FakeScript(on_event=slow)).run(story)


def test_most_recently_used_environment_is_reused() -> None:
    async def story(world: World) -> None:
        await together(world, b"1", b"2")
        await asyncio.sleep(5)
        for _ in range(3):
            await world.invoke()
        idle = sorted(view.idle_ms for view in world.pool.snapshot())
        assert idle[0] < 10 and idle[1] > 3000

    World(FakeScript(on_event=slow)).run(story)


def test_at_the_limit_invocations_wait_for_their_version_and_others_are_refused() -> None:
    other = function(key=FunctionKey(function().key.account_id, function().key.region, "other"),
                     content_id="content-2")  # fmt: skip

    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(world.invoke(b"%d" % n)) for n in range(5)]
            await asyncio.sleep(0.5)
            with pytest.raises(TooManyRequests) as refused:
                await world.invoke(of=other)
            assert refused.value.reason == "ConcurrentInvocationLimitExceeded"
        assert [payload(one.result()) for one in waiting] == [b"0", b"1", b"2", b"3", b"4"]
        assert len(world.driver.specs) == 2
        assert 2.9 < asyncio.get_running_loop().time() < 3.1

    World(FakeScript(on_event=slow), max_environments=2).run(story)


def test_at_the_limit_the_environment_longest_unused_makes_room() -> None:
    functions = [
        function(key=FunctionKey(function().key.account_id, function().key.region, name), content_id=name)
        for name in ("a", "b", "c")
    ]

    async def story(world: World) -> None:
        for one in functions:
            await world.invoke(of=one)
            await asyncio.sleep(1)
        arns = [view.function_arn.rsplit(":", 1)[1] for view in world.pool.snapshot()]
        assert arns == ["b", "c"]

    World(max_environments=2).run(story)


def test_new_revision_gets_new_environments_and_the_old_ones_end() -> None:
    newer = function(content_id="content-2")

    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as tasks:
            busy = tasks.create_task(world.invoke(b"old"))
            await asyncio.sleep(0.5)
            tasks.create_task(world.invoke(b"new", of=newer))
        assert payload(busy.result()) == b"old"
        await asyncio.sleep(0.1)
        assert world.states() == ["idle"]

    World(FakeScript(on_event=slow)).run(story)


def test_retired_function_ends_idle_environments_now_and_busy_ones_after_their_invocation() -> None:
    async def story(world: World) -> None:
        await together(world, b"1", b"2")
        async with asyncio.TaskGroup() as tasks:
            busy = tasks.create_task(world.invoke(b"3"))
            await asyncio.sleep(0.5)
            world.pool.retire(lambda _: False)
            await asyncio.sleep(0.1)
            assert world.states() == ["busy"]
        assert payload(busy.result()) == b"3"
        await asyncio.sleep(0.1)
        assert world.states() == []
        assert world.pool.in_use() == set()

    World(FakeScript(on_event=slow)).run(story)


def test_retiring_keeps_what_is_current() -> None:
    async def story(world: World) -> None:
        await world.invoke()
        world.pool.retire(lambda version: version.content_id == "content-1")
        assert world.states() == ["idle"]

    World().run(story)


def test_invocation_that_waits_while_its_version_is_retired_is_still_served() -> None:
    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(world.invoke(b"1"))
            await asyncio.sleep(0.5)
            world.pool.retire(lambda _: False)
        assert payload(waiting.result()) == b"1"
        await asyncio.sleep(0.1)
        assert world.states() == []

    World(FakeScript(create_delay_s=1.0)).run(story)


def test_idle_environment_is_frozen_and_thawed_for_the_next_invocation() -> None:
    async def story(world: World) -> None:
        await world.invoke()
        await asyncio.sleep(0.009)
        assert world.sandbox.calls == []
        await asyncio.sleep(0.002)
        assert world.sandbox.calls == ["freeze"]
        assert world.pool.snapshot()[0].is_frozen
        await asyncio.sleep(5)
        await world.invoke()
        assert world.sandbox.calls == ["freeze", "thaw"]

    World(freeze_after_ms=10).run(story)


def test_back_to_back_invocations_are_never_frozen_between() -> None:
    async def story(world: World) -> None:
        for _ in range(20):
            await world.invoke()
            await asyncio.sleep(0.005)
        assert world.sandbox.calls == []

    World(freeze_after_ms=10).run(story)


def test_runtime_that_goes_on_working_after_its_answer_is_frozen_when_its_time_is_over() -> None:
    def lingering(event: FakeEvent) -> Iterable[Step]:
        return (Respond(), Wait(100.0), Next())

    async def story(world: World) -> None:
        await world.invoke()
        await asyncio.sleep(2.5)
        assert world.sandbox.calls == []
        await asyncio.sleep(1.0)
        assert world.sandbox.calls == ["freeze"]

    World(FakeScript(on_event=lingering)).run(story)


def test_environment_expires_after_its_idle_time() -> None:
    async def story(world: World) -> None:
        await world.invoke()
        await asyncio.sleep(899)
        assert world.states() == ["idle"]
        await asyncio.sleep(2)
        assert world.states() == []

    World(idle_expiry_s=900).run(story)


def test_end_and_report_are_written_soon_however_late_environments_are_frozen() -> None:
    async def story(world: World) -> None:
        await world.invoke()
        await asyncio.sleep((LOG_END_AFTER_MS + 1) / 1000)
        assert world.lines[-2:] == ["END", "REPORT"]

    World(freeze_after_ms=100_000).run(story)


def test_failing_start_is_told_to_the_one_who_waits_and_leaves_nothing() -> None:
    async def story(world: World) -> None:
        with pytest.raises(PlatformError, match="no room"):
            await world.invoke()
        await asyncio.sleep(0)
        assert world.states() == []
        world.script.create_error = None
        assert payload(await world.invoke(b"1")) == b"1"

    World(FakeScript(create_error=PlatformError("no room"))).run(story)


def test_cancelled_caller_leaves_the_queue_and_a_running_invocation_goes_on() -> None:
    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(world.invoke(b"1"))
            waiting = tasks.create_task(world.invoke(b"2"))
            await asyncio.sleep(0.5)
            running.cancel()
            waiting.cancel()
        await asyncio.sleep(5)
        assert world.states() == ["idle"]
        assert payload(await world.invoke(b"3")) == b"3"
        assert [line for line in world.lines if line == "START"] == ["START", "START"]

    World(FakeScript(on_event=slow), max_environments=1).run(story)


def test_closing_lets_running_invocations_end_and_takes_no_more() -> None:
    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(world.invoke(b"1"))
            await asyncio.sleep(0.5)
            closing = tasks.create_task(world.pool.close(10))
            await asyncio.sleep(0.1)
            with pytest.raises(ServiceUnavailable):
                await world.invoke(b"2")
            assert not closing.done()
        assert payload(running.result()) == b"1"
        assert world.states() == []

    World(FakeScript(on_event=slow)).run(story)


def test_closing_ends_what_does_not_end_in_time() -> None:
    async def story(world: World) -> None:
        async def doomed(content: bytes) -> None:
            with pytest.raises(ServiceUnavailable):
                await world.invoke(content)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(doomed(b"running"))
            await asyncio.sleep(0.5)
            tasks.create_task(doomed(b"waiting"))
            await asyncio.sleep(0.1)
            await world.pool.close(0.2)

    world = World(FakeScript(on_event=lambda event: (Wait(2.0), Respond())), max_environments=1).run(story)
    assert world.lines[1:] == ["START", "", "END", "REPORT"] or "REPORT" in world.lines


PLANS = st.lists(
    st.tuples(
        st.floats(0, 3),  # when
        st.sampled_from(["a", "b", "c"]),  # which function
        st.sampled_from(["invoke", "invoke", "invoke", "update", "delete"]),
    ),
    max_size=25,
)


@given(PLANS, st.integers(1, 4), st.booleans())
@settings(max_examples=40, deadline=None)
def test_whatever_happens_every_invocation_ends_once_and_nothing_is_left(
    plan: list[tuple[float, str, str]], limit: int, fails: bool
) -> None:
    def behaviour(event: FakeEvent) -> Iterable[Step]:
        return (Wait(0.3), Respond(), Next())

    async def one(world: World, at_s: float, name: str, what: str, revisions: dict[str, int]) -> None:
        await asyncio.sleep(at_s)
        key = FunctionKey(function().key.account_id, function().key.region, name)
        if what == "update":
            revisions[name] = revisions.get(name, 0) + 1
        elif what == "delete":
            world.pool.retire(lambda version: version.key != key)
        else:
            version = function(key=key, content_id=f"{name}{revisions.get(name, 0)}")
            try:
                assert payload(await world.invoke(b"x", of=version)) == b"x"
            except TooManyRequests:
                pass
            except PlatformError:
                assert fails

    async def story(world: World) -> None:
        revisions: dict[str, int] = {}
        async with asyncio.TaskGroup() as tasks:
            for at_s, name, what in plan:
                tasks.create_task(one(world, at_s, name, what, revisions))
            if fails:
                await asyncio.sleep(1)
                world.script.create_error = PlatformError("disk full")
                await asyncio.sleep(1)
                world.script.create_error = None
        assert len(world.pool.snapshot()) <= limit
        assert set(world.states()) <= {"idle"}

    World(FakeScript(on_event=behaviour, create_delay_s=0.05), max_environments=limit).run(story)


def test_one_environment_can_have_the_daemon_hold_little_more_than_its_greatest_request() -> None:
    async def story(world: World) -> None:
        limits = world.pool._surroundings.endpoint_limits
        assert limits.max_body_bytes < limits.max_held_bytes <= limits.max_body_bytes + (8 << 20)
        assert limits.max_connections <= 64

    World().run(story)
