"""Fetching an issuer's keys: from where it was said, in bounds, and never in the way of those at hand."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from squib.clock import SystemClock
from squib.control_plane.sts.issuer_keys import IssuerKeys
from squib.model.identity_errors import IdentityProviderUnreachable
from squib.model.units import MonotonicMs

KEY: Final = json.loads(
    jwt.algorithms.RSAAlgorithm.to_jwk(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    )
)


class StepClock(SystemClock):
    """A monotonic clock that is set by hand."""

    at_ms = 0.0

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(self.at_ms)


def jwks(*kids: str) -> bytes:
    return json.dumps({"keys": [{**KEY, "kid": kid, "alg": "RS256"} for kid in kids]}).encode()


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server on loopback; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def give(request: BaseHTTPRequestHandler, body: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        if request.path == "/keys":
            request.send_response(302)
            request.send_header("Location", "/latest/meta-data/")
            request.send_header("Content-Length", "0")
            request.end_headers()
        else:
            give(request, jwks("a"))

    async def main(url: str) -> None:
        with pytest.raises(IdentityProviderUnreachable):
            await IssuerKeys(f"{url}/keys", SystemClock()).find("a")

    with serving(answer) as url:
        asyncio.run(main(url))
    assert asked == ["/keys"]


def test_an_answer_that_is_larger_than_keys_are_is_refused() -> None:
    async def main(url: str) -> None:
        with pytest.raises(IdentityProviderUnreachable):
            await IssuerKeys(url, SystemClock()).find("a")

    with serving(lambda request: give(request, jwks("a") + b" " * (1 << 20))) as url:
        asyncio.run(main(url))


def test_an_issuer_that_never_ends_its_answer_keeps_one_thread_and_no_caller() -> None:
    ended = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while not ended.wait(0.02):
                request.wfile.write(b" ")
        except OSError:
            pass

    async def main(url: str) -> None:
        clock = StepClock()
        keys = IssuerKeys(url, clock, timeout_s=0.2)
        before = threading.active_count()
        for _ in range(3):
            clock.at_ms += 20_000
            with pytest.raises(IdentityProviderUnreachable):
                await keys.find("a")
        named = [thread for thread in threading.enumerate() if thread.name == "issuer-keys"]
        assert len(named) == 1 and named[0].daemon
        assert threading.active_count() <= before + 2  # it, and the server's own

    with serving(answer) as url:
        asyncio.run(main(url))
        ended.set()


def test_who_has_a_known_key_does_not_wait_for_an_unknown_one() -> None:
    asked, go_on = threading.Event(), threading.Event()
    first = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        if first.is_set():
            asked.set()
            go_on.wait(20)
        first.set()
        give(request, jwks("a", "b") if go_on.is_set() else jwks("a"))

    async def main(url: str) -> None:
        clock = StepClock()
        keys = IssuerKeys(url, clock, timeout_s=20)
        assert await keys.find("a") is not None
        clock.at_ms += 20_000
        async with asyncio.TaskGroup() as tasks:
            unknown = tasks.create_task(keys.find("b"))
            await asyncio.to_thread(asked.wait, 20)
            assert await keys.find("a") is not None
            assert not unknown.done()
            late = tasks.create_task(keys.find("b"))
            await asyncio.sleep(0)
            go_on.set()
        assert unknown.result() is not None and late.result() is not None

    with serving(answer) as url:
        asyncio.run(main(url))


def test_keys_of_an_issuer_that_is_long_gone_are_used_no_more() -> None:
    async def main() -> None:
        clock = StepClock()
        with serving(lambda request: give(request, jwks("a"))) as url:
            keys = IssuerKeys(url, clock)
            assert await keys.find("a") is not None
        clock.at_ms += 3_000_000
        assert await keys.find("a") is not None
        clock.at_ms += 3_000_000
        with pytest.raises(IdentityProviderUnreachable):
            await keys.find("a")

    asyncio.run(main())


def test_a_secret_among_the_keys_verifies_nothing() -> None:
    secret = {"kty": "oct", "kid": "s", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"}
    body = json.dumps({"keys": [secret, {**KEY, "kid": "a"}]}).encode()

    async def main(url: str) -> None:
        keys = IssuerKeys(url, SystemClock())
        assert await keys.find("s") is None
        assert await keys.find("a") is not None

    with serving(lambda request: give(request, body)) as url:
        asyncio.run(main(url))
