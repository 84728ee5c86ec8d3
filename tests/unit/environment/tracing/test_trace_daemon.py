"""What listens inside a sandbox for segments: which datagrams it takes, and what a flood costs."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from squib.environment.tracing.trace_daemon import (
    AT_ONCE,
    MAX_DATAGRAM_BYTES,
    TraceDaemon,
    TraceSocket,
    bound,
    document_of,
)

HEADER = b'{"format": "json", "version": 1}\n'


@pytest.mark.parametrize(
    ("datagram", "document"),
    [
        (HEADER + b'{"id": 1}', b'{"id": 1}'),
        (b'{"version":1,"format":"json"}\n{}', b"{}"),
        (HEADER + b"a\nb", b"a\nb"),
        (HEADER[:-1], None),
        (b'{"format": "json", "version": 2}\n{}', None),
        (b'{"format": "xml", "version": 1}\n{}', None),
        (b"[]\n{}", None),
        (b"\xff\xfe\n{}", None),
        (b"[" * 5_000 + b"\n{}", None),
        (b"", None),
    ],
)
def test_document_comes_after_the_daemons_header(datagram: bytes, document: bytes | None) -> None:
    assert document_of(datagram) == document


def play(story: Callable[[socket.socket, tuple[str, int], list[bytes]], None]) -> list[bytes]:
    """A story that sends; what the daemon has taken when it was closed."""
    taken: list[bytes] = []

    async def main() -> None:
        listening = bound(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0)
        daemon = TraceDaemon(listening, taken.append)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            story(sender, listening.getsockname(), taken)
            while not taken:
                await asyncio.sleep(0)
        daemon.close()
        daemon.close()

    asyncio.run(asyncio.wait_for(main(), 20))
    return taken


def test_documents_are_taken_one_a_datagram_and_anything_else_is_dropped() -> None:
    def story(sender: socket.socket, address: tuple[str, int], taken: list[bytes]) -> None:
        for datagram in (b"", b"nonsense", HEADER + bytes(MAX_DATAGRAM_BYTES), HEADER + b"1", HEADER + b"2"):
            try:
                sender.sendto(datagram, address)
            except OSError:  # larger than a datagram can be
                assert len(datagram) > 65_000

    assert play(story) == [b"1", b"2"]


def test_flood_is_read_in_small_portions() -> None:
    def story(sender: socket.socket, address: tuple[str, int], taken: list[bytes]) -> None:
        for _ in range(3 * AT_ONCE):
            sender.sendto(HEADER + b"x", address)

    assert len(play(story)) == 2 * AT_ONCE  # one portion, a pause, and what is read when it is closed


def test_what_comes_before_anybody_listens_waits_in_the_socket() -> None:
    async def main() -> None:
        async def making() -> socket.socket:
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        kept = TraceSocket()
        await kept.open(making(), 0)
        with kept.take() as taken, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"early", taken.getsockname())
            assert await asyncio.get_running_loop().sock_recv(taken, 10) == b"early"
        with pytest.raises(OSError):
            kept.take()
        await kept.open(making(), 0)
        kept.close()
        with pytest.raises(OSError):
            kept.take()

    asyncio.run(main())


def test_socket_that_cannot_be_made_is_said_when_it_is_asked_for() -> None:
    async def main() -> None:
        async def making() -> socket.socket:
            raise OSError("no")

        kept = TraceSocket()
        await kept.open(making())
        with pytest.raises(OSError, match="no socket could be made"):
            kept.take()

    asyncio.run(main())
