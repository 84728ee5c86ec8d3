"""Contents of messages: those sent lately from memory, up to a bound, the others from the disk."""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from typing import Final

from squib.store.log_flusher import Look
from squib.store.queries import QUERIES
from squib.store.queue_rows import Stored, head_of, stored_from

KEPT_BYTES: Final = 32 * 1024 * 1024  # squib's choice


class MessageContents:
    """Owned by one event loop. Messages go by the number of their row."""

    def __init__(self, look: Look, readers: Executor, loop: asyncio.AbstractEventLoop) -> None:
        self._look, self._readers, self._loop = look, readers, loop
        self._kept: OrderedDict[int, tuple[Stored, int]] = OrderedDict()
        self._kept_bytes = 0

    def keep(self, message_key: int, stored: Stored, size_bytes: int) -> None:
        """Remembers a message that may be received soon, in place of the oldest."""
        self._kept[message_key] = (stored, size_bytes)
        self._kept_bytes += size_bytes
        while self._kept_bytes > KEPT_BYTES:
            _, (_, dropped_bytes) = self._kept.popitem(last=False)
            self._kept_bytes -= dropped_bytes

    def discard(self, keys: Iterable[int]) -> None:
        """Forgets messages."""
        for key in keys:
            self._pop(key)

    def clear(self) -> None:
        """Forgets all of them."""
        self._kept.clear()
        self._kept_bytes = 0

    async def take(self, keys: Sequence[int]) -> dict[int, Stored]:
        """By row; without those whose row is gone. Who is received once is seldom received again, so these
        are forgotten."""
        found: dict[int, Stored] = {}
        missing = []
        for key in keys:
            kept = self._pop(key)
            if kept is None:
                missing.append(key)
            else:
                found[key] = kept

        def read(connection: sqlite3.Connection) -> dict[int, Stored]:
            rows = (
                (key, connection.execute(QUERIES["get_message_content"], (key,)).fetchone())
                for key in missing
            )
            return {key: stored_from(*row) for key, row in rows if row is not None}

        if missing:
            found |= await self._loop.run_in_executor(self._readers, self._look, read)
        return found

    async def sources(self, keys: Sequence[int]) -> Sequence[str | None]:
        """The ARNs of the queues that messages were put aside from."""

        def read(connection: sqlite3.Connection) -> list[str | None]:
            heads = [head_of(connection, key) for key in keys]
            return [None if head is None else head.source_arn for head in heads]

        return await self._loop.run_in_executor(self._readers, self._look, read)

    def _pop(self, key: int) -> Stored | None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return None
        self._kept_bytes -= kept[1]
        return kept[0]
