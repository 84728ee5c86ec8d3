"""An HTTP connection on a transport in memory, with a clock that stands still."""

import asyncio
from collections.abc import Callable

from squib.http.exchange import Exchange
from squib.http.limits import HttpLimits
from squib.http.protocol import Connection


class Pipe(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = self.aborted = self.eof = self.paused = False
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Loop(asyncio.SelectorEventLoop):
    """A loop that is never run: a settable clock and the errors it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.errors: list[object] = []

    def time(self) -> float:
        return self.now

    def call_exception_handler(self, context: dict[str, object]) -> None:
        self.errors.append(context["exception"])


class Server:
    """An owner of one connection that collects exchanges, or answers by `reply`."""

    def __init__(self, loop: Loop, reply: Callable[[Exchange], None] | None = None, **limits: float) -> None:
        self.loop = loop
        self.limits = HttpLimits(**{"max_body_bytes": 1000, **limits})  # type: ignore[arg-type]  # test figures
        self.handler = reply or self._keep
        self.on_too_large = lambda exchange: exchange.respond(413, [("X-Path", exchange.path)])
        self.draining = False
        self.held_bytes = 0
        self.date_line = ""
        self.got: list[Exchange] = []
        self.pipe = Pipe()
        self.connection = Connection(self)
        self.connection.connection_made(self.pipe)

    def _keep(self, exchange: Exchange) -> None:
        self.got.append(exchange)

    def opened(self, connection: Connection) -> bool:
        return True

    def closed(self, connection: Connection) -> None:
        pass

    def feed(self, data: bytes) -> None:
        self.connection.data_received(data)

    @property
    def sent(self) -> bytes:
        return self.pipe.sent


def ok(exchange: Exchange) -> None:
    """Answers with the body."""
    exchange.respond(200, [("X", "y")], exchange.body)


GET = b"GET /a%20b?x=1&y HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nx-two: 2\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
