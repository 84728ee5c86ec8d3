"""`python -m bench.asynchronous`: how fast events are accepted, durable, and how their backlog is worked off.

Accepting stands beside a bare batched SQLite insert of the same rows. The backlog is of 10,000 events of a
trivial function; while it drains, another function is invoked synchronously, and its latencies stand beside
those of the same load alone.
"""

import json
import os
import platform
import sqlite3
import statistics
import sys
import time
from typing import Final

from bench.contestants.base import ECHO, SLEEP
from bench.contestants.squib import Squib
from bench.load import CompiledGenerator, Expect, Generator, Outcome, PythonGenerator, Shape
from bench.process import adopt_orphans
from bench.provision import OUT, Missing, compiled, runtime
from bench.queues import CLIENTS, SECONDS, folder, report
from bench.signing import INVOKE_PATH, signed
from squib.environment.runtimes import RuntimeKind
from squib.model.async_event import AcceptedEvent
from squib.model.function import FunctionKey
from squib.model.units import AccountId, EpochMs, Region, RequestId
from squib.store.async_events import event_row
from squib.store.migrate import migrate
from squib.store.queries import QUERIES

BACKLOG: Final = 10_000
EVENT: Final = json.dumps({"text": "x" * 180}).encode()
ROUNDS: Final = 3
DRAIN_LIMIT_S: Final = 300.0
KEY: Final = FunctionKey(AccountId("0" * 12), Region("us-east-1"), ECHO)


def main() -> int:
    """Measures and prints."""
    adopt_orphans()
    (OUT / "logs").mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}")
    print(f"events of {len(EVENT)} bytes, {CLIENTS} clients")
    for rows in (1, CLIENTS):
        report(f"bare SQLite, {rows} rows a commit", bare(rows), "rows/s")
    try:
        generator: Generator = CompiledGenerator(compiled("load"))
    except Missing:
        generator = PythonGenerator()
    squib = Squib(
        python=runtime(RuntimeKind.PYTHON, "python3.11").name, node=None, arguments=" ".join(sys.argv[1:])
    )
    try:
        squib.start()
        accepting(squib, generator)
        for clients in (1, 8):
            draining(squib, generator, clients)
    finally:
        squib.stop()
    return 0


def python() -> str:
    """The runtime of the functions."""
    return runtime(RuntimeKind.PYTHON, "python3.11").name


def bare(rows: int) -> float:
    """Rows a second that SQLite takes, so many in a commit, by the store's own settings."""
    event = AcceptedEvent(
        RequestId("8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        *(KEY, None, EpochMs(1_769_862_896_000)),
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=a87bd80c:0",
    )
    with folder() as data_dir:
        connection = sqlite3.connect(data_dir / "bare.db", isolation_level=None)
        connection.executescript(QUERIES["configure"])
        connection.executescript(QUERIES["configure_writer"])
        migrate(connection)
        key, started_s = 0, time.perf_counter()
        while time.perf_counter() - started_s < SECONDS:
            connection.execute(QUERIES["begin_write"])
            batch = [event_row(key + number, event, EVENT) for number in range(rows)]
            connection.executemany(QUERIES["add_async_event"], batch)
            connection.execute(QUERIES["commit"])
            key += rows
        elapsed_s = time.perf_counter() - started_s
        connection.close()
    return key / elapsed_s


def accepting(squib: Squib, generator: Generator) -> None:
    """Events of a function that takes a second each: hardly any is run meanwhile."""
    for _ in range(ROUNDS):
        outcome = generator.run(
            squib.port,
            request(squib, SLEEP),
            Shape(connections=CLIENTS, seconds=SECONDS),
            Expect(status=202),
        )
        report("HTTP, accepted", outcome.rate, f"events/s, p50 {outcome.p50_us / 1000:.1f} ms")
        tell_failures(outcome)
    squib.api.delete(SLEEP)
    until_drained(squib)


def draining(squib: Squib, generator: Generator, clients: int) -> None:
    """The same synchronous load, alone and beside a backlog."""
    shape = Shape(connections=clients, seconds=SECONDS)
    invoke = squib.request(ECHO, EVENT)
    expect = Expect(body=EVENT)
    generator.run(squib.port, invoke, Shape(connections=clients, seconds=1), expect)
    alone = [generator.run(squib.port, invoke, shape, expect) for _ in range(ROUNDS)]
    squib.api.create("bench-backlog", python(), "app.sleep")  # and one at a time: a backlog is to grow
    squib.api.reserve("bench-backlog", 1)
    handed_in = generator.run(
        squib.port,
        request(squib, "bench-backlog"),
        Shape(connections=CLIENTS, each=BACKLOG // CLIENTS),
        Expect(status=202),
    )
    tell_failures(handed_in)
    squib.api.handle("bench-backlog", "app.echo")
    squib.api.reserve("bench-backlog", None)
    started_s, left = time.perf_counter(), waiting(squib)
    beside: list[Outcome] = []
    while waiting(squib) > left // 10 and len(beside) < 2 * ROUNDS:
        beside.append(generator.run(squib.port, invoke, shape, expect))
    worked_off = left - waiting(squib)
    if worked_off:
        report(
            f"{clients} synchronous: backlog of {left} beside them",
            worked_off / (time.perf_counter() - started_s),
            "events/s",
        )
    tell(f"{clients} synchronous, alone", alone)
    tell(f"{clients} synchronous, beside the backlog", beside)
    if beside:
        ratios = [median(beside, figure) / median(alone, figure) for figure in ("p50_us", "p99_us")]
        print(f"  beside to alone: p50 {ratios[0]:.2f} x, p99 {ratios[1]:.2f} x", flush=True)
    left, started_s = waiting(squib), time.perf_counter()
    until_drained(squib)
    if left:
        report(f"the last {left} alone", left / (time.perf_counter() - started_s), "events/s")
    squib.api.delete("bench-backlog")


def tell(name: str, outcomes: list[Outcome]) -> None:
    """Medians of the rounds."""
    if outcomes:
        p50, p99 = (median(outcomes, figure) / 1000 for figure in ("p50_us", "p99_us"))
        rate = median(outcomes, "rate")
        report(name, rate, f"invocations/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        for outcome in outcomes:
            tell_failures(outcome)


def median(outcomes: list[Outcome], figure: str) -> float:
    """Of one figure of the rounds."""
    return statistics.median(float(getattr(outcome, figure)) for outcome in outcomes)


def tell_failures(outcome: Outcome) -> None:
    """Says it when something went wrong."""
    if outcome.failed:
        print(f"  {outcome.failed} failed: {outcome.first_failure}")


def request(squib: Squib, function: str) -> bytes:
    """A signed Invoke of the type Event."""
    path = INVOKE_PATH.format(function)
    return signed("POST", squib.port, path, EVENT, squib.key, invocation_type="Event")


def waiting(squib: Squib) -> int:
    """Events that squib has on disk."""
    connection = sqlite3.connect(f"file:{squib.data_dir / 'squib.db'}?mode=ro", uri=True, timeout=10)
    try:
        count: int = connection.execute(QUERIES["count_async_events"]).fetchone()[0]
        return count
    finally:
        connection.close()


def until_drained(squib: Squib) -> None:
    """Waits until there are none."""
    end_s = time.monotonic() + DRAIN_LIMIT_S
    while waiting(squib) and time.monotonic() < end_s:
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
