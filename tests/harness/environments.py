"""A pool of environments on scripted sandboxes, in a time that passes only while everything waits."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import msgspec

from squib.environment.drivers.fake import FakeDriver, FakeSandbox
from squib.environment.drivers.fake_script import FakeScript
from squib.environment.pool import Pool
from squib.environment.pool_options import PoolOptions
from squib.environment.tracing.tracer import Tracer
from squib.http.exchange import Exchange
from squib.invoke.tracing import Tracing
from squib.model.function import CodeRef, FunctionKey, FunctionVersion, LoggingConfig, State
from squib.model.identity import AccessKey, root_principal
from squib.model.invocation import Invocation, InvokeOutcome
from squib.model.log import LogGroupKey
from squib.model.segment import Segment
from squib.model.units import (
    AccountId,
    ArchiveDigest,
    EnvironmentId,
    EpochMs,
    MonotonicMs,
    Region,
    RequestId,
)
from squib.store.meter import Meter

ACCOUNT = AccountId("000000000000")
REGION = Region("us-east-1")
START_MS = 1_769_862_896_000


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]  # the base class's own
        select = selector.select

        def skip(timeout: float | None) -> Any:
            ready = select(0)
            if not ready:
                assert timeout is not None, "nothing will ever happen again"
                self._virtual_now += max(timeout, 0)
            return ready

        selector.select = skip

    def time(self) -> float:
        return self._virtual_now


class LoopClock:
    """The loop's time as both clocks."""

    def now_ms(self) -> EpochMs:
        return EpochMs(START_MS + round(self.monotonic_ms()))

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(asyncio.get_running_loop().time() * 1000)


class CountingEntropy:
    """Ids that count."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def draw(self) -> float:
        return 0.5

    def request_id(self) -> RequestId:
        return RequestId(f"00000000-0000-4000-8000-{next(self._numbers):012x}")

    def environment_id(self) -> EnvironmentId:
        return EnvironmentId(f"{next(self._numbers):032x}")

    def noise(self, size_bytes: int) -> bytes:
        return self.token(size_bytes)

    def token(self, size_bytes: int) -> bytes:
        return bytes(size_bytes)


class MemoryWriter:
    """One log stream in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[EpochMs, str]] = []
        self.is_closed = False

    def append(self, timestamp_ms: EpochMs, message: str) -> None:
        assert not self.is_closed
        self.events.append((timestamp_ms, message))

    def close(self) -> None:
        self.is_closed = True

    @property
    def lines(self) -> list[str]:
        """The first words of each event: enough to see the order."""
        return [message.split(" RequestId")[0].rstrip("\n") for _, message in self.events]


class MemoryLogs:
    """Streams by name. Only what a pool needs of `store.base.Logs`."""

    def __init__(self) -> None:
        self.streams: dict[str, MemoryWriter] = {}

    def open_stream(
        self, group: LogGroupKey, stream: str, *, now_ms: EpochMs, makes_group: bool = True
    ) -> MemoryWriter:
        return self.streams.setdefault(stream, MemoryWriter())


async def code_lies_ready(version: FunctionVersion) -> None:
    """For pools whose functions were never packed."""


def function(**changes: Any) -> FunctionVersion:
    """A function version; `changes` by field name."""
    base = FunctionVersion(
        key=FunctionKey(ACCOUNT, REGION, "f"),
        created_at_ms=EpochMs(0),
        modified_at_ms=EpochMs(0),
        revision_id="revision-1",
        content_id="content-1",
        runtime="python3.11",
        handler="app.handler",
        role_arn="arn:aws:iam::000000000000:role/r",
        code=CodeRef(digest=ArchiveDigest("0" * 64), size_bytes=1),
        timeout_s=3,
        logging=LoggingConfig(log_group="/aws/lambda/f"),
        state=State.ACTIVE,
    )
    return msgspec.structs.replace(base, **changes)


class World:
    """A pool on a FakeDriver. `run` gives it a loop, closes it, and checks that nothing is left."""

    def __init__(
        self, script: FakeScript | None = None, *, extensions: tuple[str, ...] = (), **options: Any
    ) -> None:
        """`extensions`: of every function."""
        self.extensions = extensions
        self.script = script or FakeScript()
        self.driver = FakeDriver(self.script)
        self.logs = MemoryLogs()
        self.entropy = CountingEntropy()
        self.minted: list[str] = []
        self.revoked: list[str] = []
        self.meter = Meter()
        self.segments: list[dict[str, Any]] = []
        """What was written of traced invocations."""
        self.tracer = Tracer(self._keep, lambda function: True, LoopClock(), self.entropy)
        self.tracing = Tracing(self.tracer, self.entropy)
        self._options = PoolOptions(**options)
        self.pool: Pool

    def run(self, story: Callable[["World"], Coroutine[Any, Any, None]]) -> "World":
        """Runs the story with the pool running."""
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(self._run(story))
        assert sorted(self.minted) == sorted(self.revoked), "credentials outlived their environment"
        assert all(stream.is_closed for stream in self.logs.streams.values())
        assert self.driver.sandboxes == []
        return self

    async def _run(self, story: Callable[["World"], Coroutine[Any, Any, None]]) -> None:
        logs: Any = self.logs
        self.pool = Pool(
            driver=self.driver,
            ensure_code=code_lies_ready,
            logs=logs,
            clock=LoopClock(),
            entropy=self.entropy,
            mint=self._mint,
            revoke=self.revoked.append,
            endpoint=lambda exchange: Exchange.respond(exchange, 204, ()),
            extensions=lambda function: self.extensions,
            meter=self.meter,
            tracer=self.tracer,
            options=self._options,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pool.run())
            await asyncio.sleep(0)
            await story(self)
            await self.pool.close(60)

    def _keep(self, account_id: AccountId, region: Region, segment: Segment) -> bool:
        self.segments.append(json.loads(segment.document))
        return True

    def _mint(self, function: FunctionVersion, environment_id: EnvironmentId) -> AccessKey:
        self.minted.append(f"ASIA{environment_id}")
        return AccessKey(
            access_key_id=self.minted[-1],
            secret_access_key="secret",
            session_token="token",
            principal=root_principal(ACCOUNT),
        )

    def invocation(
        self, payload: bytes = b"{}", of: FunctionVersion | None = None, **more: Any
    ) -> Invocation:
        """A fresh invocation."""
        version = of or function()
        return Invocation(
            request_id=self.entropy.request_id(),
            function=version,
            invoked_arn=version.key.arn(),
            payload=payload,
            trace_id="Root=1-0-0;Parent=0;Sampled=0",
            received_at_ms=LoopClock().now_ms(),
            **more,
        )

    async def invoke(
        self, payload: bytes = b"{}", of: FunctionVersion | None = None, **more: Any
    ) -> InvokeOutcome:
        """Invokes and waits."""
        return await self.pool.invoke(self.invocation(payload, of, **more))

    @property
    def sandbox(self) -> FakeSandbox:
        """The one sandbox there is."""
        (one,) = self.driver.sandboxes
        return one

    @property
    def lines(self) -> list[str]:
        """What the one log stream holds, shortened."""
        (stream,) = self.logs.streams.values()
        return stream.lines

    def events(self) -> list[str]:
        """What the one log stream holds, whole."""
        (stream,) = self.logs.streams.values()
        return [message for _, message in stream.events]

    def states(self) -> list[str]:
        """The state of each environment."""
        return [view.state for view in self.pool.snapshot()]
