"""The connection of a scripted runtime to the Runtime API, in memory."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httptools


class FakeTransport(asyncio.Transport):
    """The server's end of a connection in memory, with the client's response parser behind it."""

    def __init__(
        self, protocol: asyncio.Protocol, on_response: Callable[[int, Mapping[str, str], bytes], None]
    ) -> None:
        super().__init__()
        self._protocol = protocol
        self._on_response = on_response
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = b""
        protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        """Bytes from the client."""
        if not self._is_closed:
            self._loop.call_soon(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if not self._is_closed:
            self._protocol.data_received(data)

    def peer_closed(self) -> None:
        """The client's end is gone."""
        self.close()

    # transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closed:
            self._loop.call_soon(self._receive, bytes(data))

    def _receive(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._is_closed

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    # parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._body += body

    def on_message_complete(self) -> None:
        """See httptools."""
        headers, body = self._headers, self._body
        self._headers, self._body = {}, b""
        self._on_response(self._parser.get_status_code(), headers, body)
