"""One request and the means to answer it."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, Protocol, TypeAlias

Handler: TypeAlias = "Callable[[Exchange], None]"
"""Takes a whole request; answers it now or later by one of the `respond` methods, exactly once."""

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class Answering(Protocol):
    """What an exchange needs of its connection."""

    @property
    def closes_after_answer(self) -> bool: ...

    @property
    def date_line(self) -> str: ...

    @property
    def local_address(self) -> tuple[str, int]: ...

    @property
    def remote_host(self) -> str: ...

    def answer(self, exchange: "Exchange", head: bytes, body: bytes | bytearray | memoryview) -> None: ...


class Exchange:
    """One request and the means to answer it.

    Owned by the handler until it is answered. `on_gone` is called at most once, when the client leaves before
    the answer; from then on `gone` is true and answers are dropped silently.
    """

    __slots__ = ("_connection", "body", "gone", "headers", "method", "on_gone", "path", "query", "trailers")

    def __init__(
        self, connection: Answering, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self.method = method
        self.path = path
        """As sent: percent-encoding kept, no query string."""
        self.query = query
        self.headers = headers
        """Lower-case names; values of a repeated header are joined by a comma. Never written to."""
        self.trailers: Mapping[str, str] = {}
        """Fields after a chunked body, likewise."""
        self.body = b""
        self.gone = False
        self.on_gone: Callable[[], None] | None = None

    @property
    def local_address(self) -> tuple[str, int]:
        """Host and port that the client has connected to, whatever it calls them."""
        return self._connection.local_address

    @property
    def remote_host(self) -> str:
        """The address of the other end; empty when it is not known."""
        return self._connection.remote_host

    def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes | bytearray | memoryview = b""
    ) -> None:
        """Answers. Content-Length, Date and Connection are added. Raises ValueError for a header that is not
        one line of Latin-1; nothing has been sent then."""
        if self.gone:
            return
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
        if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
            raise ValueError("a header holds a line break")
        connection = self._connection
        length = "" if status == 204 or status == 304 else f"Content-Length: {len(body)}\r\n"
        close = "Connection: close\r\n" if connection.closes_after_answer else ""
        line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
        head = f"{line}{connection.date_line}{fields}{length}{close}\r\n".encode("latin-1")
        if self.method == "HEAD" or not length:
            body = b""
        connection.answer(self, head, body)

    def respond_raw(self, head: bytes, body: bytes | bytearray | memoryview = b"") -> None:
        """Answers with a prepared head: status line through blank line, its Content-Length that of `body`."""
        if not self.gone:
            self._connection.answer(self, head, body)
