"""What every sandbox driver must do, held to real runtimes: start, log, end, freeze, restart, destroy."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from harness.drivers import (
    BOOTSTRAP,
    CODE,
    EXTENSIONS,
    NODE,
    PYTHON,
    Bench,
    plain_driver,
    sandbox_driver,
)
from squib.environment.driver import (
    End,
    EndCause,
    LogSource,
    RuntimeUnavailable,
)
from squib.environment.runtimes import RuntimeSearch, discover
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer

pytestmark = pytest.mark.slow

Story = Callable[[Bench], Awaitable[None]]
_DRIVERS = {"plain": plain_driver, "sandbox": sandbox_driver}


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
        try:
            async with _DRIVERS[request.param](folder, runtimes, port) as driver, asyncio.timeout(60):
                with Bench(driver, runtimes, f"http://{host}:{port}", api) as bench:
                    await story(bench)
        finally:
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


def test_what_is_sent_to_the_trace_daemon_inside_comes_out(run: Run) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.start(is_traced=True)
        await one.ready.get()
        loop = asyncio.get_running_loop()
        with await one.sandbox.trace_socket() as made:
            host, port = made.getsockname()[:2]
            assert host == "127.0.0.1"
            assert port == 2000 or bench.driver.name == "plain"
            await one.ask(b'{"do": "send", "port": %d}' % port)
            assert await loop.sock_recv(made, 10) == b"said"
        await one.sandbox.destroy()

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
