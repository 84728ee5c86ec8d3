"""What a connection needs of the server that accepted it."""

import asyncio
from typing import Protocol, TypeVar

from squib.http.exchange import Handler
from squib.http.limits import HttpLimits

C = TypeVar("C", contravariant=True)


class Owner(Protocol[C]):
    """A server of connections of one kind."""

    limits: HttpLimits
    handler: Handler
    on_too_large: Handler
    draining: bool
    held_bytes: int
    """Of unfinished bodies."""
    date_line: str
    """`Date: ...` with its line end, or empty."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def opened(self, connection: C) -> bool:
        """False when there are too many connections already."""

    def closed(self, connection: C) -> None: ...
