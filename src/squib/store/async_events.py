"""Events of asynchronous invocations, durable: accepted in groups, one commit for all that wait together.

Memory holds payloads of events that have not been run yet, up to a bound; the others are read when they are
run. What is written after acceptance (progress, endings, removals) shares commits too, with each other and
with what is being accepted. When such a write fails, the event may be run once more after a restart; none is
lost.
"""

import asyncio
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final

import msgspec

from squib.model.async_event import AcceptedEvent, Ending, Progress, StoredEvent, WaitingEvent
from squib.model.function import FunctionKey
from squib.model.units import AccountId, EpochMs, Region
from squib.store.log_flusher import Look
from squib.store.queries import QUERIES
from squib.store.queue_journal import Journal, Row, Then
from squib.store.writer import WriteFailed, Writer

_log: Final = logging.getLogger("squib.store")
_KEPT_BYTES: Final = 32 * 1024 * 1024  # squib's choice: payloads of events that are run soon
REMOVAL_DELAY_S: Final = 0.01  # squib's choice: a crash repeats at most so much; commits are far fewer
_encode: Final = msgspec.msgpack.Encoder().encode
_events: Final = msgspec.msgpack.Decoder(AcceptedEvent)
_endings: Final = msgspec.msgpack.Decoder(Ending)


class SqliteAsyncEvents:
    """Implements `base.AsyncEvents`. Owned by one event loop."""

    def __init__(
        self, *, writer: Writer, look: Look, readers: Executor, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._look, self._readers, self._loop = look, readers, loop
        self._journal = Journal(writer, loop, self._on_failure)
        self._kept: OrderedDict[int, tuple[AcceptedEvent, bytes]] = OrderedDict()
        self._kept_bytes = 0
        self._gone: list[tuple[int]] = []
        self._last_key: int = look(
            lambda connection: connection.execute(QUERIES["last_async_event"]).fetchone()[0]
        )

    def add(
        self, event: AcceptedEvent, payload: bytes, then: Callable[[int], None]
    ) -> "asyncio.Future[None]":
        """See `base.AsyncEvents`."""
        self._last_key = event_key = self._last_key + 1
        row = event_row(event_key, event, payload)

        def committed() -> None:
            self._keep(event_key, event, payload)
            then(event_key)

        return self._journal.add(rows={"add_async_event": (row,)}, then=committed, size_bytes=len(payload))

    def add_ended(
        self, event: AcceptedEvent, payload: bytes, ending: Ending, then: Callable[[int], None]
    ) -> "asyncio.Future[None]":
        self._last_key = event_key = self._last_key + 1
        rows = {
            "add_async_event": (event_row(event_key, event, payload),),
            "put_async_event_ending": (_ending_row(event_key, ending.ended_at_ms, Progress(), ending),),
        }
        return self._journal.add(rows=rows, then=lambda: then(event_key), size_bytes=len(payload))

    def put_progress(
        self, event_key: int, due_at_ms: EpochMs, progress: Progress, then: Then
    ) -> "asyncio.Future[None]":
        row = (event_key, due_at_ms, progress.attempts, progress.failures, progress.backoffs)
        return self._write("put_async_event_progress", row, then)

    def put_ending(
        self, event_key: int, due_at_ms: EpochMs, progress: Progress, ending: Ending, then: Then
    ) -> "asyncio.Future[None]":
        row = _ending_row(event_key, due_at_ms, progress, ending)
        return self._write("put_async_event_ending", row, then)

    def remove(self, event_key: int) -> None:
        self.forget(event_key)
        if not self._gone:
            self._loop.call_later(REMOVAL_DELAY_S, self._remove)
        self._gone.append((event_key,))

    def kept(self, event_key: int) -> tuple[AcceptedEvent, bytes] | None:
        return self._kept.get(event_key)

    def forget(self, event_key: int) -> None:
        found = self._kept.pop(event_key, None)
        if found is not None:
            self._kept_bytes -= len(found[1])

    async def read(self, event_key: int) -> StoredEvent | None:
        return await self._loop.run_in_executor(
            self._readers,
            self._look,
            lambda connection: _stored(
                connection.execute(QUERIES["get_async_event"], (event_key,)).fetchone()
            ),
        )

    async def waiting(self) -> Sequence[WaitingEvent]:
        return await self._loop.run_in_executor(self._readers, self._look, _waiting)

    async def close(self) -> None:
        """Writes what is under way."""
        self._remove()
        await self._journal.settle()

    def _write(self, name: str, row: Row, then: Then) -> "asyncio.Future[None]":
        """What follows does not depend on the disk: if it refuses, the event is older there than here."""
        written = self._journal.add(rows={name: (row,)})
        written.add_done_callback(lambda _: then())
        return written

    def _remove(self) -> None:
        gone, self._gone = self._gone, []
        if gone:
            self._journal.add(rows={"delete_async_event": gone, "delete_async_event_progress": gone})

    def _keep(self, event_key: int, event: AcceptedEvent, payload: bytes) -> None:
        if self._kept_bytes + len(payload) <= _KEPT_BYTES:  # those accepted first are run first
            self._kept[event_key] = (event, payload)
            self._kept_bytes += len(payload)

    def _on_failure(self, error: WriteFailed) -> None:
        _log.error("async_event_write_failed error=%s", error)


def event_row(event_key: int, event: AcceptedEvent, payload: bytes) -> Row:
    """The columns of an event."""
    function = event.function
    return (
        event_key,
        function.account_id,
        function.region,
        function.name,
        event.accepted_at_ms,
        _encode(event),
        payload,
    )


def _ending_row(event_key: int, due_at_ms: int, progress: Progress, ending: Ending) -> Row:
    return (event_key, due_at_ms, *msgspec.structs.astuple(progress), _encode(ending))


def _stored(row: tuple[bytes, bytes, bytes | None] | None) -> StoredEvent | None:
    if row is None:
        return None
    event, payload, ending = row
    return StoredEvent(_events.decode(event), payload, None if ending is None else _endings.decode(ending))


def _waiting(connection: sqlite3.Connection) -> list[WaitingEvent]:
    functions: dict[tuple[str, str, str], FunctionKey] = {}
    found = []
    for row in connection.execute(QUERIES["load_async_events"]):
        event_key, account_id, region, name, accepted_at_ms, due_at_ms, *tried, has_ended = row
        function = functions.get((account_id, region, name))
        if function is None:
            function = FunctionKey(AccountId(account_id), Region(region), name)
            functions[account_id, region, name] = function
        progress = Progress(*tried)
        found.append(WaitingEvent(event_key, function, accepted_at_ms, due_at_ms, progress, bool(has_ended)))
    return found
