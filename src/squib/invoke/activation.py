"""The loop from declared to active: prepares code and runtime of each new or updated function or version.

Level-triggered: it looks at what the store says, never at what happened, so a restart at any point goes on
where it was. It also removes code that nothing refers to any more.
"""

import asyncio
import logging
import platform
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from squib.clock import Clock, Entropy
from squib.environment.code_cache import CacheClosed, CodeCache
from squib.environment.driver import (
    NO_CLONES,
    NO_EXTENSIONS,
    RuntimeUnavailable,
    SandboxDriver,
    TemplateLost,
)
from squib.environment.template import NoSnapshot, Taken
from squib.invoke.references import CodeReferences
from squib.invoke.snapshot_outcome import SnapshotOutcome, outcome_of, without
from squib.model.archive import InvalidArchive
from squib.model.errors import PlatformError
from squib.model.function import (
    FUNCTIONS,
    VERSIONS,
    FunctionKey,
    FunctionRecord,
    FunctionVersion,
    LastUpdateStatus,
    ReasonCode,
    State,
)
from squib.model.item import ItemKey
from squib.model.layer import LAYER_VERSIONS
from squib.model.units import ArchiveDigest, MonotonicMs
from squib.store.base import Feed, Store, Transaction

log = logging.getLogger("squib.activation")

Subject: TypeAlias = FunctionKey | ItemKey
"""What is activated: `$LATEST` of a function, or a published version."""

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationOptions:
    """How the loop works."""

    max_at_once: int = 2
    """Functions prepared at the same time."""
    sweep_interval_s: float = 60.0
    """How often unused code is looked for."""
    grace_ms: float = 60_000
    """How long code that nothing refers to stays: an invocation may have read the record that did."""


