"""Abuse of what squib gives a function: the Runtime API, the endpoint, pipes. squib answers or cuts off."""

from typing import Any

import pytest

from harness.functions import Function
from harness.machine import eventually
from harness.probe import Probe, deploy_probe
from harness.squib import Squib

context: Any = None  # given by the probe
held: list[Any] = []


def request(method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> list[Any]:
    """Status and body of one call to the own Runtime API."""
    import http.client
    import os

    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=5)
    connection.request(method, "/2018-06-01/runtime/" + path, body.encode(), headers or {})
    answer = connection.getresponse()
    return [answer.status, answer.read().decode(), dict(answer.getheaders())]


def test_asking_twice_gives_the_same_invocation_again(probe: Probe) -> None:
    answer = probe.ask(request, "GET", "invocation/next")
    status, _, headers = answer.value
    assert status == 200
    assert headers["Lambda-Runtime-Aws-Request-Id"] == answer.result.request_id


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "invocation/00000000-0000-0000-0000-000000000000/response", 400),
        ("POST", "invocation/00000000-0000-0000-0000-000000000000/error", 400),
        ("POST", "invocation/..%2f..%2fx/response", 400),
        ("POST", "invocation//response", 400),
        ("POST", "init/error", 403),
        ("POST", "invocation/next", 404),
        ("GET", "nowhere", 404),
        ("DELETE", "invocation/next", 404),
        ("GET", "restore/next", 403),
    ],
)
def test_calls_that_make_no_sense_are_refused(probe: Probe, method: str, path: str, status: int) -> None:
    assert probe.value(request, method, path)[0] == status


def test_an_answer_given_by_hand_counts_once(squib: Squib) -> None:
    probe = deploy_probe(squib)

    def answer_twice() -> str:
        import http.client
        import os

        statuses = []
        for body in (b'"first"', b'"second"'):
            connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=5)
            connection.request(
                "POST", f"/2018-06-01/runtime/invocation/{context.aws_request_id}/response", body
            )
            statuses.append(connection.getresponse().status)
        print("statuses", statuses)
        return "third"

    assert probe.attempt(answer_twice).payload == "first"

    def fine() -> str:
        return "fine"

    answers = [probe.attempt(fine) for _ in range(3)]
    assert [answer.payload for answer in answers if answer.error is None][-1] == {"value": "fine"}
    probe.function.delete()


def test_a_huge_answer_to_nothing_is_cut_off(probe: Probe) -> None:
    def claim() -> str:
        import os
        import socket

        host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
        with socket.create_connection((host, int(port)), 5) as client:
            client.sendall(b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\nHost: x\r\n")
            client.sendall(b"Content-Length: 99999999999\r\n\r\n")
            try:
                for _ in range(400):
                    client.sendall(bytes(1 << 20))
            except OSError as error:
                return type(error).__name__
            return client.recv(100).decode()

    answer = probe.ask(claim)
    assert (
        answer.refused is not None
        or answer.value in ("BrokenPipeError", "ConnectionResetError")
        or answer.value.startswith("HTTP/1.1 4")
    )


def test_slow_and_broken_clients_do_not_hang_anybody(squib: Squib, bystander: Function) -> None:
    probe = deploy_probe(squib)

    def pester() -> int:
        import os
        import socket

        global held
        endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
        held = []
        for target in (os.environ["AWS_LAMBDA_RUNTIME_API"], endpoint):
            host, _, port = target.rstrip("/").rpartition(":")
            for number in range(200):
                try:
                    client = socket.create_connection((host, int(port)), 2)
                    client.sendall(
                        (
                            b"GET /2018-06",
                            b"\x00\xff\x16\x03",
                            b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nx",
                            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 30,
                        )[number % 4]
                    )
                    held.append(client)
                except OSError:
                    break
        return len(held)

    assert probe.value(pester) > 0
    for _ in range(3):
        assert bystander.invoke(1).value == 1

    def fine() -> str:
        return "fine"

    assert probe.attempt(fine).payload == {"value": "fine"}
    probe.function.delete()


def test_malformed_http_is_answered_or_cut(probe: Probe) -> None:
    def speak(target: str) -> list[str]:
        import os
        import socket

        host, _, port = os.environ[target].removeprefix("http://").rstrip("/").rpartition(":")
        seen = []
        post = b"POST / HTTP/1.1\r\n"
        for bytes_sent in (
            b"\r\n\r\n\r\n",
            b"GARBAGE\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\n\r\n",
            post + b"Content-Length: -1\r\n\r\n",
            post + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            post + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
            post + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
            b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        ):
            with socket.create_connection((host, int(port)), 5) as client:
                client.settimeout(0.3)
                try:
                    client.sendall(bytes_sent)
                    seen.append(client.recv(60).decode("latin-1")[:12])
                except OSError as error:
                    seen.append(type(error).__name__)
        return seen

    for target in ("AWS_LAMBDA_RUNTIME_API", "AWS_ENDPOINT_URL"):
        for word in probe.value(speak, target):
            assert word in ("", "TimeoutError", "ConnectionResetError", "BrokenPipeError") or word.startswith(
                ("HTTP/1.1 4", "HTTP/1.1 5")
            )


def test_the_endpoint_takes_no_unsigned_calls_from_inside(probe: Probe) -> None:
    def unsigned(path: str) -> list[Any]:
        import os
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + path, timeout=5) as answer:
                return [answer.status, answer.read().decode()]
        except urllib.error.HTTPError as error:
            return [error.code, error.read().decode()]

    assert probe.value(unsigned, "/2015-03-31/functions/")[0] == 403


