"""Both load generators against a server that can be told how to answer; the signer against botocore's."""

import json
import shutil
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from bench.load import CompiledGenerator, Expect, Generator, PythonGenerator, Shape
from bench.provision import OUT, compiled
from bench.signing import AccessKey, signed
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REQUEST = b"POST /echo HTTP/1.1\r\nHost: bench\r\nContent-Length: 2\r\n\r\n{}"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
FAULT = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}"
FUNCTION_ERROR = b"HTTP/1.1 200 OK\r\nX-Amz-Function-Error: Unhandled\r\nContent-Length: 2\r\n\r\n{}"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"


class Server(socketserver.ThreadingTCPServer):
    """Sends the same bytes for every request, in the pieces given."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Server)
        received = b""
        while part := self.request.recv(4096):
            received += part
            while received.startswith(REQUEST):
                received = received.removeprefix(REQUEST)
                for piece in self.server.pieces:
                    self.request.sendall(piece)
                if b"close" in self.server.pieces[0] or self.server.pieces[0] == HALF:
                    return


@pytest.fixture(params=["compiled", "python"])
def generator(request: pytest.FixtureRequest) -> Generator:
    if request.param == "python":
        return PythonGenerator()
    if not shutil.which("gcc"):
        pytest.skip("no C compiler here")
    OUT.mkdir(exist_ok=True)
    return CompiledGenerator(compiled("load"))


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*pieces: bytes) -> Server:
        servers.append(Server(*pieces))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "pieces",
    [(PLAIN,), (CHUNKED,), (PLAIN[:30], PLAIN[30:]), (CHUNKED[:50], CHUNKED[50:55], CHUNKED[55:])],
    ids=["plain", "chunked", "in pieces", "chunks in pieces"],
)
def test_right_answers_are_counted_on_one_connection_each(
    generator: Generator, serve: Callable[..., Server], pieces: tuple[bytes, ...]
) -> None:
    outcome = generator.run(
        serve(*pieces).port, REQUEST, Shape(connections=3, each=4, grace_s=5), Expect(body=b"{}")
    )
    assert (outcome.ok, outcome.failed, outcome.reconnects) == (12, 0, 0)
    assert 0 < outcome.p50_us <= outcome.p99_us <= outcome.max_us <= outcome.elapsed_us


def test_a_server_that_closes_is_connected_to_again(
    generator: Generator, serve: Callable[..., Server]
) -> None:
    outcome = generator.run(
        serve(CLOSING).port, REQUEST, Shape(connections=2, each=3, grace_s=5), Expect(contains="{}")
    )
    assert (outcome.ok, outcome.failed) == (6, 0)
    assert outcome.reconnects >= 4


@pytest.mark.parametrize(
    ("answer", "expect"),
    [
        (FAULT, Expect()),
        (FUNCTION_ERROR, Expect()),
        (PLAIN, Expect(body=b"[]")),
        (PLAIN, Expect(contains="[")),
        (HALF, Expect()),
    ],
    ids=["status", "function error", "another body", "not in the body", "half an answer"],
)
def test_wrong_answers_are_failures(
    generator: Generator, serve: Callable[..., Server], answer: bytes, expect: Expect
) -> None:
    outcome = generator.run(serve(answer).port, REQUEST, Shape(connections=2, each=2, grace_s=5), expect)
    assert (outcome.ok, outcome.failed) == (0, 4)
    assert outcome.first_failure


def test_an_answer_that_never_comes_is_a_failure(generator: Generator, serve: Callable[..., Server]) -> None:
    outcome = generator.run(
        serve(b"").port, REQUEST, Shape(connections=2, each=1, grace_s=0.1), Expect(body=b"{}")
    )
    assert (outcome.ok, outcome.failed, outcome.first_failure[:12]) == (0, 2, "no answer in")


def test_the_signature_is_the_one_botocore_makes() -> None:
    body = json.dumps({"key": "value"}).encode()
    key = AccessKey(access_key_id="AKIAEXAMPLE", secret_access_key="a/secret+key")
    path = "/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f/invocations"
    head = signed("POST", 4566, path, body, key).split(b"\r\n\r\n")[0].decode()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    request = AWSRequest("POST", f"http://127.0.0.1:4566{path}", data=body)
    request.context["timestamp"] = headers["X-Amz-Date"]
    request.headers["X-Amz-Date"] = headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(key.access_key_id, key.secret_access_key), "lambda", "us-east-1")
    canonical = signer.canonical_request(request)
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    assert headers["Authorization"].endswith(f"Signature={expected}")
    assert datetime.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
