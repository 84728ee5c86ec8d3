"""HTTP connections on a transport in memory: framing, order, repetition."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.http_connection import GET, POST, Loop, Server, ok
from squib.http import protocol
from squib.http.exchange import Exchange
from squib.http.repetition import KnownHeads


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


def test_answering_twice_is_a_bug_and_says_so(loop: Loop) -> None:
    server = Server(loop)
    server.feed(GET)
    server.got[0].respond(200, ())
    with pytest.raises(RuntimeError):
        server.got[0].respond(200, ())


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


def test_long_header_names_are_not_remembered(loop: Loop) -> None:
    server = Server(loop, ok)
    name = b"X" * 65
    server.feed(b"GET / HTTP/1.1\r\n" + name + b": 1\r\n" + name[:-1] + b": 2\r\n\r\n")
    assert server.sent.startswith(b"HTTP/1.1 200 ")
    assert name not in protocol._NAMES
