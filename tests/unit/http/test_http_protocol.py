"""HTTP connections on an in-memory transport: framing, order, refusals, and clients that misbehave."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squib.http import protocol
from squib.http.exchange import Exchange
from squib.http.limits import HttpLimits
from squib.http.protocol import Connection
from squib.http.repetition import KnownHeads


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
    exchange.respond(200, [("X", "y")], exchange.body)


@pytest.fixture
def loop() -> Iterator[Loop]:
    it = Loop()
    yield it
    it.close()


GET = b"GET /a%20b?x=1&y HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nx-two: 2\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"


def test_request_arrives_whole_with_lower_case_joined_headers(loop: Loop) -> None:
    server = Server(loop)
    server.feed(GET)
    (exchange,) = server.got
    assert (exchange.method, exchange.path, exchange.query) == ("GET", "/a%20b", "x=1&y")
    assert exchange.headers == {"host": "h", "x-two": "1,2"}
    assert exchange.body == b""
    exchange.respond(200, [("Content-Type", "text/plain")], b"hi")
    assert server.sent == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    assert not server.pipe.closed


@given(st.lists(st.integers(1, 200), max_size=12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_way_of_cutting_the_bytes_gives_the_same_requests(cuts: list[int], chunked: bool) -> None:
    loop = Loop()
    last = (
        b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n2\r\n!!\r\n0\r\nT: v\r\n\r\n"
        if chunked
        else POST
    )
    whole = GET + POST + GET + GET + last
    got: list[tuple[str, str, bytes]] = []

    def reply(exchange: Exchange) -> None:
        got.append((exchange.method, exchange.path, bytes(exchange.body)))
        exchange.respond(200, ())

    server = Server(loop, reply)
    at = 0
    for size in [*cuts, len(whole)]:
        if whole[at : at + size]:
            server.feed(whole[at : at + size])
        at += size
    get = ("GET", "/a%20b", b"")
    tail = ("PUT", "/c", b"xyz!!") if chunked else ("POST", "/p", b"abc")
    assert got == [get, ("POST", "/p", b"abc"), get, get, tail]
    assert server.sent.count(b"200 OK") == 5
    loop.close()


def test_repeated_request_is_recognized_and_still_delivered_each_time(loop: Loop) -> None:
    server = Server(loop, ok)
    for _ in range(3):
        server.feed(GET)
        server.feed(POST)
    assert server.sent.count(b"HTTP/1.1 200 OK") == 6
    assert server.sent.count(b"abc") == 3


def test_repetition_after_a_partial_request_is_not_mistaken_for_a_request(loop: Loop) -> None:
    server = Server(loop, ok)
    server.feed(GET)
    server.feed(b"GE")
    server.feed(GET)
    assert server.sent.count(b"200 OK") == 1
    assert b" 400 " in server.sent


LINES = st.sampled_from(
    [
        b"GET /a HTTP/1.1",
        b"POST /b/c?d=e HTTP/1.1",
        b"GET /odd?a b HTTP/1.1",
        b"GET /a HTTP/1.0",
        b"PUT /x HTTP/1.1",
        b"GET http://h/a HTTP/1.1",
        b" GET /a HTTP/1.1",
    ]
)
BLOCKS = st.sampled_from(
    [
        (b"", b""),
        (b"\r\nHost: h", b""),
        (b"\r\nHost: h\r\nContent-Length: 3", b"abc"),
        (b"\r\nHost: h\r\nContent-Length: 3", b"abcX"),
        (b"\r\nHost: h\r\nContent-Length: 3", b"ab"),
        (b"\r\nHost: h\r\nConnection: keep-alive\r\nA: 1\r\nA: 2", b""),
        (b"\r\nHost: h\r\nConnection: close", b""),
        (b"\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade", b""),
        (b"\r\nTransfer-Encoding: chunked", b"1\r\na\r\n0\r\n\r\n"),
        (b"\r\nNo colon", b""),
    ]
)


@given(st.lists(st.tuples(LINES, BLOCKS), max_size=8))
@settings(max_examples=300, deadline=None)
def test_what_was_seen_before_is_read_no_differently(
    messages: list[tuple[bytes, tuple[bytes, bytes]]],
) -> None:
    """A connection that recognizes, beside one whose memory is wiped before each piece of input."""
    loop = Loop()
    seen: list[list[tuple[object, ...]]] = [[], []]
    servers = []
    for got in seen:

        def reply(exchange: Exchange, got: list[tuple[object, ...]] = got) -> None:
            got.append((exchange.method, exchange.path, exchange.query, exchange.headers, exchange.body))
            exchange.respond(200, ())

        servers.append(Server(loop, reply))
    for line, (block, body) in messages:
        for server, forgets in zip(servers, (False, True), strict=True):
            if forgets:
                server.connection._known = KnownHeads()
            server.feed(line + block + b"\r\n\r\n" + body)
    assert seen[0] == seen[1]
    assert servers[0].sent == servers[1].sent
    assert servers[0].pipe.closed == servers[1].pipe.closed
    loop.close()


def test_pipelined_requests_are_answered_in_order_one_at_a_time(loop: Loop) -> None:
    server = Server(loop)
    server.feed(GET + POST + GET)
    assert len(server.got) == 1
    assert server.pipe.paused
    server.got[0].respond(200, (), b"first")
    assert len(server.got) == 2
    server.got[1].respond(200, (), b"second")
    server.got[2].respond(200, (), b"third")
    assert not server.pipe.paused
    assert [server.sent.find(word) for word in (b"first", b"second", b"third")] == sorted(
        server.sent.find(word) for word in (b"first", b"second", b"third")
    )


def test_thousands_of_pipelined_requests_do_not_recurse(loop: Loop) -> None:
    server = Server(loop, ok)
    server.feed(GET * 3000)
    assert server.sent.count(b"200 OK") == 3000


def test_large_body_bypasses_the_parser_and_arrives_whole(loop: Loop) -> None:
    server = Server(loop, max_body_bytes=10**6)
    body = bytes(range(256)) * 2000
    message = b"POST /big HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body + GET
    for at in range(0, len(message), 50_000):
        server.feed(message[at : at + 50_000])
    assert server.got[0].body == body
    server.got[0].respond(200, (), body)
    assert server.sent.endswith(body)
    assert server.got[1].path == "/a%20b"


def test_head_and_no_content_have_no_body(loop: Loop) -> None:
    server = Server(loop)
    server.feed(b"HEAD / HTTP/1.1\r\n\r\n")
    server.got[0].respond(200, (), b"12345")
    assert server.sent == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    server.feed(GET)
    server.got[1].respond(204, ())
    assert server.sent.endswith(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.mark.parametrize(
    "request_bytes",
    [b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"],
)
def test_last_request_closes_the_connection_after_its_answer(loop: Loop, request_bytes: bytes) -> None:
    server = Server(loop)
    server.feed(request_bytes)
    assert not server.pipe.closed
    server.feed(b"GET /ignored HTTP/1.1\r\n\r\n")
    server.got[0].respond(200, ())
    assert b"Connection: close\r\n" in server.sent
    assert server.pipe.closed
    assert len(server.got) == 1


def test_earlier_answer_does_not_close_while_the_last_request_is_being_read(loop: Loop) -> None:
    server = Server(loop)
    server.feed(GET + b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\na")
    server.got[0].respond(200, ())
    assert not server.pipe.closed
    server.feed(b"b")
    server.got[1].respond(200, ())
    assert server.got[1].body == b"ab"
    assert server.pipe.closed


def test_expect_continue_is_answered_before_the_body(loop: Loop) -> None:
    server = Server(loop)
    server.feed(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
    assert server.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    server.feed(b"abc")
    assert server.got[0].body == b"abc"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1001\r\n\r\n",
        b"Content-Length: 99999999999999\r\nExpect: 100-continue\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001,
    ],
)
def test_body_over_the_limit_is_answered_without_being_read(loop: Loop, head: bytes) -> None:
    server = Server(loop)
    server.feed(b"POST /over HTTP/1.1\r\n" + head)
    assert server.sent.startswith(b"HTTP/1.1 413 ")
    assert b"X-Path: /over" in server.sent
    assert b"Connection: close" in server.sent
    assert b"100 Continue" not in server.sent
    assert server.got == []
    assert server.pipe.eof and not server.pipe.closed  # lingers: the client may still be sending
    server.feed(b"y" * 5000)
    loop.now = 10
    server.connection.sweep(loop.time())
    assert server.pipe.closed


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00 hello",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\nHost: bare line feeds\n\n",
        b"CONNECT h:1 HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ],
)
def test_malformed_request_gets_400_and_the_end(loop: Loop, junk: bytes) -> None:
    server = Server(loop)
    server.feed(junk)
    assert server.sent.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert server.got == []
    server.feed(GET)
    assert server.got == []


def test_malformed_request_behind_an_open_one_waits_for_its_turn(loop: Loop) -> None:
    server = Server(loop)
    server.feed(GET + b"!!!\r\n\r\n")
    assert server.sent == b""
    server.got[0].respond(200, ())
    assert server.sent.index(b"200 OK") < server.sent.index(b"400 Bad")


@pytest.mark.parametrize("size", [0, 3, 700])
def test_wish_to_upgrade_is_ignored_and_the_body_still_read(loop: Loop, size: int) -> None:
    server = Server(loop, ok)
    head = b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % size
    message = head + b"z" * size
    server.feed(message[:-1])
    server.feed(message[-1:])
    server.feed(GET)
    assert server.sent.count(b"200 OK") == 2
    assert server.sent.count(b"z") == size


def test_too_many_headers_or_too_long_a_head_get_431(loop: Loop) -> None:
    many = Server(loop)
    many.feed(b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: v\r\n" % n for n in range(101)) + b"\r\n")
    assert many.sent.startswith(b"HTTP/1.1 431 ")
    long = Server(loop, max_head_bytes=4096)
    long.feed(b"GET /")
    for _ in range(5):
        long.feed(b"x" * 1000)
    assert long.sent.startswith(b"HTTP/1.1 431 ")


def test_stalling_clients_are_ended_by_the_sweep(loop: Loop) -> None:
    idle, head, body, slow_reader = (Server(loop) for _ in range(4))
    head.feed(b"GET / HT")
    body.feed(POST[:-1])
    slow_reader.pipe.unsent = 500
    slow_reader.connection.pause_writing()
    loop.now = 11
    for server in (idle, head, body, slow_reader):
        server.connection.sweep(loop.time())
    assert head.sent.startswith(b"HTTP/1.1 408 ")
    assert not idle.pipe.closed and not body.sent and not slow_reader.pipe.closed
    slow_reader.pipe.unsent = 400  # progress
    loop.now = 31
    for server in (body, slow_reader):
        server.connection.sweep(loop.time())
    assert body.sent.startswith(b"HTTP/1.1 408 ")
    assert not slow_reader.pipe.closed
    loop.now = 76
    for server in (idle, slow_reader):
        server.connection.sweep(loop.time())
    assert idle.pipe.closed
    assert slow_reader.pipe.aborted


def test_parked_exchange_is_never_timed_out(loop: Loop) -> None:
    server = Server(loop)
    server.feed(GET)
    loop.now = 10_000
    server.connection.sweep(loop.time())
    assert not server.pipe.closed


def test_client_that_leaves_is_told_once_and_answers_are_dropped(loop: Loop) -> None:
    server = Server(loop)
    server.feed(GET + POST)
    gone: list[str] = []
    server.got[0].on_gone = lambda: gone.append("first")
    server.connection.connection_lost(None)
    assert gone == ["first"]
    assert server.got[0].gone
    server.got[0].respond(200, ())
    server.got[0].respond_raw(b"HTTP/1.1 200 OK\r\n\r\n")
    assert server.sent == b""
    assert len(server.got) == 1


def test_reader_that_does_not_read_gets_no_second_answer_until_it_does(loop: Loop) -> None:
    server = Server(loop, ok)
    server.connection.pause_writing()
    server.feed(GET)
    server.feed(GET)
    assert server.sent == b""
    server.connection.resume_writing()
    assert server.sent.count(b"200 OK") == 2


def test_answering_twice_is_a_bug_and_says_so(loop: Loop) -> None:
    server = Server(loop)
    server.feed(GET)
    server.got[0].respond(200, ())
    with pytest.raises(RuntimeError):
        server.got[0].respond(200, ())


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "snow ☃"])
def test_header_that_is_not_one_latin_line_is_not_sent(loop: Loop, value: str) -> None:
    server = Server(loop)
    server.feed(GET)
    with pytest.raises(ValueError):
        server.got[0].respond(200, [("X-Value", value)])
    assert server.sent == b""
    server.got[0].respond(500, ())


def test_failing_handler_gives_500_and_is_reported(loop: Loop) -> None:
    def fail(exchange: Exchange) -> None:
        raise KeyError("bug")

    server = Server(loop, fail)
    server.feed(GET)
    assert server.sent.startswith(b"HTTP/1.1 500 ")
    assert isinstance(loop.errors[0], KeyError)


def test_draining_closes_idle_at_once_and_open_after_the_answer(loop: Loop) -> None:
    idle, busy = Server(loop), Server(loop)
    busy.feed(GET)
    for server in (idle, busy):
        server.draining = True
        server.connection.drain()
    assert idle.pipe.closed and not busy.pipe.closed
    busy.got[0].respond(200, (), b"bye")
    assert b"Connection: close" in busy.sent and busy.sent.endswith(b"bye")
    assert busy.pipe.closed


def test_trailers_are_kept_apart_from_headers(loop: Loop) -> None:
    server = Server(loop)
    server.feed(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nAuthorization: no\r\n\r\n"
    )
    assert "authorization" not in server.got[0].headers
    assert server.got[0].trailers == {"authorization": "no"}


@pytest.mark.parametrize(
    "head", [b"Content-Length: 90000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n15f90\r\n"]
)
def test_unfinished_bodies_are_counted_and_refused_when_they_are_too_much(loop: Loop, head: bytes) -> None:
    server = Server(loop, max_body_bytes=100_000, max_held_bytes=50_000)
    server.feed(b"POST / HTTP/1.1\r\n" + head)
    server.feed(b"x" * 40_000)
    assert server.held_bytes == 40_000
    assert server.sent == b""
    server.feed(b"x" * 20_000)
    assert server.sent.startswith(b"HTTP/1.1 503 ")
    assert server.held_bytes == 0


@pytest.mark.parametrize("end", [b"x" * 60_000, None])
def test_bodies_that_end_or_are_left_count_no_more(loop: Loop, end: bytes | None) -> None:
    server = Server(loop, ok, max_body_bytes=100_000)
    server.feed(b"POST / HTTP/1.1\r\nContent-Length: 90000\r\n\r\n" + b"x" * 30_000)
    assert server.held_bytes == 30_000
    if end is None:
        server.connection.connection_lost(None)
    else:
        server.feed(end)
        assert server.sent.endswith(b"x" * 90_000)
    assert server.held_bytes == 0


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("before", [b"", b"1\r\na\r\n", b"320\r\n" + b"a" * 800 + b"\r\n"])
@pytest.mark.parametrize(
    "line", [b"x" * 1000, b"N%d: v\r\n", b"same: 0123456789\r\n"], ids=["endless", "many", "same"]
)
def test_trailers_without_end_are_refused(loop: Loop, before: bytes, line: bytes) -> None:
    server = Server(loop, max_head_bytes=4096)
    server.feed(CHUNKED + before + b"0\r\n")
    fed = 0
    while not server.sent and fed < 100_000:
        piece = line % fed if b"%" in line else line
        server.feed(piece)
        fed += len(piece)
    assert server.sent.startswith(b"HTTP/1.1 431 ")
    assert fed < 6000
    assert server.got == []
    assert server.held_bytes == 0


def test_too_many_trailers_in_one_piece_are_refused(loop: Loop) -> None:
    for count, status in ((100, b" 200 "), (101, b" 431 ")):
        server = Server(loop, ok)
        trailers = b"".join(b"T%d: v\r\n" % number for number in range(count))
        server.feed(CHUNKED + b"1\r\na\r\n0\r\n" + trailers + b"\r\n")
        assert status in server.sent


def test_what_comes_before_the_trailers_does_not_count_as_theirs(loop: Loop) -> None:
    server = Server(loop, ok, max_body_bytes=100_000, max_head_bytes=1000)
    server.feed(CHUNKED + b"13880\r\n" + b"a" * 40_000)
    server.feed(b"a" * 40_000 + b"\r\n0\r\nT: 1")
    server.feed(b"2\r\nT: 3\r\n")
    server.feed(b"\r\n")
    assert server.sent.endswith(b"\r\n\r\n" + b"a" * 80_000)


def test_trailers_that_drip_are_ended_by_the_sweep(loop: Loop) -> None:
    server = Server(loop)
    server.feed(CHUNKED + b"1\r\na\r\n0\r\n")
    for _ in range(4):
        loop.now += 10
        server.feed(b"x")
        server.connection.sweep(loop.time())
    assert server.sent.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("chunked", [True, False])
def test_body_in_tiny_pieces_arrives_whole_and_is_held_in_few(loop: Loop, chunked: bool) -> None:
    server = Server(loop, ok, max_body_bytes=300_000)
    body = bytes(range(256)) * 300
    if chunked:
        server.feed(CHUNKED)
        for at in range(0, len(body), 256):
            server.feed(b"".join(b"1\r\n%c\r\n" % byte for byte in body[at : at + 256]))
    else:
        server.feed(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body) - 1, 1):
            server.feed(body[at : at + 1])
    assert len(server.connection._parts) < 2 * protocol._MAX_PIECES
    server.feed(b"0\r\n\r\n" if chunked else body[-1:])
    assert server.sent.endswith(b"\r\n\r\n" + body)


def test_long_header_names_are_not_remembered(loop: Loop) -> None:
    server = Server(loop, ok)
    name = b"X" * 65
    server.feed(b"GET / HTTP/1.1\r\n" + name + b": 1\r\n" + name[:-1] + b": 2\r\n\r\n")
    assert server.sent.startswith(b"HTTP/1.1 200 ")
    assert name not in protocol._NAMES
