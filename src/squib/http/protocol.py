"""One HTTP/1.1 connection: bytes in, `Exchange` objects out, one at a time, answers back in order.

Holds no route and no rule of any API. What a client may do wrong (malformed or oversized requests, stalling,
vanishing) is answered or ended here, so that a handler sees only whole requests.
"""

import asyncio
from collections import deque
from typing import Any, Final

import httptools

from squib.http.exchange import Exchange, Handler
from squib.http.owner import Owner
from squib.http.repetition import KnownHeads

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LARGE_BYTES: Final = 64 * 1024  # from here on copying a body costs more than a second write

_NAMES: Final[dict[bytes, str]] = {}
"""Header names as clients spell them -> lower case: decoding each anew is half the cost of a header."""
_MAX_NAMES: Final = 1024
_MAX_NAME_BYTES: Final = 64  # longer ones are nobody's habit
_MAX_PIECES: Final = 1024  # of a body, not joined: a piece of one byte costs fifty

# Where the next byte of a connection belongs.
_BETWEEN, _HEAD, _BODY, _LINGER = range(4)


class Connection(asyncio.Protocol):
    """The server's side of one connection. Made by `HttpServer.protocol_factory`."""

    __slots__ = (
        "_body_before",
        "_direct_missing",
        "_dispatching",
        "_ended",
        "_exchange",
        "_expected",
        "_fields",
        "_held_bytes",
        "_in_trailers",
        "_joined",
        "_keeps_alive",
        "_known",
        "_last_handler",
        "_open",
        "_parser",
        "_parts",
        "_place",
        "_queue",
        "_reading_paused",
        "_received",
        "_since",
        "_trailer_bytes",
        "_transport",
        "_unsent",
        "_url",
        "_write_paused",
        "owner",
        "remote_host",
    )

    def __init__(self, owner: "Owner[Connection]") -> None:
        self.owner = owner
        self._transport: Any = None  # a Transport, or an in-memory one in tests
        self._parser: Any = None
        self._place = _BETWEEN
        self._since = 0.0  # loop time at which the present wait began
        # the request being read
        self._url = b""
        self._fields: dict[str, str] = {}
        self._exchange: Exchange | None = None  # its head is complete
        self._parts: list[bytes] = []
        self._joined = 0  # how many of the first of `_parts` are pieces joined already
        self._held_bytes = 0  # what `_parts` counts in `owner.held_bytes`
        self._received = 0  # bytes of the head, then of the body
        self._expected = -1  # Content-Length, or -1
        self._direct_missing = 0  # body bytes that bypass the parser
        self._body_before = (
            -1
        )  # `_held_bytes` at the last chunk's header: as long as it is so, no byte of it came
        self._in_trailers = False
        self._trailer_bytes = 0
        self._keeps_alive = True  # false once the head of the last request of this connection was read
        self._ended = False  # no further request is read
        # requests read
        self._open: Exchange | None = None  # with the handler
        self._queue: deque[Exchange] = deque()  # waiting for their turn
        self._last_handler: Handler | None = None  # answers the last of the queue, which was refused
        self._dispatching = False
        self._reading_paused = False
        self._write_paused = False
        self._unsent = 0
        self._known = KnownHeads()
        self.remote_host = ""
        """The address of the other end; empty when it is not known."""

    # --- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        peer = transport.get_extra_info("peername")
        self.remote_host = str(peer[0]) if peer else ""
        self._since = self.owner.loop.time()
        if not self.owner.opened(self):
            self._ended = True
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if self._place == _BETWEEN and self._open is None and not self._queue and not self._write_paused:
            known = self._known.recognize(data)
            if known is not None:
                method, path, query, headers, body = known
                exchange = Exchange(self, method, path, query, headers)
                exchange.body = body
                self._open = exchange
                self._run(self.owner.handler, exchange)
                return
        if self._direct_missing:
            data = self._take_directly(data)
        if data:
            self._feed(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.owner.closed(self)
        self._ended = True
        self._parser = None  # breaks the cycle
        self._let_go()
        gone = [self._open, *self._queue]
        self._open = None
        self._queue.clear()
        for exchange in gone:
            if exchange is not None:
                exchange.gone = True
                if exchange.on_gone is not None:
                    exchange.on_gone()

    def pause_writing(self) -> None:
        self._write_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self._since = self.owner.loop.time()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._since = self.owner.loop.time()
        self._dispatch()

    # --- reading

    def _feed(self, data: bytes) -> None:
        fresh = self._place == _BETWEEN and not self._queue and self._open is None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(400)
        place = self._place
        if place == _HEAD:
            self._received += len(data)
            if self._received == len(data):
                self._since = self.owner.loop.time()
            if self._received > self.owner.limits.max_head_bytes:
                self._refuse(431)
        elif place == _BODY:
            if self._expected < 0 and self._body_before == self._held_bytes:
                self._count_trailers(len(data))
            else:
                self._since = self.owner.loop.time()
                self._join_pieces()
            if self._expected - self._received >= _LARGE_BYTES:
                # The rest need not go through the parser, which would copy it.
                self._direct_missing = self._expected - self._received
                self._parser = httptools.HttpRequestParser(self)
        elif fresh and len(self._queue) == 1 and not self._ended:
            self._known.learn(data, self._queue[0].headers)
        if self._queue:
            self._dispatch()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """We speak nothing but HTTP/1.1: a wish to upgrade is ignored, the request stands. The parser stops
        behind the head of such a request and takes it for complete."""
        if self._last_handler is None:
            exchange = self._queue[-1]
            self._parser = httptools.HttpRequestParser(self)
            if exchange.method == "CONNECT" or "transfer-encoding" in exchange.headers:
                self._queue.pop()
                self._refuse(400)
            elif self._expected > 0:
                self._exchange = self._queue.pop()
                self._ended = False
                self._place = _BODY
                self._direct_missing = self._expected
                rest = self._take_directly(rest)
        if rest and not self._ended:
            self._feed(rest)
        elif self._queue:
            self._dispatch()

    def _take_directly(self, data: bytes) -> bytes:
        """Adds to a body of known length without the parser; gives back what lies behind its end."""
        missing = self._direct_missing
        if len(data) < missing:
            self._direct_missing = missing - len(data)
            self._since = self.owner.loop.time()
            self._hold(data)
            self._join_pieces()
            if self._ended:
                self._dispatch()
            return b""
        rest = data[missing:]
        self._parts.append(data[:missing] if rest else data)
        self._direct_missing = 0
        self.on_message_complete()
        if not rest or self._ended:
            self._dispatch()
            return b""
        return rest

    # called by the parser, whose callbacks never hand a request out: `_feed` does when it is done

    def on_message_begin(self) -> None:
        if not self._ended:
            self._place = _HEAD
            self._url = b""
            self._fields = {}
            self._received = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = _NAMES.get(name)
        if key is None:
            key = name.decode("latin-1").lower()
            if len(_NAMES) < _MAX_NAMES and len(name) <= _MAX_NAME_BYTES:
                _NAMES[name] = key
        fields = self._fields
        if key in fields:
            if key == "host":  # whoever stands between may have read the other one (RFC 9112, section 3.2)
                self._refuse(400)
                return
            # Joining costs what has come so far: bounded like the head.
            if self._place == _HEAD:
                self._received += len(fields[key])
                cost = self._received
            else:
                self._trailer_bytes += len(fields[key])
                cost = self._trailer_bytes
            if cost > self.owner.limits.max_head_bytes:
                self._refuse(431)
                return
            fields[key] = f"{fields[key]},{value.decode('latin-1')}"
        else:
            fields[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._ended:
            return
        fields = self._fields
        parser = self._parser
        if len(fields) > self.owner.limits.max_headers:
            self._refuse(431)
            return
        path, _, query = self._url.decode("latin-1").partition("?")
        exchange = Exchange(self, parser.get_method().decode(), path, query, fields)
        self._exchange = exchange
        self._place = _BODY
        self._received = 0
        self._expected = -1
        self._keeps_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        if "content-length" in fields:
            self._expected = int(fields["content-length"])
            if self._expected > self.owner.limits.max_body_bytes:
                self._refuse_body(exchange)
                return
        elif "transfer-encoding" in fields:
            exchange.trailers = self._fields = {}
            self._body_before = -1
        else:
            return
        if "expect" in fields and fields["expect"].lower() == "100-continue" and self._open is None:
            self._transport.write(_CONTINUE)

    def on_chunk_header(self) -> None:
        self._body_before = self._held_bytes
        self._in_trailers = False
        self._trailer_bytes = 0

    def on_chunk_complete(self) -> None:
        """Of a chunk without data too, which the trailers belong to."""
        if len(self._fields) > self.owner.limits.max_headers:
            self._refuse(431)

    def on_body(self, chunk: bytes) -> None:
        if self._ended:
            return
        self._received += len(chunk)
        self._hold(chunk)
        if self._received > self.owner.limits.max_body_bytes and self._exchange is not None:
            self._refuse_body(self._exchange)

    def _hold(self, chunk: bytes) -> None:
        """Adds to the unfinished body, unless the server holds too much of such already."""
        self._parts.append(chunk)
        self._held_bytes += len(chunk)
        self.owner.held_bytes += len(chunk)
        if self.owner.held_bytes > self.owner.limits.max_held_bytes:
            self._refuse(503)

    def _join_pieces(self) -> None:
        fresh = self._parts[self._joined :] if len(self._parts) - self._joined >= _MAX_PIECES else ()
        if fresh:
            self._parts[self._joined :] = [b"".join(fresh)]
            self._joined += 1

    def _count_trailers(self, size: int) -> None:
        """Bounds trailers that do not arrive in one piece, `size` bytes of which have come now. The parser
        holds a line without an end and tells nothing of it. They have `stall_timeout_s` for all of them."""
        if self._in_trailers:
            self._trailer_bytes += size
        self._in_trailers = True  # what comes from now on is nothing else
        limits = self.owner.limits
        if self._trailer_bytes > limits.max_head_bytes or len(self._fields) > limits.max_headers:
            self._refuse(431)

    def _let_go(self) -> None:
        self.owner.held_bytes -= self._held_bytes
        self._held_bytes = 0
        self._parts = []
        self._joined = 0

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if self._ended or exchange is None:
            return
        parts = self._parts
        if parts:
            exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
            self._let_go()
        self._exchange = None
        self._place = _BETWEEN
        self._queue.append(exchange)
        self._ended = not self._keeps_alive

    # --- refusing

    def _refuse(self, status: int) -> None:
        """Queues the refusal of a request that cannot be read, and reads no further."""
        self._end(Exchange(self, "", "", "", {}), lambda exchange: exchange.respond(status, ()))

    def _refuse_body(self, exchange: Exchange) -> None:
        """Queues a request whose body will not be read, for `on_too_large`."""
        self._end(exchange, self.owner.on_too_large)

    def _end(self, exchange: Exchange, handler: Handler) -> None:
        if self._ended:
            return
        self._ended = True
        self._let_go()
        self._direct_missing = 0
        self._exchange = None
        self._place = _LINGER
        self._last_handler = handler
        self._queue.append(exchange)

    # --- handing out and answering

    def _dispatch(self) -> None:
        """Hands out the next request when the one before is answered and its answer is on its way."""
        if self._dispatching:
            return
        self._dispatching = True
        queue = self._queue
        while queue and self._open is None and not self._write_paused:
            exchange = queue.popleft()
            self._open = exchange
            last = self._last_handler
            self._run(last if last is not None and not queue else self.owner.handler, exchange)
        self._dispatching = False
        if queue:
            if not self._reading_paused:
                self._reading_paused = True
                self._transport.pause_reading()
        elif self._reading_paused:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _run(self, handler: Handler, exchange: Exchange) -> None:
        try:
            handler(exchange)
        except Exception as error:
            self.owner.loop.call_exception_handler(
                {"message": "an HTTP handler failed", "exception": error, "protocol": self}
            )
            if self._open is exchange:
                exchange.respond(500, ())

    @property
    def date_line(self) -> str:
        """For the head of an answer."""
        return self.owner.date_line

    @property
    def local_address(self) -> tuple[str, int]:
        """Host and port of this side."""
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    @property
    def closes_after_answer(self) -> bool:
        """Whether the answer to the open request is the last one."""
        return (self._ended and not self._queue) or self.owner.draining

    def answer(self, exchange: Exchange, head: bytes, body: bytes | bytearray | memoryview) -> None:
        """Sends the answer to the open request. For Exchange only."""
        if self._open is not exchange:
            raise RuntimeError("an exchange is answered once, and only while it is open")
        self._open = None
        transport = self._transport
        if len(body) > _LARGE_BYTES:
            transport.write(head)
            transport.write(body)
        else:
            transport.write(head + body)
        self._since = self.owner.loop.time()
        if self._queue and not self.owner.draining:
            self._dispatch()
        elif self._ended or self.owner.draining:
            self._ended = True
            if self._place == _LINGER and transport.can_write_eof():
                # The client may still be sending: closing at once would reset the connection and take the
                # answer away. What comes is thrown away until it closes, or `linger_s` is over.
                transport.write_eof()
            else:
                transport.close()

    # --- called by the server

    @property
    def waits_since(self) -> float | None:
        """Loop time since which the client says nothing; None while it is owed an answer."""
        return None if self._open is not None or self._queue or self._write_paused else self._since

    def sweep(self, now: float) -> None:
        """Ends a connection that makes no progress. `now` is loop time."""
        limits = self.owner.limits
        waited_s = now - self._since
        if self._write_paused:
            unsent = self._transport.get_write_buffer_size()
            if unsent != self._unsent:
                self._unsent = unsent
                self._since = now
            elif waited_s > limits.stall_timeout_s:
                self._transport.abort()
        elif self._open is not None or self._queue:
            return
        elif self._place == _LINGER:
            if waited_s > limits.linger_s:
                self._transport.close()
        elif self._place == _BETWEEN:
            if waited_s > limits.idle_timeout_s:
                self._transport.close()
        elif waited_s > (limits.head_timeout_s if self._place == _HEAD else limits.stall_timeout_s):
            self._refuse(408)
            self._dispatch()

    def drain(self) -> None:
        """Closes when idle; otherwise the answer to the open request is the last (the owner drains)."""
        if self._open is None and not self._queue:
            self._transport.close()

    def abort(self) -> None:
        """Closes at once."""
        self._transport.abort()
