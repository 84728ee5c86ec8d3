"""A template as the daemon sees it: it says that its snapshot is taken, and makes clones when it is told to.

Between two clones all of it is frozen. A few clones are kept ready, frozen too: who needs one waits for
little more than a thaw.
"""

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final, Protocol

from squib.environment.driver import TemplateLost, Wiring
from squib.environment.drivers.clone_sandbox import CloneSandbox
from squib.environment.isolation.sandbox_protocol import MAKE_CLONE, MAX_REFUSAL_BYTES, REFUSAL, SNAPSHOT
from squib.model.errors import PlatformError

_log: Final = logging.getLogger("squib.environment")
READY_CLONES: Final = 2
PRESENCE_TIMEOUT_S: Final = 10.0
"""For the template to make a clone; it is lost when it takes longer."""
REFILL_AFTER_S: Final = 0.03
"""A clone that was taken is replaced when the start that took it is over."""
REAP_S: Final = 0.02
"""So long a template is awake after a clone of it has ended, for its init to reap that."""


class SourceKeeper(Protocol):
    """What a template's clones need of the driver."""

    async def take_snapshot(self, slot: int) -> None: ...

    async def place_clone(self) -> CloneSandbox: ...

    async def adopt(self, clone: CloneSandbox, template: int, process: int) -> None: ...

    def kill_inside(self, slot: int) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None: ...


class CloneSource:
    """Makes the clones of one template."""

    def __init__(
        self,
        driver: SourceKeeper,
        slot: int,
        orders: socket.socket,
        set_frozen: Callable[[bool], None],
        on_snapshot: Callable[[str | None], None],
        on_empty: Callable[[], None],
        *,
        is_traced: bool = False,
    ) -> None:
        """`set_frozen` freezes and thaws the template. `on_empty` is called when the last clone is gone after
        `close`."""
        self._driver, self.slot, self._orders = driver, slot, orders
        self._set_frozen, self._on_snapshot, self._on_empty = set_frozen, on_snapshot, on_empty
        self._is_traced = is_traced
        self._loop = asyncio.get_running_loop()
        self._lost: str | None = "its snapshot has not been taken"
        self._ready: deque[CloneSandbox] = deque()
        self._clones: set[CloneSandbox] = set()
        self._making = 0
        self._awake = 0
        self._closed = False
        self._tells_empty = False
        self._has_ended = False
        orders.setblocking(False)
        self._loop.add_reader(orders.fileno(), self._read_orders)

    # --- the snapshot

    def _read_orders(self) -> None:
        """Its first word is its last that matters."""
        try:
            message = self._orders.recv(MAX_REFUSAL_BYTES + 1)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        self._loop.remove_reader(self._orders.fileno())
        if message[:1] == SNAPSHOT:
            self._driver.spawn(self._take_snapshot())
        elif message[:1] == REFUSAL:
            self._on_snapshot(printable(message[1:]))

    async def _take_snapshot(self) -> None:
        try:
            await self._driver.take_snapshot(self.slot)
        except OSError as error:
            self._on_snapshot(f"the snapshot can't be taken: {error}")
            return
        if self._closed or self._has_ended:
            return
        self._lost = None
        self._set_frozen(True)
        self._refill()
        self._on_snapshot(None)

    # --- clones

    async def clone(self, wiring: Wiring) -> CloneSandbox:
        """One that runs. Raises TemplateLost, PlatformError, OSError."""
        while True:
            clone = self._ready.popleft() if self._ready else await self._make()
            if not clone.is_gone:
                break
            clone.give_up()
        try:
            await clone.start(wiring)
        except BaseException:
            clone.give_up()
            raise
        self._loop.call_later(REFILL_AFTER_S, self._refill)
        return clone

    def _refill(self) -> None:
        while self._lost is None and len(self._ready) + self._making < READY_CLONES:
            self._making += 1
            self._driver.spawn(self._make_ready())

    async def _make_ready(self) -> None:
        try:
            self._ready.append(await self._make())
        except (PlatformError, OSError) as error:
            _log.warning("no clone could be made ready: %s", error)
        finally:
            self._making -= 1

    async def _make(self) -> CloneSandbox:
        """One that waits, frozen. Raises TemplateLost, PlatformError, OSError."""
        self._check()
        clone = await self._driver.place_clone()
        self._clones.add(clone)
        clone.on_gone = partial(self._forget, clone)
        try:
            with self._thawed():
                self._check()
                try:
                    clone.order(self._orders, MAKE_CLONE)
                    async with asyncio.timeout(PRESENCE_TIMEOUT_S):
                        process = await clone.present()
                except (OSError, PlatformError) as error:
                    raise self._give_up_template("it makes no clones any more") from error
                await self._driver.adopt(clone, self.slot, process)
            if self._is_traced:
                await clone.open_traces()
            async with asyncio.timeout(PRESENCE_TIMEOUT_S):
                await clone.ready()
            clone.freeze()
            self._check()
        except TemplateLost as error:
            clone.give_up()
            self.lose(str(error))
            raise
        except (PlatformError, OSError):
            clone.give_up()
            self._check()  # what failed may have failed for the template's end
            raise
        except BaseException:
            clone.give_up()
            raise
        return clone

    def _give_up_template(self, reason: str) -> TemplateLost:
        self._driver.kill_inside(self.slot)
        return TemplateLost(reason)

    def _check(self) -> None:
        if self._lost is not None:
            raise TemplateLost(f"the template can't be cloned: {self._lost}")

    @contextlib.contextmanager
    def _thawed(self) -> Iterator[None]:
        self._wake()
        try:
            yield
        finally:
            self._sleep()

    def _wake(self) -> None:
        self._awake += 1
        if self._awake == 1 and not self._closed:  # its place may be another's by then
            self._set_frozen(False)

    def _sleep(self) -> None:
        self._awake -= 1
        if self._awake == 0 and self._lost is None and not self._closed:
            self._set_frozen(True)

    def _forget(self, clone: CloneSandbox) -> None:
        self._clones.discard(clone)
        if self._closed:
            if self._tells_empty and not self._clones:
                self._tells_empty = False
                self._loop.call_soon(self._on_empty)
            return
        self._wake()
        self._loop.call_later(REAP_S, self._sleep)

    # --- the end

    def lose(self, reason: str) -> None:
        """The template's process is gone; clones that run live on."""
        if not self._has_ended and not self._closed:
            self._has_ended, self._lost = True, reason
            self._set_frozen(False)
            self._drop_ready()

    def _drop_ready(self) -> None:
        while self._ready:
            self._ready.popleft().give_up()

    def close(self) -> bool:
        """Ends the template. True when no clone of it is left, else `on_empty` is called later."""
        self._closed = True
        self._lost = "it has been given up"
        self._drop_ready()
        self._set_frozen(False)
        self._loop.remove_reader(self._orders.fileno())
        self._orders.close()
        self._driver.kill_inside(self.slot)
        self._tells_empty = bool(self._clones)
        return not self._tells_empty


def printable(text: bytes) -> str:
    """What a function has said, in one line fit to be shown to its owner."""
    shown = text.decode(errors="replace")
    return "".join(letter if letter.isprintable() else " " for letter in shown)
