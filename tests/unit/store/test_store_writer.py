"""The writer thread: jobs that wait share a commit, and one that fails undoes only itself."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from squib.store.writer import WriteFailed, Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "db"
    sqlite3.connect(path).execute("CREATE TABLE t (x UNIQUE)")
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


def insert(value: int) -> Callable[[sqlite3.Connection], int]:
    def job(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        return value

    return job


def stored(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]


def test_a_failing_job_undoes_only_itself(connection: sqlite3.Connection, path: Path) -> None:
    writer = Writer(connection)
    started, may_go_on = threading.Event(), threading.Event()
    committed: list[int] = []

    def hold(_: sqlite3.Connection) -> None:
        started.set()
        may_go_on.wait(10)

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (99)")
        raise ValueError("no")

    held = writer.submit(hold)
    assert started.wait(10)
    good = [writer.submit(insert(n), committed=partial(committed.append, n)) for n in (1, 2)]
    failing = writer.submit(fail, committed=lambda: committed.append(99))
    clash = writer.submit(insert(1))
    late = writer.submit(insert(3), committed=lambda: committed.append(3))
    cancelled = writer.submit(insert(4))
    assert cancelled.cancel()
    may_go_on.set()
    assert held.result(10) is None
    assert [future.result(10) for future in good] == [1, 2]
    assert late.result(10) == 3
    with pytest.raises(ValueError, match="no"):
        failing.result(10)
    with pytest.raises(WriteFailed, match="UNIQUE"):
        clash.result(10)
    writer.close()
    assert stored(path) == [1, 2, 3]
    assert committed == [1, 2, 3]


def test_a_result_means_that_it_is_committed(connection: sqlite3.Connection, path: Path) -> None:
    writer = Writer(connection)
    writer.submit(insert(1)).result(10)
    assert stored(path) == [1]
    writer.close()


def test_a_transaction_that_sqlite_refuses_fails_every_job_in_it(path: Path) -> None:
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    writer = Writer(reader)
    with pytest.raises(WriteFailed, match="readonly"):
        writer.submit(insert(1)).result(10)
    writer.close()
    reader.close()


def test_a_transaction_that_sqlite_rolls_back_fails_as_a_whole(
    connection: sqlite3.Connection, path: Path
) -> None:
    writer = Writer(connection)

    def lose(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("INSERT OR ROLLBACK INTO t VALUES (1)")

    with pytest.raises(WriteFailed):
        writer.submit(lose).result(10)
    assert writer.submit(insert(2)).result(10) == 2
    writer.close()
    assert stored(path) == [2]


def test_close_finishes_what_was_submitted_and_takes_no_more(
    connection: sqlite3.Connection, path: Path
) -> None:
    writer = Writer(connection)
    futures = [writer.submit(insert(n)) for n in range(1000)]
    writer.close()
    writer.close()
    assert [future.result(0) for future in futures] == list(range(1000))
    assert len(stored(path)) == 1000
    with pytest.raises(WriteFailed, match="closed"):
        writer.submit(insert(1))
