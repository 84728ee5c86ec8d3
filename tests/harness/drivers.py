"""Sandbox drivers of this machine, and a stand-in for environments: it keeps what a sandbox says."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from harness.environments import function
from squib.environment.apis.runtime_api import RuntimeApi
from squib.environment.apis.runtime_session import Meaning
from squib.environment.driver import (
    End,
    LogSource,
    Sandbox,
    SandboxDriver,
    SandboxSpec,
    Wiring,
)
from squib.environment.drivers.plain import PlainDriver, PlainOptions
from squib.environment.drivers.sandbox import SandboxDriverOptions, ZygoteDriver, start_launcher
from squib.environment.isolation.launcher import LauncherOptions
from squib.environment.isolation.privileges import SANDBOX_UID_BASE
from squib.environment.isolation.rootfs import root_spec
from squib.environment.log.log_lines import FrameParser
from squib.environment.runtimes import Runtime
from squib.http.exchange import Exchange
from squib.http.server import HttpServer
from squib.model.invocation import Invocation
from squib.model.limits import FILE_DESCRIPTORS
from squib.model.units import ArchiveDigest, EnvironmentId, EpochMs, RequestId

CODE = ArchiveDigest("c0de" * 16)
PYTHON = """
import logging, os, signal, socket, tempfile, urllib.request
MARK = os.path.join(tempfile.gettempdir(), "mark")
count = 0
def handler(event, context):
    global count
    count += 1
    what = event["do"]
    if what == "log":
        print("printed")
        logging.getLogger().warning("logged")
    elif what == "exit":
        print("last words", flush=True)
        os._exit(3)
    elif what == "die":
        os.kill(os.getpid(), signal.SIGABRT)
    elif what == "mark":
        open(MARK, "w").write("here")
    elif what == "send":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"said", ("127.0.0.1", event["port"]))
    elif what == "call":
        with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/hello", timeout=5) as answer:
            return answer.read().decode()
    return {"count": count, "marked": os.path.exists(MARK), "own": os.environ.get("OWN"), "pid": os.getpid()}
"""
NODE = "exports.handler = async (event) => { console.log('printed'); return event; };\n"
BOOTSTRAP = """#!/bin/sh
while true; do
  headers=$(mktemp)
  curl -sS -D "$headers" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next" > "$headers.body"
  id=$(grep -i request-id "$headers" | tr -d '\\r' | cut -d' ' -f2)
  echo printed
  curl -sS --data-binary @"$headers.body" \\
    "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response" > /dev/null
done
"""


EXTENSIONS = {
    "good": """#!/bin/sh
