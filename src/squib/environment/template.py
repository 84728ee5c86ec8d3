"""One template: a runtime of a version, initialized up to where its snapshot is taken. Environments are
clones of it; it is never invoked itself.

It has a Runtime API, credentials and a log stream of its own. All methods are called on the event loop.
"""

import asyncio
import logging
from typing import Final, TypeAlias

import msgspec

from squib.environment import failure as failures
from squib.environment.apis.credentials import SNAPSHOT_LIFETIME_MS
from squib.environment.apis.runtime_api import RuntimeApi
from squib.environment.apis.runtime_session import Meaning
from squib.environment.belongings import Belongings
from squib.environment.driver import End, LogSource, Sandbox, TemplateLost, Wiring
from squib.environment.failure import Failure
from squib.environment.log.journal import Journal
from squib.environment.surroundings import Surroundings
from squib.environment.view import EnvironmentView
from squib.http.exchange import Exchange
from squib.model.function import FunctionVersion
from squib.model.units import EnvironmentId, EpochMs
from squib.scheduler.lifetime import Initialization, prepared_init_timeout_ms

_log: Final = logging.getLogger("squib.environment")


class NoSnapshot(msgspec.Struct, frozen=True):
    """The version can be initialized, and not be cloned."""

    reason: str
    """For the function's owner."""


Taken: TypeAlias = NoSnapshot | Failure | None
"""What came of taking a snapshot: it is there, there can be none, or the initialization has failed."""


