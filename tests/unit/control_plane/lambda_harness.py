"""The Lambda control plane on a real store in a temporary directory, with a clock and ids known to a test."""

import asyncio
import io
import itertools
import zipfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from squib.control_plane.lambda_ import LambdaOptions, LambdaService
from squib.environment.code_cache import CodeCache
from squib.environment.driver import RuntimeUnavailable, Sandbox, SandboxSpec, Wiring
from squib.environment.template import Taken
from squib.invoke.activation import Activation, ActivationOptions, needs_activation
from squib.model.function import VERSIONS, FunctionKey, FunctionRecord, FunctionVersion
from squib.model.identity import root_principal
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.units import AccountId, ArchiveDigest, EnvironmentId, EpochMs, MonotonicMs, Region, RequestId
from squib.store.sqlite import SqliteStore, StoreOptions, open_store

ACCOUNT = AccountId("111111111111")
REGION = Region("us-east-1")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
BASE_URL = "http://127.0.0.1:4566"
NOW_MS = EpochMs(1_767_225_600_123)  # 2026-01-01T00:00:00.123Z


def package(**files: str) -> bytes:
    """A zip of text files; `__` in a name stands for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name.replace("__", ".")), content)
    return buffer.getvalue()


CODE = package(handler__py="def handler(event, context): return event")


class TestClock:
    """Stands until it is moved."""

    __test__ = False

    def __init__(self) -> None:
        self.passed_ms = 0

    def now_ms(self) -> EpochMs:
        return EpochMs(NOW_MS + self.passed_ms)

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(self.passed_ms)


class CountingEntropy:
    """Ids in order."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def draw(self) -> float:
        return 0.5

    def request_id(self) -> RequestId:
        return RequestId(f"00000000-0000-4000-8000-{next(self._count):012x}")

    def environment_id(self) -> EnvironmentId:
        return EnvironmentId(f"{next(self._count):032x}")

    def noise(self, size_bytes: int) -> bytes:
        return self.token(size_bytes)

    def token(self, size_bytes: int) -> bytes:
        return bytes(size_bytes)


class PreparingDriver:
    """Knows some runtimes; makes no sandbox."""

    name = "preparing"
    starts_extensions = True
    clones = True

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self.broken: Exception | None = None
        self.prepared: list[str] = []
        self.before_prepare: Callable[[], Awaitable[None]] | None = None

    async def prepare(self, runtime: str) -> None:
        if self.before_prepare is not None:
            await self.before_prepare()
        if self.broken is not None:
            raise self.broken
        if runtime in self.missing:
            raise RuntimeUnavailable(self.missing[runtime])
        self.prepared.append(runtime)

    async def create(self, spec: SandboxSpec, wiring: Wiring) -> Sandbox:
        raise AssertionError("the control plane runs nothing")

    async def clone(self, template: Sandbox, environment_id: EnvironmentId, wiring: Wiring) -> Sandbox:
        raise AssertionError("the control plane runs nothing")

    async def close(self) -> None:
        pass


class ControlPlane:
    """Handlers to call, and an activation to run; an async context manager."""

    store: SqliteStore
    service: LambdaService
    cache: CodeCache
    activation: Activation

    def __init__(self, data_dir: Path, options: LambdaOptions | None = None, *, max_at_once: int = 2) -> None:
        self._max_at_once = max_at_once
        self.data_dir = data_dir
        self.clock = TestClock()
        self.entropy = CountingEntropy()
        self.driver = PreparingDriver()
        self.in_use: set[ArchiveDigest] = set()
        self.distrusting_roles: set[str] = set()
        """Roles that Lambda may not assume; all others it may."""
        self.snapshots: list[str] = []
        """Versions that a snapshot was taken of."""
        self.snapshot: Taken | Exception = None
        """What comes of the next ones."""
        self._options = options
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        store_options = StoreOptions(data_dir=self.data_dir, blob_grace_ms=0)
        self.store = await self._stack.enter_async_context(await open_store(store_options, self.clock))
        self.service = LambdaService(
            self.store, self.clock, self.entropy, self._options, trusts_lambda=self.trusts_lambda
        )
        self.cache = CodeCache(self.data_dir / "code", boot_id="boot-1")
        self._stack.push_async_callback(self.cache.close)
        self.activation = Activation(
            self.store,
            self.cache,
            self.driver,
            self.clock,
            self.entropy,
            ActivationOptions(sweep_interval_s=3600, max_at_once=self._max_at_once),
            in_use=lambda: self.in_use,
            architecture="x86_64",
            take_snapshot=self._take_snapshot,
        )
        return self

    async def _take_snapshot(self, version: FunctionVersion) -> Taken:
        self.snapshots.append(version.version)
        if isinstance(self.snapshot, Exception):
            raise self.snapshot
        return self.snapshot

    def trusts_lambda(self, role_arn: str) -> bool:
        return role_arn not in self.distrusting_roles

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def call(
        self, operation: str, *, region: Region = REGION, account_id: AccountId = ACCOUNT, **given: Any
    ) -> OperationResult:
        """Calls a handler as the gateway would, for the account's root."""
        return await self.service.handlers()[operation](
            AuthorizedCall(
                service="lambda",
                operation=operation,
                input=given,
                principal=root_principal(account_id),
                access_key_id="AKIDEXAMPLE",
                account_id=account_id,
                region=region,
                request_id=RequestId("0"),
                received_at_ms=self.clock.now_ms(),
                base_url=BASE_URL,
            )
        )

    async def create(self, name: str = "f", code: bytes = CODE, **given: Any) -> OperationResult:
        """CreateFunction with what it needs."""
        options = {"Runtime": "python3.12", "Handler": "handler.handler", "Role": ROLE, **given}
        return await self.call("CreateFunction", FunctionName=name, Code={"ZipFile": code}, **options)

    async def activate(self) -> None:
        """Runs the activation until nothing is left to activate."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.activation.run())
            await self.settled()
            running.cancel()

    async def settled(self) -> None:
        """Returns when nothing is left to activate."""
        functions, versions = self.store.functions, self.store.collection(VERSIONS)
        seen = 0
        while any(needs_activation(record.declared) for record in functions.all()):
            seen = await functions.changed(seen)
        seen = 0
        while any(needs_activation(version) for version in versions.all()):
            seen = await versions.changed(seen)

    def record(self, name: str = "f") -> FunctionRecord:
        """What is stored of a function."""
        record = self.store.functions.peek(FunctionKey(ACCOUNT, REGION, name))
        assert record is not None
        return record
