"""A version whose environments come out of a snapshot, on scripted sandboxes."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from harness.environments import World, function
from squib.environment.driver import End, EndCause
from squib.environment.drivers.fake_script import (
    Exit,
    FakeScript,
    Next,
    Snapshot,
    Step,
    Wait,
)
from squib.model.function import FunctionKey

ONE = function(version="1", snap_start="PublishedVersions", runtime="python3.12")
OTHER = msgspec.structs.replace(
    ONE, key=FunctionKey(ONE.key.account_id, ONE.key.region, "other"), content_id="content-2"
)
CRASH = Exit(End(cause=EndCause.SIGNALED, status=11))


def script(
    *before: Step, refusal: str | None = None, on_clone: Any = None, clones: bool = True, **more: Any
) -> FakeScript:
    """A runtime that takes a second to initialize, and what its clones do."""
    steps = (*before, Wait(1.0), Snapshot(refusal), Next())
    return FakeScript(
        clones=clones,
        on_start=lambda count: steps,
        on_clone=on_clone or (lambda count: (Wait(0.004), Next())),
        **more,
    )


def story(body: Callable[[World], Any], script: FakeScript, **options: Any) -> World:
    return World(script, **options).run(body)


def streams(world: World) -> list[list[str]]:
    """The first words of each event, by stream."""
    return [[line.split(" ")[0] for line in stream.lines] for stream in world.logs.streams.values()]


def kinds(world: World) -> list[tuple[bool, str]]:
    return [(one.is_template, one.variables["AWS_LAMBDA_INITIALIZATION_TYPE"]) for one in world.driver.specs]


async def now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000
