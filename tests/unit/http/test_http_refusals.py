"""HTTP connections and what clients do wrong: limits, malformed requests, stalling, leaving."""

import pytest

from harness.http_connection import GET, POST, Loop, Server, ok
from squib.http import protocol
from squib.http.exchange import Exchange

CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


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
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: a\r\n\r\n",
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
