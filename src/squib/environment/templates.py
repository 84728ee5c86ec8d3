"""The templates of a node: one for each version whose environments start from a snapshot.

A template is made when its version is published, and anew when an environment needs it and it is not there:
after a restart, when it was lost, or when it had to make room. All methods are called on the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, Protocol

from squib.environment.driver import NO_CLONES, Sandbox, TemplateLost, Wiring
from squib.environment.failure import Failure
from squib.environment.specification import why_no_snapshot
from squib.environment.surroundings import Surroundings
from squib.environment.template import NoSnapshot, Taken, Template
from squib.environment.view import EnvironmentView
from squib.model.errors import PlatformError
from squib.model.function import FunctionVersion
from squib.model.units import ArchiveDigest, EnvironmentId

_log: Final = logging.getLogger("squib.environment")
_MAX_AT_ONCE: Final = 4  # squib's choice: initializations for snapshots
_UNWANTED: Final = "the version is wanted no longer"
_RETRY_AFTER_MS: Final = 60_000  # squib's choice: after one that has failed


class Clonable(Protocol):
    """An environment that begins."""

    environment_id: EnvironmentId
    function: FunctionVersion

    @property
    def is_beginning(self) -> bool:
        """Nothing has ended it yet."""

    def waits_for_template(self) -> None:
        """There is none yet: that may take as long as an initialization."""

    def restores(self, token: str) -> None:
        """It comes out of a snapshot from here on; `token` is known inside."""

    def does_not_restore(self) -> None:
        """It does not after all."""


class Templates:
    """Owned by the pool."""

    def __init__(
        self,
        surroundings: Surroundings,
        new_id: Callable[[], EnvironmentId],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        make_room: Callable[[], object],
    ) -> None:
        """`make_room` ends what others can best do without, so that there is memory for one more."""
        self._with, self._new_id, self._spawn, self._make_room = surroundings, new_id, spawn, make_room
        self._entries: dict[tuple[str, str], _Entry] = {}  # by content and version
        self._closing: set[Template] = set()
        self._slots = asyncio.Semaphore(_MAX_AT_ONCE)
        self._is_current: Callable[[FunctionVersion], bool] = lambda function: True
        self._is_closed = False

    async def take(self, function: FunctionVersion) -> Taken:
        """Sees to the version's template, which may take minutes. Raises TemplateLost when the version is
        wanted no longer, else PlatformError."""
        reason = self._why_not(function)
        if reason is not None:
            return NoSnapshot(reason)
        entry = self._entry(function)
        return await asyncio.shield(entry.taken)

    async def clone(self, environment: Clonable, wiring: Wiring) -> Sandbox | NoSnapshot:
        """Has the environment come out of a snapshot, or tells why it has to be initialized. A template that
        turns out to be lost is made anew once."""
        reason = NoSnapshot("the environment is wanted no longer")
        for _ in range(2):
            if not self._is_there(environment.function):
                environment.waits_for_template()
            template = await self._get(environment.function)
            if isinstance(template, NoSnapshot):
                return template
            if not environment.is_beginning:
                break
            environment.restores(template.token)
            try:
                return await template.clone(environment.environment_id, wiring)
            except PlatformError as error:
                reason = NoSnapshot(str(error))
                if environment.is_beginning:
                    environment.does_not_restore()
                if not isinstance(error, TemplateLost):
                    _log.warning("not_cloned environment_id=%s: %s", environment.environment_id, error)
                    break
                self.lost(template)
            if not environment.is_beginning:
                break
        return reason

    def lost(self, template: Template) -> None:
        """It can't be cloned any more: the next environment has another made."""
        entry = self._entries.get(_key(template.function))
        if entry is not None and entry.template is template:
            del self._entries[_key(template.function)]
        self._close(template)

    def evictable(self, but: FunctionVersion | None = None) -> Iterator["Evictable"]:
        """Those that can be done without now, as the pool ends idle environments; not that of `but`."""
        kept = None if but is None else _key(but)
        for key, entry in self._entries.items():
            template = entry.template
            is_idle = template is not None and entry.is_settled and not template.cloning_count
            if template is not None and is_idle and key != kept:
                yield Evictable(self, template)

    def retire(self, is_current: Callable[[FunctionVersion], bool]) -> None:
        """Ends those of versions that `is_current` denies, and makes none for such from now on."""
        self._is_current = is_current
        for key, entry in list(self._entries.items()):
            if not is_current(entry.function):
                del self._entries[key]
                if entry.template is not None:
                    self._close(entry.template)

    @property
    def count(self) -> int:
        """Of those that hold memory."""
        return sum(entry.template is not None for entry in self._entries.values()) + len(self._closing)

    def views(self, now_ms: float) -> list[EnvironmentView]:
        """Those that can be cloned."""
        found = (entry.template for entry in self._entries.values() if entry.is_settled)
        return [template.view(now_ms) for template in found if template is not None]

    def in_use(self) -> Iterator[ArchiveDigest]:
        """The code of those there are."""
        for entry in self._entries.values():
            yield from entry.function.digests()

    async def close(self) -> None:
        """Ends all."""
        self._is_closed = True
        templates = [entry.template for entry in self._entries.values() if entry.template is not None]
        self._entries.clear()
        for template in templates:
            self._close(template)
        for template in list(self._closing):
            await template.closed.wait()

    # --- making them

    def _is_there(self, function: FunctionVersion) -> bool:
        """Whether `_get` will not have to wait."""
        entry = self._entries.get(_key(function))
        return self._why_not(function) is not None or (entry is not None and entry.is_settled)

    async def _get(self, function: FunctionVersion) -> Template | NoSnapshot:
        """What an environment is to be cloned of, or why it has to be initialized. Waits as long as an
        initialization takes."""
        try:
            taken = await self.take(function)
        except PlatformError as error:
            return NoSnapshot(str(error))
        if isinstance(taken, NoSnapshot):
            return taken
        if isinstance(taken, Failure):
            return NoSnapshot(f"the initialization for a new one has failed: {taken.error_type}")
        entry = self._entries.get(_key(function))
        if entry is None or entry.template is None:
            return NoSnapshot(_UNWANTED)
        return entry.template

    def _why_not(self, function: FunctionVersion) -> str | None:
        if not self._with.driver.clones:
            return NO_CLONES
        return why_no_snapshot(function, self._with.extensions(function))

    def _entry(self, function: FunctionVersion) -> "_Entry":
        """The version's, which is made unless it is there."""
        key = _key(function)
        entry = self._entries.get(key)
        if entry is not None and entry.is_over(self._with.clock.monotonic_ms()):
            if entry.template is not None:
                self.lost(entry.template)
            entry = None
        if entry is None:
            entry = _Entry(function)
            if self._is_closed or not self._is_current(function):
                entry.fail(TemplateLost(_UNWANTED))
                return entry
            self._entries[key] = entry
            self._spawn(self._make(entry))
        return entry

    async def _make(self, entry: "_Entry") -> None:
        key = _key(entry.function)
        async with self._slots:
            if self._entries.get(key) is not entry:
                entry.fail(TemplateLost(_UNWANTED))
                return
            try:
                self._make_room()
                template = entry.template = Template(self._with, entry.function, self._new_id())
                taken = await template.take()
            except Exception as error:
                if not isinstance(error, PlatformError):
                    _log.exception("snapshot_failed function_arn=%s", entry.function.arn)
                    error = PlatformError(f"no snapshot could be taken: {type(error).__name__}")
                if self._entries.get(key) is entry:
                    del self._entries[key]
                if entry.template is not None:
                    self._close(entry.template)
                entry.fail(error)
                return
        clock = self._with.clock
        if not isinstance(taken, NoSnapshot):
            self._with.meter.snapshot_taken(entry.function, template.init_duration_ms, clock.now_ms())
        if taken is None and self._entries.get(key) is entry:
            _log.info(
                "snapshot_taken function_arn=%s environment_id=%s init_ms=%.0f",
                entry.function.arn,
                template.environment_id,
                template.init_duration_ms,
            )
        else:
            entry.template = None
            entry.retry_at_ms = clock.monotonic_ms() + _RETRY_AFTER_MS
            self._close(template)
        entry.taken.set_result(taken)

    def _close(self, template: Template) -> None:
        if template not in self._closing:
            self._closing.add(template)
            self._spawn(self._end(template))

    async def _end(self, template: Template) -> None:
        try:
            await template.close()
        except (PlatformError, OSError):
            _log.exception("template_not_ended environment_id=%s", template.environment_id)
        else:
            _log.info("template_ended environment_id=%s", template.environment_id)
        finally:
            self._closing.discard(template)
            template.closed.set()


class _Entry:
    """What is known of one version's template."""

    def __init__(self, function: FunctionVersion) -> None:
        self.function = function
        self.template: Template | None = None
        self.taken: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self.retry_at_ms = float("inf")
        """When it may be tried again, after a failure."""

    @property
    def is_settled(self) -> bool:
        """It is known what came of it."""
        return self.taken.done()

    def fail(self, error: Exception) -> None:
        """It could not be made."""
        self.taken.set_exception(error)
        self.taken.exception()  # there may be nobody who waits

    def is_over(self, now_ms: float) -> bool:
        """It was lost, or has failed a while ago."""
        if not self.is_settled:
            return False
        if self.template is not None:
            return self.template.is_lost
        return isinstance(self.taken.result(), Failure) and now_ms >= self.retry_at_ms


class Evictable:
    """A template as the pool sees what it can end."""

    def __init__(self, templates: Templates, template: Template) -> None:
        self._templates, self._template = templates, template
        self.idle_since_ms = template.used_ms

    def retire(self) -> None:
        """Ends it; the next environment has another made."""
        self._templates.lost(self._template)


def _key(function: FunctionVersion) -> tuple[str, str]:
    return function.content_id, function.version
