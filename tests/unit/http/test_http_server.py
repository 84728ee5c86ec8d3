"""The HTTP server on real sockets, on both event loops."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from squib.http.exchange import Exchange
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer

LIMITS = HttpLimits(max_body_bytes=7_000_000)
Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Runner:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def runner(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as it:
            it.run(main)

    return runner


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read(-1)
    writer.close()
    return answer


def test_echoes_a_large_body_both_ways(run: Runner) -> None:
    body = bytes(range(251)) * 25_000

    async def main() -> None:
        server = HttpServer(lambda exchange: exchange.respond(200, (), exchange.body), LIMITS)
        _, port = await server.listen("127.0.0.1", 0)
        request = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        answer = await ask(port, request)
        head, _, echoed = answer.partition(b"\r\n\r\n")
        assert echoed == body
        assert b"\r\nDate: " in head
        await server.drain(1)

    run(main())


def test_too_large_a_body_is_answered_while_the_client_still_sends(run: Runner) -> None:
    async def main() -> None:
        server = HttpServer(lambda exchange: exchange.respond(200, ()), HttpLimits(max_body_bytes=1000))
        _, port = await server.listen("127.0.0.1", 0)
        body = b"x" * 3_000_000
        answer = await ask(port, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert answer.startswith(b"HTTP/1.1 413 ")
        await server.drain(1)

    run(main())


def test_drain_lets_the_open_exchange_end_and_takes_no_more(run: Runner) -> None:
    async def main() -> None:
        got: list[Exchange] = []
        arrived = asyncio.Event()

        def handler(exchange: Exchange) -> None:
            got.append(exchange)
            arrived.set()

        server = HttpServer(handler, LIMITS)
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        await server.listen_on(listening)
        _idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(ask(port, b"GET / HTTP/1.1\r\n\r\n"))
            await arrived.wait()
            drained = tasks.create_task(server.drain(10))
            await asyncio.sleep(0)
            assert not drained.done()
            got[0].respond(200, (), b"last")
        assert asked.result().endswith(b"last")
        assert await _idle_reader.read() == b""
        idle_writer.close()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        assert server.connection_count == 0

    run(main())


def test_drain_aborts_what_is_parked_when_time_is_over(run: Runner) -> None:
    async def main() -> None:
        arrived = asyncio.Event()
        gone: list[bool] = []

        def park(exchange: Exchange) -> None:
            exchange.on_gone = lambda: gone.append(True)
            arrived.set()

        server = HttpServer(park, LIMITS)
        _, port = await server.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /next HTTP/1.1\r\n\r\n")
        await arrived.wait()
        await server.drain(0)
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        assert gone == [True]
        writer.close()

    run(main())


def test_connection_over_the_limit_is_closed_while_all_others_are_owed_an_answer(run: Runner) -> None:
    async def main() -> None:
        open_ones: list[Exchange] = []
        arrived = asyncio.Event()

        def hold(exchange: Exchange) -> None:
            open_ones.append(exchange)
            arrived.set()

        server = HttpServer(hold, HttpLimits(max_body_bytes=10, max_connections=1))
        _, port = await server.listen("127.0.0.1", 0)
        first, first_writer = await asyncio.open_connection("127.0.0.1", port)
        first_writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await arrived.wait()
        second, second_writer = await asyncio.open_connection("127.0.0.1", port)
        assert await second.read() == b""
        open_ones[0].respond(200, ())
        assert (await first.readline()).startswith(b"HTTP/1.1 200")
        first_writer.close()
        second_writer.close()
        await server.drain(0)

    run(main())


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"])
def test_who_only_holds_connections_keeps_nobody_out(run: Runner, said: bytes) -> None:
    async def main() -> None:
        limits = HttpLimits(max_body_bytes=10, max_connections=4)
        server = HttpServer(lambda exchange: exchange.respond(200, ()), limits)
        _, port = await server.listen("127.0.0.1", 0)
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        for _, writer in held:
            writer.write(said)
        while server.connection_count < 4:
            await asyncio.sleep(0)
        answer = await ask(port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.connection_count <= 4
        for _, writer in held:
            writer.close()
        await server.drain(0)

    run(main())


def test_connections_without_timeouts_are_not_ended_for_others(run: Runner) -> None:
    async def main() -> None:
        limits = HttpLimits(max_body_bytes=10, max_connections=1, has_timeouts=False)
        server = HttpServer(lambda exchange: exchange.respond(200, ()), limits)
        _, port = await server.listen("127.0.0.1", 0)
        first, first_writer = await asyncio.open_connection("127.0.0.1", port)
        second, second_writer = await asyncio.open_connection("127.0.0.1", port)
        assert await second.read() == b""
        first_writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await first.readline()).startswith(b"HTTP/1.1 200")
        first_writer.close()
        second_writer.close()
        await server.drain(0)

    run(main())