class _Failure(Exception):
    """Why a function cannot be activated, in words for its owner."""

    def __init__(self, code: ReasonCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


async def _no_snapshot(version: FunctionVersion) -> Taken:
    return NoSnapshot("this squib takes none")


class Activation:
    """Makes what is declared active. One per node; all methods on the event loop."""

    def __init__(
        self,
        store: Store,
        cache: CodeCache,
        driver: SandboxDriver,
        clock: Clock,
        entropy: Entropy,
        options: ActivationOptions | None = None,
        *,
        in_use: Callable[[], Set[ArchiveDigest]] = frozenset,
        architecture: str | None = None,
        take_snapshot: Callable[[FunctionVersion], Awaitable[Taken]] = _no_snapshot,
    ) -> None:
        """`in_use` names the code of live environments. `architecture` None: that of this machine.
        `take_snapshot` sees to the snapshot of a version that is to have one."""
        self._take_snapshot = take_snapshot
        self._store = store
        self._functions, self._versions = store.functions, store.collection(VERSIONS)
        self._layer_versions = store.collection(LAYER_VERSIONS)
        self._cache = cache
        self._driver = driver
        self._clock = clock
        self._entropy = entropy
        self._options = options or ActivationOptions()
        self._in_use = in_use
        machine = platform.machine()
        self._architecture = architecture or _ARCHITECTURES.get(machine, machine)
        self._slots = asyncio.Semaphore(self._options.max_at_once)
        self._busy: set[Subject] = set()
        self._unwritten: set[Subject] = set()
        self._references = CodeReferences(store)
        self._unused_since: dict[ArchiveDigest, MonotonicMs] = {}

    async def ensure_code(self, version: FunctionVersion) -> None:
        """Before an environment starts: unpacks again what a restarted machine or a removed cache lacks.
        Raises PlatformError."""
        try:
            await self._unpack(version)
        except (InvalidArchive, OSError) as error:
            raise PlatformError(f"the code of {version.arn} can't be unpacked: {error}") from error

    async def run(self) -> None:
        """Activates and sweeps until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(self._functions.follow(), tasks))
            tasks.create_task(self._follow(self._versions.follow(), tasks))
            tasks.create_task(self._sweep_regularly(tasks))

    async def sweep(self) -> None:
        """Removes archives and unpacked code that no function and no environment has used for a while."""
        now_ms = self._clock.monotonic_ms()
        unused_since: dict[ArchiveDigest, MonotonicMs] = {}

        def keep(digest: ArchiveDigest) -> bool:
            if digest in self._references or digest in self._in_use():
                return True
            unused_since[digest] = self._unused_since.get(digest, now_ms)
            return now_ms - unused_since[digest] < self._options.grace_ms

        await self._cache.sweep(keep)
        self._unused_since = unused_since
        layers = {version.content.digest for version in self._layer_versions.all()}
        await self._store.blobs.sweep(self._references.digests() | layers)

    async def _follow(self, feed: Feed[FunctionKey] | Feed[ItemKey], tasks: asyncio.TaskGroup) -> None:
        while True:
            for subject in await feed.keys():
                self._consider(subject, tasks)

    async def _sweep_regularly(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            try:
                await self.sweep()
            except OSError:
                log.exception("sweep_failed")
            await asyncio.sleep(self._options.sweep_interval_s)
            unwritten, self._unwritten = self._unwritten, set()
            for subject in unwritten:
                self._consider(subject, tasks)

    def _consider(self, subject: Subject, tasks: asyncio.TaskGroup) -> None:
        if subject not in self._busy and self._wanted(subject) is not None:
            self._busy.add(subject)
            tasks.create_task(self._activate(subject, tasks))

    def _wanted(self, subject: Subject) -> FunctionVersion | None:
        """What is to be made active; None when there is nothing to do."""
        if isinstance(subject, FunctionKey):
            record = self._functions.peek(subject)
            declared = None if record is None else record.declared
        else:
            declared = self._versions.peek(subject)
        if declared is None or not (needs_activation(declared) or self._is_stale(declared)):
            return None
        return declared

    def _is_stale(self, declared: FunctionVersion) -> bool:
        """What a version says of its snapshot was true when squib ran in another way."""
        if declared.state is not State.ACTIVE or not declared.has_snapshot:
            return False
        if declared.snap_start_status == "On":
            return not self._driver.clones
        return self._driver.clones and NO_CLONES in (declared.state_reason or "")

    async def _activate(self, subject: Subject, tasks: asyncio.TaskGroup) -> None:
        try:
            failure, outcome = None, SnapshotOutcome()
            async with self._slots:
                version = self._wanted(subject)
                if version is not None:
                    failure = await self._prepare(version)
            if version is not None:
                if failure is None and version.has_snapshot:
                    outcome = await self._snapshot(version)
                await self._settle(subject, version, failure or outcome.failure, outcome)
        except CacheClosed:
            return  # squib stops; the next start goes on here
        except TemplateLost:  # the same, or the version is gone; else it is looked at again
            self._unwritten.add(subject)
            return
        except Exception:  # such as a full disk: it stays as it is until the next sweep
            log.exception("activation_not_written name=%s", subject.name)
            self._unwritten.add(subject)
            return
        finally:
            self._busy.discard(subject)
        self._consider(subject, tasks)  # it may have been written anew meanwhile

    async def _snapshot(self, version: FunctionVersion) -> SnapshotOutcome:
        """May take minutes. Raises TemplateLost when it is wanted no longer."""
        try:
            return outcome_of(await self._take_snapshot(version))
        except TemplateLost:
            raise
        except PlatformError as error:
            log.warning("snapshot_not_taken function_arn=%s reason=%s", version.arn, error)
            return without("this machine could take none, see the log")

    async def _settle(
        self,
        subject: Subject,
        version: FunctionVersion,
        failure: tuple[ReasonCode, str] | None,
        outcome: SnapshotOutcome,
    ) -> None:
        revision_id = self._entropy.request_id()

        def settle(transaction: Transaction) -> None:
            if isinstance(subject, FunctionKey):
                record = transaction.get(FUNCTIONS, subject)
                if record is not None and record.declared.content_id == version.content_id:
                    after = settled(record, revision_id=revision_id, failure=failure)
                    transaction.put(FUNCTIONS, subject, after)
            else:
                stored = transaction.get(VERSIONS, subject)
                if stored is not None and stored.content_id == version.content_id:
                    end = settled_version(stored, revision_id=revision_id, failure=failure, outcome=outcome)
                    transaction.put(VERSIONS, subject, end)

        await self._store.write(settle)
        if failure is None:
            log.info("function_activated function_arn=%s", version.arn)
        else:
            log.warning("function_activation_failed function_arn=%s reason=%s", version.arn, failure[1])

    async def _prepare(self, version: FunctionVersion) -> tuple[ReasonCode, str] | None:
        """Code and runtime; why they can't be prepared."""
        try:
            await self._try_to_prepare(version)
        except _Failure as failure:
            return failure.code, failure.reason
        return None

    async def _try_to_prepare(self, version: FunctionVersion) -> None:
        """Raises _Failure."""
        if version.architecture != self._architecture:
            raise _Failure(
                ReasonCode.INVALID_CONFIGURATION,
                f"The function needs the architecture {version.architecture}; "
                f"this machine is {self._architecture}.",
            )
        try:
            await self._unpack(version)
            if self._cache.extensions_of(version) and not self._driver.starts_extensions:
                raise RuntimeUnavailable(NO_EXTENSIONS)
            await self._driver.prepare(version.runtime)
        except InvalidArchive as error:
            raise _Failure(ReasonCode.INVALID_ZIP, error.message) from error
        except RuntimeUnavailable as error:
            raise _Failure(ReasonCode.INVALID_RUNTIME, str(error)) from error
        except CacheClosed:
            raise
        except Exception as error:  # anything else is ours: the function says so, the log says what
            log.exception("function_preparation_failed function_arn=%s", version.arn)
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "see the log"
            raise _Failure(
                ReasonCode.INTERNAL_ERROR, f"The function could not be prepared: {reason}."
            ) from error

    async def _unpack(self, version: FunctionVersion) -> None:
        """Code and layers. Raises InvalidArchive, OSError, CacheClosed."""
        path = self._store.blobs.path
        await self._cache.ensure(version.code.digest, path(version.code.digest))
        if version.layers:
            digests = [layer.content.digest for layer in version.layers]
            opt = version.opt_digest
            assert opt is not None
            await self._cache.ensure_layers(opt, [(digest, path(digest)) for digest in digests])


def needs_activation(declared: FunctionVersion) -> bool:
    """Whether what is declared is still to be made active."""
    return declared.state is State.PENDING or declared.last_update_status is LastUpdateStatus.IN_PROGRESS


def settled(
    record: FunctionRecord, *, revision_id: str, failure: tuple[ReasonCode, str] | None
) -> FunctionRecord:
    """The record after an activation: active, or failed with (code, reason). After a failed update, what was
    active before stays so."""
    is_update = record.active is not None
    declared = settled_version(record.declared, revision_id=revision_id, failure=failure, is_update=is_update)
    return msgspec.structs.replace(
        record, declared=declared, active=declared if failure is None else record.active
    )


def settled_version(
    declared: FunctionVersion,
    *,
    revision_id: str,
    failure: tuple[ReasonCode, str] | None,
    is_update: bool = False,
    outcome: SnapshotOutcome | None = None,
) -> FunctionVersion:
    """A version after its activation. `is_update`: an earlier content of it is active already."""
    outcome = outcome or SnapshotOutcome()
    code, reason = failure or (None, None)
    return msgspec.structs.replace(
        declared,
        revision_id=revision_id,
        state=State.ACTIVE if is_update or failure is None else State.FAILED,
        state_reason=None if is_update else reason or outcome.note,
        state_reason_code=None if is_update else code,
        last_update_status=LastUpdateStatus.SUCCESSFUL if failure is None else LastUpdateStatus.FAILED,
        last_update_status_reason=reason,
        last_update_status_reason_code=code,
        snap_start_status=outcome.status,
    )
