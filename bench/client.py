"""One blocking exchange over a raw socket, timed from the first byte sent to the last byte received."""

import http.client
import socket
import time
from dataclasses import dataclass

TIMEOUT_S = 30.0


class BadAnswer(Exception):
    """A contestant did not do what every contestant must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    function_error: str | None
    body: bytes
    elapsed_ms: float


def connect(port: int) -> socket.socket:
    """A connection to 127.0.0.1."""
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def exchange(port: int, request: bytes, *, since_s: float | None = None) -> Answer:
    """Sends one request on a connection of its own; `since_s` (perf_counter) moves the start back in time."""
    with connect(port) as connection:
        started_s = time.perf_counter() if since_s is None else since_s
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = response.read()
        elapsed_ms = (time.perf_counter() - started_s) * 1000
        return Answer(
            status=response.status,
            function_error=response.getheader("X-Amz-Function-Error"),
            body=body,
            elapsed_ms=elapsed_ms,
        )


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
