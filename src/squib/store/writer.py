"""The one thread that writes to the database. Jobs that wait together share one commit, hence one fsync."""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from squib.model.errors import PlatformError
from squib.store.queries import QUERIES

T = TypeVar("T")

MAX_JOBS_PER_COMMIT: Final = 256  # squib's choice: bounds how long the first of a burst waits for the last


class WriteFailed(PlatformError):
    """The database refused a write (disk full, I/O error). Nothing of that transaction stands."""


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[sqlite3.Connection], Any]
    committed: Callable[[], None]
    future: "Future[Any]"


class Writer:
    """Owns the write connection. `submit` may be called from any thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = threading.Lock()  # orders `submit` against `close`: no job may follow the last
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="squib-store-writer", daemon=True)
        self._thread.start()

    def submit(
        self, run: Callable[[sqlite3.Connection], T], *, committed: Callable[[], None] = lambda: None
    ) -> "Future[T]":
        """Runs `run` inside a transaction on the writer's thread, in order of submission.

        When the future has its result, the transaction is on disk and `committed` has run (on the writer's
        thread). When `run` raises, its own writes are undone and the future has the exception. A future
        cancelled before its turn is passed over.
        """
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise WriteFailed("the store is closed")
            self._jobs.put(_Job(run, committed, future))
        return future

    def close(self) -> None:
        """Finishes the jobs submitted so far and ends the thread. Blocks. Idempotent."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            is_last = False
            while len(jobs) < MAX_JOBS_PER_COMMIT:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    is_last = True
                    break
                jobs.append(following)
            self._run_together([job for job in jobs if job.future.set_running_or_notify_cancel()])
            if is_last:
                return

    def _run_together(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            self._connection.execute(QUERIES["begin_write"])
            outcomes = [(job, *self._attempt(job)) for job in jobs]
            self._connection.execute(QUERIES["commit"])
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute(QUERIES["rollback"])
            for job in jobs:
                job.future.set_exception(_failure(error))
            return
        for job, _, failed in outcomes:
            if failed is None:
                job.committed()
        for job, result, failed in outcomes:
            if failed is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(failed)

    def _attempt(self, job: _Job) -> tuple[Any, BaseException | None]:
        """Runs one job within its savepoint. Raises sqlite3.Error when the whole transaction is lost."""
        self._connection.execute(QUERIES["savepoint"])
        try:
            result = job.run(self._connection)
        except BaseException as error:
            if not self._connection.in_transaction:  # SQLite itself rolled back: disk full, I/O error
                raise sqlite3.OperationalError(str(error)) from error
            self._connection.execute(QUERIES["rollback_savepoint"])
            self._connection.execute(QUERIES["release_savepoint"])
            return None, _failure(error) if isinstance(error, sqlite3.Error) else error
        self._connection.execute(QUERIES["release_savepoint"])
        return result, None


def _failure(error: sqlite3.Error) -> WriteFailed:
    failure = WriteFailed(f"the database refused a write: {error}")
    failure.__cause__ = error
    return failure