class Template:
    """Of one version with one content. `take` it once; `close` it at any time."""

    def __init__(
        self, surroundings: Surroundings, function: FunctionVersion, environment_id: EnvironmentId
    ) -> None:
        """`environment_id` names its sandbox and its log stream."""
        self.function, self.environment_id = function, environment_id
        self.started_ms = self.used_ms = surroundings.clock.monotonic_ms()
        """When an environment was cloned last."""
        self.clone_count = 0
        """Of environments that were cloned of it."""
        self.cloning_count = 0
        """Of environments that are being cloned."""
        self.is_lost = False
        """Its process has ended."""
        self.init_duration_ms = 0.0
        self.closed = asyncio.Event()
        """Set by its owner, after `close`."""
        self._with = surroundings
        self.token = surroundings.new_id()
        """What its clones ask for their credentials with."""
        self._api = RuntimeApi(self)
        self._has = Belongings(surroundings, function, environment_id)
        self._has.tell_credentials(self._api, self.token, SNAPSHOT_LIFETIME_MS)
        self._sandbox: Sandbox | None = None
        self._journal = Journal(
            self._has.log, surroundings.clock, function, self._drain_logs, lambda: 0, True
        )
        self._is_logged = False
        self._taken: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._is_closed = False

    async def take(self) -> Taken:
        """Initializes a runtime, which may take minutes. Raises PlatformError when the machine cannot."""
        clock = self._with.clock
        self._journal.init_start()
        self._api.runtime_started()
        started_ms = clock.monotonic_ms()
        limit_ms = prepared_init_timeout_ms(self.function.timeout_s)
        try:
            spec = self._has.specification(Initialization.SNAP_START, is_template=True)
            self._sandbox = await self._with.driver.create(spec, self._wiring())
            if self._is_closed:
                await self._sandbox.destroy()
                raise TemplateLost("it is wanted no longer")
            started_ms = clock.monotonic_ms()
            async with asyncio.timeout(limit_ms / 1000):
                taken = await asyncio.shield(self._taken)
        except TimeoutError:
            taken = failures.init_timed_out(limit_ms / 1000)
        self.init_duration_ms = clock.monotonic_ms() - started_ms
        if self._is_closed:
            raise TemplateLost("it is wanted no longer")
        self._drain_logs()
        failure = taken if isinstance(taken, Failure) else None
        self._journal.init_done(failure, duration_ms=self.init_duration_ms, phase="init")
        self._end_log()
        self.used_ms = clock.monotonic_ms()
        return taken

    async def clone(self, environment_id: EnvironmentId, wiring: Wiring) -> Sandbox:
        """The sandbox of an environment. Raises TemplateLost, PlatformError."""
        if self._sandbox is None or self.is_lost or self._is_closed:
            raise TemplateLost("the template has ended")
        self.clone_count += 1
        self.cloning_count += 1
        self.used_ms = self._with.clock.monotonic_ms()
        try:
            return await self._with.driver.clone(self._sandbox, environment_id, wiring)
        finally:
            self.cloning_count -= 1

    def view(self, now_ms: float) -> EnvironmentView:
        """As an operator sees it: among environments, with its clones in place of invocations."""
        return EnvironmentView(
            environment_id=self.environment_id,
            function_arn=self.function.key.arn(),
            version=self.function.version,
            state="template",
            is_frozen=True,
            idle_ms=now_ms - self.used_ms,
            age_ms=now_ms - self.started_ms,
            invocations=self.clone_count,
            memory_peak_bytes=0 if self._sandbox is None else self._sandbox.memory_peak_bytes(),
            memory_mib=self.function.memory_mib,
        )

    async def close(self) -> None:
        """Gives everything back; clones live on. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._taken.done():
            self._taken.set_result(NoSnapshot("it is wanted no longer"))
        self._api.close()
        try:
            if self._sandbox is not None:
                await self._sandbox.destroy()
        finally:
            self._has.release()
            self._end_log()

    def _wiring(self) -> Wiring:
        return Wiring(
            runtime_api=self._api.protocol,
            endpoint=self._has.endpoint.protocol_factory,
            on_start=lambda: None,
            on_log=self._on_log,
            on_end=self._on_end,
            on_snapshot=self._on_snapshot,
        )

    def _settle(self, taken: Taken) -> None:
        if not self._taken.done():
            self._taken.set_result(taken)

    def _drain_logs(self) -> None:
        if self._sandbox is not None and not self._is_logged:
            self._sandbox.drain_logs()

    def _end_log(self) -> None:
        """Nothing runs after the snapshot that could write."""
        if not self._is_logged:
            self._is_logged = True
            self._journal.close()

    # --- what the sandbox says (Wiring)

    def _on_snapshot(self, refusal: str | None) -> None:
        self._settle(None if refusal is None else NoSnapshot(refusal))

    def _on_log(self, source: LogSource, data: bytes) -> None:
        if not self._is_logged:
            self._journal.feed(source, data)

    def _on_end(self, end: End) -> None:
        self.is_lost = True
        if self._taken.done():
            _log.warning(
                "template_lost environment_id=%s cause=%s status=%d",
                self.environment_id,
                end.cause,
                end.status,
            )
        self._settle(failures.ended(end))

    # --- what the runtime says (RuntimeEvents): it is to stop before it asks for an invocation

    def on_ready(self) -> None:
        """It did not stop where a snapshot would have been taken."""
        self._settle(NoSnapshot("its runtime does not take part in SnapStart"))

    def on_init_error(self, error_type: str | None, payload: bytes) -> None:
        """It cannot initialize, or a hook before the snapshot has failed."""
        self._settle(failures.init_error(error_type, payload))

    def on_extension_call(self, exchange: Exchange) -> None:
        """A process that was cloned would go on as an extension that nobody knows."""
        self._settle(NoSnapshot("an internal extension that registers during initialization can't be cloned"))

    def on_next(self) -> None:
        """Never, as nothing was handed out."""

    def on_handing_out(self) -> EpochMs:
        """Never."""
        raise AssertionError("a template is not invoked")

    def on_handed_out(self) -> None:
        """Never."""

    def on_response(self, payload: bytes) -> None:
        """Never."""

    def on_error(self, error_type: str | None, payload: bytes) -> None:
        """Never."""

    def on_refused_response(self, meaning: Meaning) -> None:
        """Never."""

    def on_restore_error(self, error_type: str | None, payload: bytes) -> None:
        """It asked for no snapshot of squib's, and failed after that."""
        self._settle(NoSnapshot("its runtime does not take part in SnapStart"))
