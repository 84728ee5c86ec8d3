"""`python -m bench.hot_path`: what squib's own code takes of one warm Invoke, in process.

The daemon's parts from the bytes of a signed request to the bytes of its answer, with a store on disk, and a
client and a runtime that answer from a script. No system calls for sockets, pipes and cgroups are in the
figures, and no other process. The lowest of many short rounds counts: other work changes it least.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.signing import INVOKE_PATH, REGION, signed
from bench.signing import AccessKey as SigningKey
from squib.access.callers import CallerBook
from squib.access.denials import Denials
from squib.access.known import StoredThings
from squib.access.permissions import Permissions
from squib.access.resources import ResourceBook
from squib.clock import SystemClock, SystemEntropy
from squib.environment.driver import LogSource, SandboxSpec, Wiring
from squib.environment.pool import Pool
from squib.environment.pool_options import PoolOptions
from squib.environment.tracing.tracer import Tracer
from squib.gateway.authorize import Authorizer
from squib.gateway.server import Gateway, GatewayOptions
from squib.http.exchange import Exchange
from squib.http.limits import HttpLimits
from squib.http.protocol import Connection
from squib.http.server import HttpServer
from squib.invoke.admit import Admission
from squib.invoke.resolve import Resolver
from squib.invoke.synchronous import InvokeService
from squib.invoke.tracing import Tracing
from squib.model.async_event import AcceptedEvent
from squib.model.function import (
    FUNCTIONS,
    CodeRef,
    FunctionKey,
    FunctionRecord,
    FunctionVersion,
    LoggingConfig,
    State,
)
from squib.model.units import AccountId, ArchiveDigest, EpochMs, Region
from squib.model.user_key import USER_KEYS
from squib.scheduler.concurrency import ConcurrencyLedger
from squib.store.credentials import RootCredentials, RootKeys
from squib.store.identities import Identities
from squib.store.key_uses import KeyUses
from squib.store.keyring import KeyRing
from squib.store.sqlite import SqliteStore, StoreOptions, open_store

ROUNDS: Final = 300
CALLS_PER_ROUND: Final = 100
ACCOUNT: Final = AccountId("000000000000")
PORT: Final = 4566
STEPS: Final = (
    "the request, up to the event",
    "a line of the function's log",
    "the runtime's response, up to the answer",
    "its call for the next",
)

_API: Final = "/2018-06-01/runtime/invocation/"
_FIELDS: Final = "Host: 127.0.0.1:9001\r\nUser-Agent: aws-lambda-python/3.11\r\nAccept: */*\r\n"
_NEXT: Final = f"GET {_API}next HTTP/1.1\r\n{_FIELDS}\r\n".encode()
_BODY: Final = b'{"key": "value"}'
_POST: Final = f"POST {_API}".encode()
_RESPONSE: Final = (
    f"/response HTTP/1.1\r\n{_FIELDS}Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n"
).encode() + _BODY
_LINE: Final = b"echo\n"
_REQUEST_ID: Final = b"Lambda-Runtime-Aws-Request-Id: "
_REQUEST_ID_BYTES: Final = 36


class Wire(asyncio.Transport):
    """A connection in memory: keeps what was written last."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 40_000), "sockname": ("127.0.0.1", PORT)})
        self.written = b""
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written = bytes(data)

    def abort(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


class Runtime:
    """The sandbox of the one environment, whose process is this one. Implements driver.Sandbox and
    SandboxDriver as far as a warm invocation needs them."""

    name = "bench"
    starts_extensions = False

    def __init__(self) -> None:
        self.protocol: Any = None
        self.wire: Wire
        self._on_log: Callable[[LogSource, bytes], None]

    async def create(self, spec: SandboxSpec, wiring: Wiring) -> "Runtime":
        wiring.on_start()
        self._on_log = wiring.on_log
        self.protocol = wiring.runtime_api()
        self.wire = Wire(self.protocol)
        self.protocol.data_received(_NEXT)
        return self

    def response(self) -> bytes:
        """To the event that was written last."""
        start = self.wire.written.index(_REQUEST_ID) + len(_REQUEST_ID)
        return _POST + self.wire.written[start : start + _REQUEST_ID_BYTES] + _RESPONSE

    def print_line(self) -> None:
        """As AWS's client frames what a function prints."""
        at_us = (time.time_ns() // 1000).to_bytes(8, "big")
        head = b"\xa5\x5a\x00\x03" + len(_LINE).to_bytes(4, "big") + at_us
        self._on_log(LogSource.TELEMETRY, head + _LINE)

    def drain_logs(self) -> None:
        pass

    def memory_peak_bytes(self) -> int:
        return 50 << 20

    def freeze(self) -> None:
        pass

    def thaw(self) -> None:
        pass

    async def destroy(self) -> None:
        pass


def function() -> FunctionVersion:
    """What is invoked."""
    return FunctionVersion(
        key=FunctionKey(ACCOUNT, Region(REGION), "echo"),
        created_at_ms=EpochMs(0),
        modified_at_ms=EpochMs(0),
        revision_id="revision",
        content_id="content",
        runtime="python3.11",
        handler="app.handler",
        role_arn=f"arn:aws:iam::{ACCOUNT}:role/r",
        code=CodeRef(digest=ArchiveDigest("0" * 64), size_bytes=1),
        timeout_s=30,
        logging=LoggingConfig(log_group="/aws/lambda/echo"),
        state=State.ACTIVE,
    )


async def no_code(version: FunctionVersion) -> None:
    """Nothing is unpacked for a process that is not started."""


def no_event(event: AcceptedEvent, payload: bytes) -> "asyncio.Future[None]":
    """No call asks for an invocation later."""
    raise NotImplementedError


class Daemon:
    """The parts of a squib that an Invoke passes, wired as `squib.app` does."""

    def __init__(self, store: SqliteStore, data_dir: Path, runtime: Any) -> None:
        clock, entropy = SystemClock(), SystemEntropy()
        roots = RootCredentials.load_or_create(data_dir, ACCOUNT, None, entropy)
        identities = Identities(store)
        keyring = KeyRing(
            RootKeys(data_dir, roots),
            identities,
            store.collection(USER_KEYS),
            KeyUses(store),
            store.seal,
            clock,
            entropy,
        )
        meter = store.usage.meter
        self.pool = Pool(
            driver=runtime,
            ensure_code=no_code,
            logs=store.logs,
            clock=clock,
            entropy=entropy,
            mint=keyring.mint,
            revoke=keyring.revoke,
            endpoint=lambda exchange: Exchange.respond(exchange, 204, ()),
            meter=meter,
            options=PoolOptions(freeze_after_ms=60_000),
        )
        unlimited = ConcurrencyLedger(1_000_000)  # calls a second are limited by it, too
        admission = Admission(unlimited, store, clock)
        invoke = InvokeService(
            Resolver.of(store, entropy.draw),
            self.pool,
            Tracing(Tracer(store.traces.put, lambda function: True, clock, entropy), entropy),
            admission,
            meter,
            accept=no_event,
            may_recur=lambda key: False,
        )
        permissions = Permissions(identities, CallerBook(identities), ResourceBook(store), clock)
        self.gateway = Gateway(
            handlers={("lambda", "Invoke"): invoke.invoke},
            prompt_handlers={("lambda", "Invoke"): invoke.invoke_promptly},
            credentials=keyring,
            authorizer=Authorizer(permissions, StoredThings(store, identities), Denials()),
            clock=clock,
            entropy=entropy,
            options=GatewayOptions(
                base_url=f"http://127.0.0.1:{PORT}", default_account_id=ACCOUNT, default_region=Region(REGION)
            ),
        )
        self.http = HttpServer(self.gateway.on_exchange, HttpLimits(max_body_bytes=1 << 20))
        root = roots.default_key
        self.key = SigningKey(access_key_id=root.access_key_id, secret_access_key=root.secret_access_key)


def measure(
    connection: Connection, client: Wire, runtime: Runtime, request: bytes, calls: int
) -> list[float]:
    """Seconds of one round of `calls`, by step."""
    now = time.perf_counter
    took = [0.0] * len(STEPS)
    for _ in range(calls):
        began = now()
        connection.data_received(request)
        delivered = now()
        runtime.print_line()
        printed = now()
        response = runtime.response()
        answers = now()
        runtime.protocol.data_received(response)
        answered = now()
        runtime.protocol.data_received(_NEXT)
        took[0] += delivered - began
        took[1] += printed - delivered
        took[2] += answered - answers
        took[3] += now() - answered
    assert client.written.startswith(b"HTTP/1.1 200 ") and client.written.endswith(_BODY), client.written
    return took


async def serve(
    data_dir: Path,
    profile: cProfile.Profile | None = None,
    *,
    round_count: int = ROUNDS,
    calls: int = CALLS_PER_ROUND,
) -> list[list[float]]:
    """Rounds, each in microseconds an invocation by step."""
    runtime = Runtime()
    async with await open_store(StoreOptions(data_dir=data_dir), SystemClock()) as store:
        version = function()
        record = FunctionRecord(declared=version, active=version)
        await store.write(lambda transaction: transaction.put(FUNCTIONS, version.key, record))
        daemon = Daemon(store, data_dir, runtime)
        async with asyncio.TaskGroup() as tasks:
            serving = [tasks.create_task(daemon.pool.run()), tasks.create_task(daemon.gateway.run())]
            await asyncio.sleep(0)
            connection = daemon.http.protocol_factory()
            client = Wire(connection)
            request = signed("POST", PORT, INVOKE_PATH.format("echo"), _BODY, daemon.key)
            connection.data_received(request)  # the cold start
            while not runtime.protocol or _REQUEST_ID not in runtime.wire.written:
                await asyncio.sleep(0.001)
            runtime.protocol.data_received(runtime.response())
            runtime.protocol.data_received(_NEXT)
            while not client.written:
                await asyncio.sleep(0.001)
            rounds = []
            for _ in range(round_count):
                await store.logs.flush()
                if profile is not None:
                    profile.enable()
                took = measure(connection, client, runtime, request, calls)
                if profile is not None:
                    profile.disable()
                rounds.append([step / calls * 1e6 for step in took])
            for task in serving:
                task.cancel()
            daemon.http.abort()
        return rounds


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.hot_path", description=__doc__)
    parser.add_argument(
        "--profile", action="store_true", help="show where the time goes, by function, instead"
    )
    profile = cProfile.Profile() if parser.parse_args().profile else None
    gc.disable()  # a request leaves no cycles
    with tempfile.TemporaryDirectory() as folder:
        rounds = uvloop.run(serve(Path(folder), profile))
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return 0
    for step, name in enumerate(STEPS):
        print(f"{min(took[step] for took in rounds):7.2f} us  {name}")
    print(f"{min(sum(took) for took in rounds):7.2f} us  together")
    return 0


if __name__ == "__main__":
    sys.exit(main())
