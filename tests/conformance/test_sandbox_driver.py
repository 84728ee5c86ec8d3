"""What every sandbox driver must do, held to real runtimes: start, log, end, freeze, restart, destroy."""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from harness.environments import function
from squib.environment.driver import (
    End,
    EndCause,
    LogSource,
    RuntimeUnavailable,
    Sandbox,
    SandboxDriver,
    SandboxSpec,
    Wiring,
)
from squib.environment.drivers.plain import PlainDriver, PlainOptions
from squib.environment.drivers.sandbox import SandboxDriverOptions, ZygoteDriver, start_launcher
from squib.environment.launcher import LauncherOptions
from squib.environment.log_lines import FrameParser
from squib.environment.privileges import SANDBOX_UID_BASE
from squib.environment.rootfs import root_spec
from squib.environment.runtime_api import RuntimeApi
from squib.environment.runtime_session import Meaning
from squib.environment.runtimes import Runtime, RuntimeSearch, discover
from squib.http.exchange import Exchange
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer
from squib.model.invocation import Invocation
from squib.model.limits import FILE_DESCRIPTORS
from squib.model.units import ArchiveDigest, EnvironmentId, EpochMs, RequestId

pytestmark = pytest.mark.slow

CODE = ArchiveDigest("c0de" * 16)
PYTHON = """
import logging, os, signal, tempfile, urllib.request
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
        self.wiring = Wiring(
            runtime_api=self.api.protocol,
            endpoint=endpoint.protocol_factory,
            on_log=lambda source, data: self.logs.append((source, data)),
            on_start=lambda: None,
            on_end=self.ends.put_nowait,
            on_extension_end=lambda index, end: self.extension_ends.put_nowait((index, end)),
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

    async def start(
        self,
        runtime: str = "python3.11",
        handler: str = "app.handler",
        *,
        extensions: tuple[str, ...] = (),
    ) -> Listener:
        if runtime not in self.runtimes:
            pytest.skip(f"{runtime} is not on this machine")
        listener = Listener(self.api)
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
            },
            memory_mib=256,
            ephemeral_mib=512,
            opt=CODE if extensions else None,
            extensions=extensions,
            extension_variables={"OWN": "theirs", "PATH": "/usr/bin:/bin"} if extensions else {},
        )
        listener.sandbox = await self.driver.create(spec, listener.wiring)
        return listener


@contextlib.asynccontextmanager
async def _plain(folder: Path, runtimes: Mapping[str, Runtime], port: int) -> AsyncIterator[SandboxDriver]:
    driver = PlainDriver(
        runtimes, {"java21": "no Java"}, PlainOptions(code_dir=folder / "code", work_dir=folder / "plain")
    )
    try:
        yield driver
    finally:
        await driver.close()
    assert not (folder / "plain").exists()


@contextlib.asynccontextmanager
async def _sandbox(folder: Path, runtimes: Mapping[str, Runtime], port: int) -> AsyncIterator[SandboxDriver]:
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
        max_slots=8,
        ready_slots=2,
        endpoint_port=port,
        outside=False,
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


Story = Callable[[Bench], Awaitable[None]]
_DRIVERS = {"plain": _plain, "sandbox": _sandbox}


@pytest.fixture(params=list(_DRIVERS))
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Story], None]]:
    folder = Path(tempfile.mkdtemp(prefix="squib-driver-"))
    folder.chmod(0o755)
    code = folder / "code" / CODE
    code.mkdir(parents=True)
    (code / "app.py").write_text(PYTHON)
    (code / "node.js").write_text(NODE)
    (code / "bootstrap").write_text(BOOTSTRAP)
    (code / "bootstrap").chmod(0o755)
    (code / "extensions").mkdir()
    for name, text in EXTENSIONS.items():
        (code / "extensions" / name).write_text(text)
        (code / "extensions" / name).chmod(0o755 if text else 0o644)
    wanted = ("python3.11", "nodejs20.x", "provided.al2023")
    runtimes = {name: one for name, one in discover(RuntimeSearch()).items() if name in wanted}

    async def main(story: Story) -> None:
        api = HttpServer(
            lambda exchange: exchange.respond(200, (), exchange.path.encode()),
            HttpLimits(max_body_bytes=1000),
        )
        host, port = await api.listen("127.0.0.1", 0)
        async with _DRIVERS[request.param](folder, runtimes, port) as driver, asyncio.timeout(60):
            await story(Bench(driver, runtimes, f"http://{host}:{port}", api))
        api.abort()

    yield lambda story: uvloop.run(main(story))
    shutil.rmtree(folder)


Run = Callable[[Story], None]


def test_python_runs_keeps_its_globals_and_sees_its_variables(run: Run) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.start()
        first, second = await one.ask(b'{"do": ""}'), await one.ask(b'{"do": ""}')
        assert b'"count": 1' in first and b'"own": "mine"' in first
        assert b'"count": 2' in second
        assert one.sandbox.memory_peak_bytes() > 5 << 20
        await one.sandbox.destroy()

    run(story)


@pytest.mark.parametrize("runtime", ["nodejs20.x", "provided.al2023"])
def test_other_runtimes_run(run: Run, runtime: str) -> None:
    async def story(bench: Bench) -> None:
        if runtime.startswith("provided") and shutil.which("curl") is None:
            pytest.skip("the test's bootstrap needs curl")
        one = await bench.start(runtime, "node.handler")
        assert await one.ask(b'{"a":1}') == b'{"a":1}'
        assert "printed" in one.output() + one.telemetry()
        await one.sandbox.destroy()

    run(story)


def test_all_that_was_written_before_the_answer_is_there_with_it(run: Run) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.start()
        for number in range(1, 21):
            await one.ask(b'{"do": "log"}')
            assert one.output().count("printed\n") == number
            assert one.telemetry().count("\tlogged\n") == number
        await one.sandbox.destroy()

    run(story)


@pytest.mark.parametrize(
    ("what", "end"),
    [("exit", End(cause=EndCause.EXITED, status=3)), ("die", End(cause=EndCause.SIGNALED, status=6))],
)
def test_end_is_told_once_after_the_last_words_and_a_restart_follows(run: Run, what: str, end: End) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.start()
        await one.ask(b'{"do": "mark"}')
        one.send(b'{"do": "%s"}' % what.encode())
        assert await one.ends.get() == end
        if what == "exit":
            assert "last words" in one.output()
        await one.ready.get()
        one.api.runtime_started()
        await one.sandbox.restart()
        await one.ready.get()
        answer = await one.ask(b'{"do": ""}')
        assert b'"count": 1' in answer and b'"marked": true' in answer
        await one.sandbox.destroy()
        assert one.ends.empty()

    run(story)


def test_kill_ends_the_runtime_keeps_tmp_and_may_be_repeated(run: Run) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.start()
        await one.ask(b'{"do": "mark"}')
        await one.ready.get()
        await one.sandbox.kill()
        assert (await one.ends.get()).cause is EndCause.SIGNALED
        await one.sandbox.kill()
        one.api.runtime_started()
        await one.sandbox.restart()
        await one.ready.get()
        assert b'"marked": true' in await one.ask(b'{"do": ""}')
        one.api.runtime_started()
        await one.sandbox.restart()  # of a running runtime: ends it first
        assert (await one.ends.get()).cause is EndCause.SIGNALED
        await one.ready.get()
        assert b'"count": 1' in await one.ask(b'{"do": ""}')
        await one.sandbox.destroy()
        assert one.ends.empty()

    run(story)


def test_frozen_environment_goes_on_where_it_was(run: Run) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.start()
        await one.ask(b'{"do": ""}')
        for _ in range(5):
            one.sandbox.freeze()
            one.sandbox.freeze()
            one.sandbox.thaw()
            one.sandbox.thaw()
            await one.ask(b'{"do": ""}')
        one.sandbox.freeze()
        await one.sandbox.kill()
        assert (await one.ends.get()).cause is EndCause.SIGNALED
        await one.sandbox.destroy()

    run(story)


def test_destroy_tells_no_end_and_may_be_repeated(run: Run) -> None:
    async def story(bench: Bench) -> None:
        one, frozen = await bench.start(), await bench.start()
        await one.ask(b'{"do": ""}')
        await frozen.ready.get()
        frozen.sandbox.freeze()
        for listener in (one, frozen):
            await listener.sandbox.destroy()
            await listener.sandbox.destroy()
            assert listener.ends.empty()

    run(story)


def test_function_reaches_the_endpoint(run: Run) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.start()
        assert await one.ask(b'{"do": "call"}') == b'"/hello"'
        await one.sandbox.destroy()

    run(story)


def test_runtime_that_is_not_here_is_refused_with_the_reason(run: Run) -> None:
    async def story(bench: Bench) -> None:
        with pytest.raises(RuntimeUnavailable, match="no Java"):
            await bench.driver.prepare("java21")
        await bench.driver.prepare("provided.al2023")

    run(story)


def test_closing_the_driver_ends_what_is_left(run: Run) -> None:
    pids: list[int] = []

    async def story(bench: Bench) -> None:
        one = await bench.start()
        await one.ready.get()
        if bench.driver.name == "plain":
            answer = await one.ask(b'{"do": ""}')
            pids.append(int(answer.rsplit(b":", 1)[1].strip(b" }")))

    run(story)
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()


def test_runtime_can_be_asked_to_end_and_be_killed(run: Run) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.start()
        await one.ready.get()
        one.sandbox.terminate_runtime()
        assert await one.ends.get() == End(cause=EndCause.SIGNALED, status=15)
        one.sandbox.terminate_runtime()  # nobody is there
        one.sandbox.kill_runtime()
        one.api.runtime_started()
        await one.sandbox.restart()
        await one.ready.get()
        one.sandbox.kill_runtime()
        assert (await one.ends.get()).status == 9
        await one.sandbox.destroy()

    run(story)


def test_socket_is_of_the_sandboxes_own_network(run: Run) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.start()
        await one.ready.get()
        made = await one.sandbox.open_socket()
        loop = asyncio.get_running_loop()
        with made:
            port = int(bench.url.rsplit(":", 1)[1])
            await loop.sock_connect(made, ("127.0.0.1", port))
            await loop.sock_sendall(made, b"GET /seen HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"/seen" in await loop.sock_recv(made, 4096)
        await one.sandbox.destroy()
        if bench.driver.name == "sandbox":
            with pytest.raises(OSError):
                await one.sandbox.open_socket()

    run(story)


def test_extensions_start_before_the_runtime_and_end_apart_from_it(run: Run) -> None:
    async def story(bench: Bench) -> None:
        if bench.driver.name == "plain":
            with pytest.raises(RuntimeUnavailable, match="external extensions"):
                await bench.start(extensions=("good",))
            return
        one = await bench.start(extensions=("good", "short", "unstartable"))
        ends = {await one.extension_ends.get() for _ in range(2)}
        assert ends == {
            (1, End(cause=EndCause.EXITED, status=3)),
            (2, End(cause=EndCause.NOT_STARTED, status=13)),
        }
        assert one.ready.empty()
        one.sandbox.begin_runtime()
        await one.ready.get()
        assert b'"own": "mine"' in await one.ask(b'{"do": ""}')
        one.sandbox.terminate_runtime()
        assert await one.ends.get() == End(cause=EndCause.SIGNALED, status=15)
        assert one.extension_ends.empty()
        await one.sandbox.kill()
        assert one.extension_ends.empty() and one.ends.empty()
        said = b"".join(data for source, data in one.logs if source is LogSource.EXTENSION)
        assert said == b"extension theirs in /\n"
        one.api.runtime_started()
        await one.sandbox.restart()
        assert {(await one.extension_ends.get())[0] for _ in range(2)} == {1, 2}
        await one.sandbox.destroy()

    run(story)
