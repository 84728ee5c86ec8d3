"""Listeners of one HTTP server, its connections, and draining. Requests are the matter of `protocol`."""

import asyncio
import heapq
import socket
from email.utils import formatdate
from operator import itemgetter
from typing import Final

from squib.http.exchange import Exchange, Handler
from squib.http.limits import HttpLimits
from squib.http.protocol import Connection

_SWEEP_S: Final = 1.0
_ROOM: Final = 32  # squib's choice, connections: looking for them costs a look at all


def refuse_too_large(exchange: Exchange) -> None:
    """The default answer to a body over the limit."""
    exchange.respond(413, ())


class HttpServer:
    """Serves `handler` on any number of listeners. Lives on the event loop it was made on.

    `on_too_large` gets a request whose head is read and whose body passes the limit (its `body` is empty);
    the connection is closed after the answer. `with_date` adds Date to answers made by `Exchange.respond`.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits,
        *,
        on_too_large: Handler = refuse_too_large,
        with_date: bool = True,
        backlog: int = 1024,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.handler = handler
        self.limits = limits
        self.on_too_large = on_too_large
        self.draining = False
        self.held_bytes = 0
        self.date_line = ""
        self._with_date = with_date
        self._backlog = backlog
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None

    def protocol_factory(self) -> Connection:
        """Makes the protocol of one accepted connection, for a listener that someone else owns."""
        return Connection(self)

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Listens on an address; gives back the one really bound. Raises OSError."""
        listener = await self.loop.create_server(self.protocol_factory, host, port, backlog=self._backlog)
        self._listeners.append(listener)
        bound_host, bound_port = listener.sockets[0].getsockname()[:2]
        return bound_host, bound_port

    async def listen_on(self, listening: socket.socket) -> None:
        """Listens on a bound socket, which this server owns from now on."""
        self._listeners.append(
            await self.loop.create_server(self.protocol_factory, sock=listening, backlog=self._backlog)
        )

    @property
    def connection_count(self) -> int:
        """Connections open now."""
        return len(self._connections)

    async def drain(self, timeout_s: float) -> None:
        """Stops accepting, closes idle connections, lets open exchanges end for at most `timeout_s`."""
        self.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            connection.drain()
        if self._connections:
            self._emptied = asyncio.Event()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._emptied.wait()
            except TimeoutError:
                pass
        self.abort()

    def abort(self) -> None:
        """Stops accepting and closes every connection at once; their exchanges are gone."""
        self.draining = True
        for listener in self._listeners:
            listener.close()
        self.close_connections()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close_connections(self) -> None:
        """Closes every connection at once, and goes on accepting."""
        for connection in list(self._connections):
            connection.abort()

    # --- for Connection

    def opened(self, connection: Connection) -> bool:
        """Takes a new connection in, unless there are too many or the server drains."""
        if self.draining:
            return False
        if len(self._connections) >= self.limits.max_connections and not self._make_room():
            return False
        self._connections.add(connection)
        if self._timer is None and self.limits.has_timeouts:
            self._sweep()
        return True

    def closed(self, connection: Connection) -> None:
        """Forgets a connection."""
        self._connections.discard(connection)
        if self._emptied is not None and not self._connections:
            self._emptied.set()

    def _make_room(self) -> bool:
        """Ends those connections whose clients have said nothing for longest, if there are any: who holds
        connections open and does not use them keeps nobody out."""
        if not self.limits.has_timeouts:
            return False
        waiting = [(one.waits_since, one) for one in self._connections if one.waits_since is not None]
        longest = heapq.nsmallest(_ROOM, waiting, key=itemgetter(0))
        for _, connection in longest:
            self._connections.discard(connection)
            connection.abort()
        return bool(longest)

    def _sweep(self) -> None:
        """Once a second while there are connections: one timer for all of them."""
        self._timer = None
        if self._with_date:
            self.date_line = f"Date: {formatdate(usegmt=True)}\r\n"
        if not self._connections:
            return
        now = self.loop.time()
        for connection in list(self._connections):
            connection.sweep(now)
        self._timer = self.loop.call_later(_SWEEP_S, self._sweep)