echo "extension $OWN in $PWD"
trap 'echo asked to end; exit 7' TERM
while true; do sleep 0.05; done
""",
    "short": "#!/bin/sh\nexit 3\n",
    "unstartable": "",
}
"""`good` shows that SIGTERM is for the runtime alone: it would say so."""


class Listener:
    """Stands where an environment does: talks to one sandbox, and keeps what it says."""

    def __init__(self, endpoint: HttpServer) -> None:
        self.api = RuntimeApi(self)
        self.api.runtime_started()
        self.sandbox: Sandbox
        self.logs: list[tuple[LogSource, bytes]] = []
        self.ends: asyncio.Queue[End] = asyncio.Queue()
        self.ready: asyncio.Queue[None] = asyncio.Queue()
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.calls: asyncio.Queue[Exchange] = asyncio.Queue()
        self.extension_ends: asyncio.Queue[tuple[int, End]] = asyncio.Queue()
        self.snapshots: asyncio.Queue[str | None] = asyncio.Queue()
        self.wiring = Wiring(
            runtime_api=self.api.protocol,
            endpoint=endpoint.protocol_factory,
            on_log=lambda source, data: self.logs.append((source, data)),
            on_start=lambda: None,
            on_end=self.ends.put_nowait,
            on_extension_end=lambda index, end: self.extension_ends.put_nowait((index, end)),
            on_snapshot=self.snapshots.put_nowait,
        )
        self._count = 0

    # RuntimeEvents

    def on_ready(self) -> None:
        self.ready.put_nowait(None)

    def on_handing_out(self) -> EpochMs:
        return EpochMs(2_000_000_000_000)

    def on_handed_out(self) -> None:
        pass

    def on_next(self) -> None:
        pass

    def on_extension_call(self, exchange: Exchange) -> None:
        self.calls.put_nowait(exchange)

    def on_response(self, payload: bytes) -> None:
        self.sandbox.drain_logs()
        self.answers.put_nowait(payload)

    def on_error(self, error_type: str | None, payload: bytes) -> None:
        self.answers.put_nowait(b"error: " + payload)

    def on_refused_response(self, meaning: Meaning) -> None:
        self.answers.put_nowait(meaning.name.encode())

    def on_init_error(self, error_type: str | None, payload: bytes) -> None:
        self.answers.put_nowait(b"init error: " + payload)

    # what tests do

    def send(self, payload: bytes) -> None:
        self._count += 1
        self.api.deliver(_invocation(RequestId(f"00000000-0000-4000-8000-{self._count:012x}"), payload))

    async def ask(self, payload: bytes) -> bytes:
        self.send(payload)
        return await self.answers.get()

    def output(self) -> str:
        return b"".join(data for source, data in self.logs if source is LogSource.OUTPUT).decode()

    def telemetry(self) -> str:
        parser = FrameParser()
        data = b"".join(data for source, data in self.logs if source is LogSource.TELEMETRY)
        return "".join(message for _, message in parser.feed(data))


def _invocation(request_id: RequestId, payload: bytes) -> Invocation:
    return Invocation(
        request_id=request_id,
        function=function(),
        invoked_arn="arn:aws:lambda:us-east-1:000000000000:function:f",
        payload=payload,
        trace_id="Root=1-0-0",
        received_at_ms=EpochMs(0),
    )


class Bench:
    """One driver on this machine, and the means to start environments with it."""

    def __init__(
        self, driver: SandboxDriver, runtimes: Mapping[str, Runtime], url: str, api: HttpServer
    ) -> None:
        self.driver, self.runtimes, self.url, self.api = driver, runtimes, url, api
        self._numbers = iter(range(1, 1000))
        self._listeners: list[Listener] = []

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        """No connection of a runtime outlives the event loop."""
        for listener in self._listeners:
            listener.api.close()

    def _listener(self) -> Listener:
        self._listeners.append(Listener(self.api))
        return self._listeners[-1]

    async def start(
        self,
        runtime: str = "python3.11",
        handler: str = "app.handler",
        *,
        extensions: tuple[str, ...] = (),
        is_traced: bool = False,
        is_template: bool = False,
        wrapper: str | None = None,
    ) -> Listener:
        if runtime not in self.runtimes:
            pytest.skip(f"{runtime} is not on this machine")
        listener = self._listener()
        spec = SandboxSpec(
            environment_id=EnvironmentId(f"{next(self._numbers):032x}"),
            runtime=runtime,
            code=CODE,
            handler=handler,
            variables={
                "_HANDLER": handler,
                "OWN": "mine",
                "AWS_ENDPOINT_URL": self.url,
                "AWS_LAMBDA_FUNCTION_NAME": "f",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
                "AWS_LAMBDA_LOG_STREAM_NAME": "s",
                "LAMBDA_TASK_ROOT": "/var/task",
                **({"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"} if is_template else {}),
            },
            memory_mib=256,
            ephemeral_mib=512,
            opt=CODE if extensions else None,
            extensions=extensions,
            extension_variables={"OWN": "theirs", "PATH": "/usr/bin:/bin"} if extensions else {},
            is_traced=is_traced,
            is_template=is_template,
            wrapper=wrapper,
        )
        listener.sandbox = await self.driver.create(spec, listener.wiring)
        return listener

    async def template(self, runtime: str = "python3.11", handler: str = "app.handler") -> Listener:
        """A template whose snapshot is taken."""
        template = await self.start(runtime, handler, is_template=True)
        assert await template.snapshots.get() is None, template.output()
        return template

    async def clone(self, template: Listener) -> Listener:
        """A clone that goes on."""
        listener = self._listener()
        number = EnvironmentId(f"{next(self._numbers):032x}")
        listener.sandbox = await self.driver.clone(template.sandbox, number, listener.wiring)
        return listener


@contextlib.asynccontextmanager
async def plain_driver(
    folder: Path, runtimes: Mapping[str, Runtime], port: int
) -> AsyncIterator[SandboxDriver]:
    driver = PlainDriver(
        runtimes, {"java21": "no Java"}, PlainOptions(code_dir=folder / "code", work_dir=folder / "plain")
    )
    try:
        yield driver
    finally:
        await driver.close()
    assert not (folder / "plain").exists()


@contextlib.asynccontextmanager
async def sandbox_driver(
    folder: Path, runtimes: Mapping[str, Runtime], port: int, max_slots: int = 8, *, outside: bool = False
) -> AsyncIterator[SandboxDriver]:
    if os.getuid() != 0:
        pytest.skip("needs root")
    (folder / "run").mkdir(mode=0o700)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.set_inheritable(theirs.fileno(), True)
    options = LauncherOptions(
        control_fd=theirs.fileno(),
        run_dir=str(folder / "run"),
        code_dir=str(folder / "code"),
        daemon_uid=os.getuid(),
        uid_base=SANDBOX_UID_BASE,
        max_slots=max_slots,
        ready_slots=2,
        endpoint_port=port,
        outside=outside,
        rootless=False,
        file_descriptors=FILE_DESCRIPTORS,
        roots={name: root_spec(runtime) for name, runtime in runtimes.items()},
    )
    pid = start_launcher(options)
    theirs.close()
    driver = ZygoteDriver(ours, runtimes, {"java21": "no Java"}, SandboxDriverOptions())
    try:
        await driver.open()
        yield driver
    finally:
        await driver.close()
        os.waitpid(pid, 0)
