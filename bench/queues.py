"""`python -m bench.queues`: what squib's queues take, durable, beside a bare batched SQLite insert.

Three layers, each on a fresh data directory: SQLite alone, with the rows that a send writes; the store's
queues, as consumers inside squib use them; and the SQS API of a running squib.
"""

import asyncio
import json
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.client import exchange
from bench.contestants.environ import plain_environ
from bench.load import CompiledGenerator, Expect, Generator, PythonGenerator, Shape
from bench.process import Server
from bench.provision import OUT, Missing, compiled
from bench.signing import REGION, AccessKey, signed
from squib.clock import SystemClock, SystemEntropy
from squib.model.queue import QUEUES, NewMessage, Queue, QueueKey
from squib.model.units import AccountId, Region
from squib.store.base import Queues, Transaction
from squib.store.queries import QUERIES
from squib.store.sqlite import StoreOptions, open_store

ACCOUNT: Final = AccountId("000000000000")
KEY: Final = QueueKey(ACCOUNT, Region(REGION), "bench")
BODY: Final = "x" * 200
CLIENTS: Final = 32
SECONDS: Final = 3.0
WAKES: Final = 200


def main() -> int:
    """Measures and prints; the order is from the disk outwards."""
    OUT.mkdir(exist_ok=True)
    (OUT / "logs").mkdir(exist_ok=True)
    print(f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}")
    print(f"bodies of {len(BODY)} bytes, {CLIENTS} clients, {SECONDS:.0f} s each")
    for rows in (1, CLIENTS, 10 * CLIENTS):
        report(f"bare SQLite, {rows} rows a commit", bare(rows), "rows/s")
    with folder() as data_dir:
        uvloop.run(inside(data_dir))
    with folder() as data_dir:
        outside(data_dir)
    return 0


def report(name: str, rate: float, unit: str) -> None:
    """One line."""
    print(f"{name:<52}{rate:>10,.0f} {unit}", flush=True)


@contextmanager
def folder() -> Iterator[Path]:
    """A data directory that is removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="squib-bench-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def bare(rows: int) -> float:
    """Rows a second that SQLite takes, as many as `rows` in a commit, by the store's own settings."""
    with folder() as data_dir:
        connection = sqlite3.connect(data_dir / "bare.db", isolation_level=None)
        connection.executescript(QUERIES["configure"])
        connection.executescript(QUERIES["configure_writer"])
        connection.execute(
            "CREATE TABLE message (message_key INTEGER PRIMARY KEY, queue_id INTEGER, position INTEGER, "
            "kept_since_ms INTEGER, visible_at_ms INTEGER, group_id TEXT, head BLOB, content BLOB) STRICT"
        )
        key, started_s = 0, time.perf_counter()
        while time.perf_counter() - started_s < SECONDS:
            connection.execute(QUERIES["begin_write"])
            batch = [(key + n, 1, key + n, 1, 1, None, b"h" * 70, BODY.encode()) for n in range(rows)]
            connection.executemany(QUERIES["add_message"], batch)
            connection.execute(QUERIES["commit"])
            key += rows
        elapsed_s = time.perf_counter() - started_s
        connection.close()
    return key / elapsed_s


async def inside(data_dir: Path) -> None:
    """The store's queues, by tasks in its own process."""
    entropy, clock = SystemEntropy(), SystemClock()

    def new() -> NewMessage:
        return NewMessage(message_id=entropy.request_id(), body=BODY, sender_id="bench")

    async with await open_store(StoreOptions(data_dir=data_dir), clock) as store:
        queues: Queues = store.queues

        def declare(transaction: Transaction) -> None:
            now_ms = clock.now_ms()
            queue = Queue(
                key=KEY,
                queue_id=queues.number(),
                secret=entropy.token(16),
                created_at_ms=now_ms,
                modified_at_ms=now_ms,
                visibility_timeout_s=3600,
            )
            transaction.put(QUEUES, KEY, queue)

        await store.write(declare)

        async def send() -> int:
            return len(await queues.send(KEY, [new()]))

        async def send_ten() -> int:
            return len(await queues.send(KEY, [new() for _ in range(10)]))

        async def consume() -> int:
            received = await queues.receive(KEY, max_count=10)
            await queues.delete(KEY, [one.receipt_handle for one in received])
            return len(received)

        async def all_three() -> int:
            await send_ten()
            return await consume()

        report("inside, send", await rate(send), "messages/s")
        report("inside, send 10", await rate(send_ten), "messages/s")
        report("inside, receive 10 and delete 10", await rate(consume), "messages/s")
        report("inside, send 10, receive 10, delete 10", await rate(all_three), "messages/s")
        await queues.purge(KEY, now_ms=clock.now_ms())
        await wakes(queues, new)


