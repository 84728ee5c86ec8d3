"""What a squib has on disk, read beside it or after its end."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from harness.squib import Squib
from squib.model.stream_checkpoint import STREAM_CHECKPOINTS, StreamCheckpoint
from squib.store.queries import QUERIES


@contextmanager
def database(squib: Squib) -> Iterator[sqlite3.Connection]:
    """Its database, for reading only."""
    connection = sqlite3.connect(f"file:{squib.data_dir / 'squib.db'}?mode=ro", uri=True, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def stored_events(squib: Squib) -> int:
    """Events of asynchronous invocations that it still has."""
    with database(squib) as connection:
        found: int = connection.execute(QUERIES["count_async_events"]).fetchone()[0]
        found += connection.execute(QUERIES["count_async_event_progress"]).fetchone()[0]
        return found


def stored_checkpoints(squib: Squib) -> list[StreamCheckpoint]:
    """How far shards of streams have been read."""
    with database(squib) as connection:
        rows = connection.execute(
            "SELECT document FROM item WHERE kind = ?", (STREAM_CHECKPOINTS.name,)
        ).fetchall()
    return [msgspec.json.decode(document, type=StreamCheckpoint) for (document,) in rows]
