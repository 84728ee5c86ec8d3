"""One log stream that is being written: what waits in memory for the disk, and what is known of its files."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from squib.model.log import LogGroupKey
from squib.model.units import EpochMs
from squib.store import log_catalogue as catalogue
from squib.store.log_blocks import Buffered
from squib.store.log_merge import Source
from squib.store.log_state import StreamState

MAX_BUFFERED_EVENTS: Final = 100_000  # squib's choice, a stream: reached only when the disk does not answer
MAX_BUFFERED_CHARACTERS: Final = 16 * 1024 * 1024  # likewise; functions write without end if they like
_MANY_STREAMS: Final = 64  # squib's choice: from here on one query for the whole group is cheaper


class OpenStream:
    """Implements `base.LogWriter`. Belongs to the loop, but for `stream_id`, `state` and `has_row`, which
    only the flusher thread writes."""

    __slots__ = (
        "_characters",
        "_mark",
        "created_at_ms",
        "dropped_count",
        "events",
        "group",
        "has_row",
        "makes_group",
        "name",
        "state",
        "stream_id",
        "users",
    )

    def __init__(
        self,
        group: LogGroupKey,
        name: str,
        created_at_ms: EpochMs,
        mark: Callable[["OpenStream"], None],
        *,
        makes_group: bool = True,
    ) -> None:
        self.makes_group = makes_group
        self.group = group
        self.name = name
        self.created_at_ms = created_at_ms
        self.events: list[Buffered] = []
        self.dropped_count = 0
        self.users = 0
        self.stream_id = 0
        self.state = StreamState(created_at_ms=created_at_ms)
        self.has_row: bool | None = None
        """None until the first flush, which makes the row; False while there is none and only an event
        makes it: deleted under its writer, or opened for what is put into streams that exist."""
        self._characters = 0  # of `events`
        self._mark = mark

    def append(self, timestamp_ms: EpochMs, message: str) -> None:
        events = self.events
        if not events:
            self._characters = 0
            self._mark(self)
        elif len(events) >= MAX_BUFFERED_EVENTS or self._characters >= MAX_BUFFERED_CHARACTERS:
            self.dropped_count += 1
            return
        self._characters += len(message)
        events.append((timestamp_ms, message))

    def close(self) -> None:
        self.users -= 1
        self._mark(self)


def sources(
    connection: sqlite3.Connection,
    group_id: int,
    live: Mapping[str, OpenStream],
    *,
    prefix: str = "",
    names: frozenset[str] | None = None,
) -> Sequence[Source]:
    """The group's streams by name, as far as they exist, with the state of `live` where it is newer."""
    if names is None or len(names) >= _MANY_STREAMS:
        found = catalogue.streams(connection, group_id, prefix=prefix)
        if names is not None:
            found = [stream for stream in found if stream.name in names]
    else:
        asked = [catalogue.stream(connection, group_id, name) for name in sorted(names)]
        found = [stream for stream in asked if stream is not None]
    return [
        Source(name, stream_id, live[name].state if name in live and live[name].has_row else state)
        for stream_id, name, state in found
    ]
