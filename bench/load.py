"""Load on one port: by the compiled generator, or by a slower one in Python where there is no compiler."""

import json
import selectors
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httptools

from bench.client import connect

RECEIVE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What makes an answer right besides no function error."""

    body: bytes | None = None
    contains: str | None = None
    status: int = 200

    def holds(self, body: bytes) -> bool:
        """Whether this body is right."""
        if self.body is not None and body != self.body:
            return False
        return self.contains is None or self.contains.encode() in body


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a period of load gave. Latencies are of right answers only; all 0 when there were none."""

    ok: int
    failed: int
    elapsed_us: int
    """From the first request sent to the last answer complete."""
    p50_us: int
    p90_us: int
    p99_us: int
    max_us: int
    reconnects: int = 0
    first_failure: str = ""

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.ok / (self.elapsed_us / 1e6) if self.elapsed_us else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much load: `seconds`, or `each` answers per connection; one of them must be set."""

    connections: int = 1
    seconds: float = 0.0
    each: int = 0
    grace_s: float = 20.0
    """How long to wait for answers still under way at the end; then they count as failed."""


class Generator(Protocol):
    """Anything that puts load on a port of 127.0.0.1."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    def run(self, port: int, request: bytes, shape: Shape, expect: Expect) -> Outcome:
        """Blocks until the load is over."""


@dataclass(frozen=True, slots=True)
class CompiledGenerator:
    """bench/native/load.c."""

    program: Path
    name: str = "compiled"

    def run(self, port: int, request: bytes, shape: Shape, expect: Expect) -> Outcome:
        """Blocks until the load is over. Raises CalledProcessError when nobody listens."""
        with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
            (sent := Path(folder, "request")).write_bytes(request)
            command = [str(self.program), "--port", str(port), "--request", str(sent)]
            command += ["--connections", str(shape.connections), "--grace", str(shape.grace_s)]
            command += ["--each", str(shape.each)] if shape.each else []
            command += ["--seconds", str(shape.seconds)] if shape.seconds else []
            command += ["--contains", expect.contains] if expect.contains else []
            command += ["--status", str(expect.status)]
            if expect.body is not None:
                (wanted := Path(folder, "body")).write_bytes(expect.body)
                command += ["--body", str(wanted)]
            limit_s = shape.seconds + shape.grace_s + 10
            done = subprocess.run(command, capture_output=True, check=True, timeout=limit_s)
        return Outcome(**json.loads(done.stdout))


@dataclass
class _Client:
    """One connection of the Python generator."""

    socket: socket.socket
    started_s: float = 0.0
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    answers: int = 0
    under_way: bool = False
    is_reused: bool = False
    body: list[bytes] = field(default_factory=list)
    failed_function: bool = False
    done: bool = False
    keeps_alive: bool = True
    parser: Any = None

    def on_header(self, name: bytes, value: bytes) -> None:
        self.failed_function |= name.lower() == b"x-amz-function-error"

    def on_body(self, part: bytes) -> None:
        self.body.append(part)

    def on_message_complete(self) -> None:
        self.done, self.keeps_alive = True, self.parser.should_keep_alive()


class PythonGenerator:
    """The same in Python: at a high rate it takes a core from what it measures."""

    name = "python"

    def run(self, port: int, request: bytes, shape: Shape, expect: Expect) -> Outcome:
        """Blocks until the load is over. Raises OSError when nobody listens."""
        latencies_us: list[int] = []
        failures: list[str] = []
        reconnects = 0
        selector = selectors.DefaultSelector()

        def open_client(client: _Client | None = None) -> _Client:
            client = client or _Client(connect(port))
            client.socket.setblocking(False)
            selector.register(client.socket, selectors.EVENT_READ, client)
            return client

        def reopen(client: _Client) -> None:
            nonlocal reconnects
            selector.unregister(client.socket)
            client.socket.close()
            client.socket, client.is_reused = connect(port), False
            reconnects += 1
            open_client(client)

        def send(client: _Client) -> None:
            try:
                while client.unsent:
                    client.unsent = client.unsent[client.socket.send(client.unsent) :]
            except BlockingIOError:
                pass
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
            selector.modify(client.socket, events, client)

        def start(client: _Client) -> None:
            now_s = time.perf_counter()
            if (shape.each and client.answers >= shape.each) or (shape.seconds and now_s >= stop_s):
                return
            client.parser = httptools.HttpResponseParser(client)
            client.body, client.failed_function, client.done = [], False, False
            client.unsent, client.under_way, client.started_s = memoryview(request), True, now_s
            send(client)

        def finish(client: _Client, failure: str) -> None:
            client.under_way, client.answers = False, client.answers + 1
            if failure:
                failures.append(failure)
            else:
                latencies_us.append(int((time.perf_counter() - client.started_s) * 1e6))

        def receive(client: _Client) -> None:
            try:
                received = client.socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                received = b""
            if not received:
                if client.under_way and not (client.is_reused and not client.body):
                    finish(client, "connection closed")
                reopen(client)
                start(client)
                return
            client.parser.feed_data(received)
            if not client.done:
                return
            body, status = b"".join(client.body), client.parser.get_status_code()
            right = status == expect.status and not client.failed_function and expect.holds(body)
            finish(client, "" if right else f"status {status}: {body[:150]!r}")
            client.is_reused = True
            if not client.keeps_alive:
                reopen(client)
            start(client)

        clients = [open_client() for _ in range(shape.connections)]
        begin_s = time.perf_counter()
        stop_s = begin_s + shape.seconds
        for client in clients:
            start(client)
        last_s = begin_s
        while any(client.under_way for client in clients) and time.perf_counter() < stop_s + shape.grace_s:
            for key, events in selector.select(0.1):
                if events & selectors.EVENT_WRITE:
                    send(key.data)
                if events & selectors.EVENT_READ:
                    receive(key.data)
                    last_s = time.perf_counter()
        failures += ["no answer in time" for client in clients if client.under_way]
        for client in clients:
            client.socket.close()
        selector.close()
        latencies_us.sort()

        def at(quantile: float) -> int:
            return latencies_us[round((len(latencies_us) - 1) * quantile)] if latencies_us else 0

        return Outcome(
            ok=len(latencies_us),
            failed=len(failures),
            elapsed_us=int((last_s - begin_s) * 1e6),
            p50_us=at(0.5),
            p90_us=at(0.9),
            p99_us=at(0.99),
            max_us=at(1.0),
            reconnects=reconnects,
            first_failure=failures[0] if failures else "",
        )