async def rate(work: Callable[[], Awaitable[int]]) -> float:
    """What `work` counts in a second, by as many tasks as there are clients."""
    started_s = time.perf_counter()

    async def client() -> int:
        done = 0
        while time.perf_counter() - started_s < SECONDS:
            count = await work()
            if not count:
                break
            done += count
        return done

    async with asyncio.TaskGroup() as tasks:
        clients = [tasks.create_task(client()) for _ in range(CLIENTS)]
    return sum(task.result() for task in clients) / (time.perf_counter() - started_s)


async def wakes(queues: Queues, new: Callable[[], NewMessage]) -> None:
    """How long after a send begins a receive that waits has its message; the queue is idle."""
    waits_ms = []
    for _ in range(WAKES):
        waiting = asyncio.create_task(queues.receive(KEY, wait_ms=20_000))
        await asyncio.sleep(0.002)  # it waits now
        started_s = time.perf_counter()
        await queues.send(KEY, [new()])
        [got] = await waiting
        waits_ms.append((time.perf_counter() - started_s) * 1000)
        await queues.delete(KEY, [got.receipt_handle])
    ranked = sorted(waits_ms)
    print(
        f"inside, send to received, idle: median {statistics.median(ranked):.2f} ms, "
        f"p99 {ranked[int(len(ranked) * 0.99)]:.2f} ms"
    )


def outside(data_dir: Path) -> None:
    """The SQS API, signed, in the JSON protocol."""
    squib = str(Path(sys.executable).parent / "squib")
    command = [squib, "serve", "--isolation", "plain", "--port", "0", "--data-dir", str(data_dir)]
    server = Server(command, log=OUT / "logs" / "queues.log", environ=plain_environ())
    try:
        port = int(server.wait_for_line(r"squib ready on http://[^\s:]+:(\d+)", 60)[1])
        stored = json.loads((data_dir / "credentials.json").read_text())["accounts"][ACCOUNT]
        key = AccessKey(access_key_id=stored["access_key_id"], secret_access_key=stored["secret_access_key"])

        def request(operation: str, **members: Any) -> bytes:
            body = json.dumps(members).encode()
            return signed("POST", port, "/", body, key, service="sqs", target=f"AmazonSQS.{operation}")

        made = exchange(
            port, request("CreateQueue", QueueName="bench", Attributes={"VisibilityTimeout": "3600"})
        )
        url = json.loads(made.body)["QueueUrl"]
        entries = [{"Id": str(number), "MessageBody": BODY} for number in range(10)]
        try:
            generator: Generator = CompiledGenerator(compiled("load"))
        except Missing:
            generator = PythonGenerator()
        shape = Shape(connections=CLIENTS, seconds=SECONDS)
        for name, times, sent, contains in (
            ("SendMessage", 1, request("SendMessage", QueueUrl=url, MessageBody=BODY), "MD5OfMessageBody"),
            ("SendMessageBatch of 10", 10, request("SendMessageBatch", QueueUrl=url, Entries=entries), '"9"'),
            (
                "ReceiveMessage of 10",
                10,
                # Shown again at once, so that the queue does not run dry.
                request("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0),
                "ReceiptHandle",
            ),
        ):
            outcome = generator.run(port, sent, shape, Expect(contains=contains))
            report(f"HTTP, {name}", outcome.rate * times, f"messages/s, p50 {outcome.p50_us / 1000:.1f} ms")
            if outcome.failed:
                print(f"  {outcome.failed} failed: {outcome.first_failure}")
    finally:
        server.end()


if __name__ == "__main__":
    sys.exit(main())