def test_its_credentials_do_not_invoke_others(squib: Squib, bystander: Function) -> None:
    probe = deploy_probe(squib, Timeout=20)

    def invoke(name: str) -> str:
        import boto3

        try:
            boto3.client("lambda").invoke(FunctionName=name)
        except Exception as error:
            return str(error.response["Error"]["Code"])  # type: ignore[attr-defined]
        return "invoked"

    assert probe.value(invoke, bystander.name) == "AccessDeniedException"
    assert probe.value(invoke, probe.function.name) == "AccessDeniedException"
    probe.function.delete()


def test_its_credentials_end_with_its_environment(squib: Squib) -> None:
    probe = deploy_probe(squib)

    def key() -> dict[str, str]:
        import os

        return {
            "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "aws_session_token": os.environ["AWS_SESSION_TOKEN"],
        }

    stolen = squib.client("sts", **probe.value(key))
    assert ":assumed-role/" in stolen.get_caller_identity()["Arn"]
    probe.function.delete()

    def refused() -> bool:
        try:
            stolen.get_caller_identity()
        except stolen.exceptions.ClientError as error:
            return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] == 403)
        return False

    eventually(refused, what="the key ends")


def test_garbage_on_every_descriptor_hurts_only_itself(squib: Squib) -> None:
    probe = deploy_probe(squib, Timeout=3)

    def scribble(garbage: str, times: int) -> int:
        import contextlib
        import os

        data, wrote = bytes.fromhex(garbage), 0
        for _ in range(times):
            for fd in range(64):
                with contextlib.suppress(OSError):
                    wrote += os.write(fd, data)
        return wrote

    frames = [
        "00" * 64,
        "a55a0000ffffffff" + "00" * 8,
        "a55a0003" + "00" * 11,
        "ff" * 300,
        "a55a000300000000" + "7f" * 8,
        "a55a00037fffffff" + "ff" * 8 + "41" * 100,
    ]
    for frame in frames:
        probe.attempt(scribble, frame, 3)

    def fine() -> str:
        return "fine"

    answers = [probe.attempt(fine) for _ in range(3)]
    assert answers[-1].payload == {"value": "fine"}
    probe.function.delete()


def test_closing_every_descriptor_hurts_only_itself(squib: Squib) -> None:
    probe = deploy_probe(squib, Timeout=2)

    def close() -> None:
        import os

        os.closerange(0, 1024)

    probe.attempt(close)

    def fine() -> str:
        return "fine"

    assert probe.attempt(fine).payload == {"value": "fine"}
    probe.function.delete()


def test_a_runtime_that_answers_before_it_is_asked(squib: Squib) -> None:
    source = """#!/bin/bash
for path in invocation/x/response init/error invocation/x/error; do
  exec 3<>/dev/tcp/127.0.0.1/9001
  printf 'POST /2018-06-01/runtime/%s HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\n{}' "$path" >&3
  head -c 12 <&3; exec 3<&-
done
"""
    result = squib.deploy(source, runtime="provided.al2023", Timeout=2).invoke()
    assert result.error == "Unhandled"
