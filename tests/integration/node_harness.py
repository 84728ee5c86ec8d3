"""Runs the Node.js runtime interface client against a small Runtime API, and keeps all that it did."""

import asyncio
import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from squib.environment.runtimes import Runtime, RuntimeKind, RuntimeSearch, discover

NODES = [one for one in discover(RuntimeSearch()).values() if one.kind is RuntimeKind.NODEJS]
ARN = "arn:aws:lambda:us-east-1:000000000000:function:hello:live"
LIMIT_S = 30.0


def major_version(node: Runtime) -> int:
    return int(node.version.split(".")[0])


@dataclass
class Post:
    """One request that the client posted."""

    path: str
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]
    pieces: list[bytes]

    def json(self) -> Any:
        return json.loads(self.body)

    def failure(self) -> tuple[str, str]:
        """Type and message of a posted error, whose form is checked."""
        body = self.json()
        assert set(body) == {"errorType", "errorMessage", "trace"}
        assert self.headers["lambda-runtime-function-error-type"] == body["errorType"]
        return body["errorType"], body["errorMessage"]


@dataclass
class Run:
    """All that a client did with its events."""

    posts: list[Post] = field(default_factory=list)
    status: int | None = None
    """Exit status; None when it was still serving after the last event."""
    output: str = ""
    telemetry: bytes = b""

    def answers(self) -> list[Any]:
        return [post.json() for post in self.posts if post.path.endswith("/response")]

    def frames(self) -> list[tuple[int, str]]:
        """Type and message of each telemetry frame."""
        found, rest = [], self.telemetry
        while rest:
            kind, length, micros = struct.unpack_from(">IIQ", rest)
            assert 1_600_000_000_000_000 < micros < 4_000_000_000_000_000
            found.append((kind, rest[16 : 16 + length].decode()))
            rest = rest[16 + length :]
        return found


class RuntimeApi:
    """Hands out events one after another; knows that it is over when one more is asked for."""

    def __init__(
        self, events: Sequence[tuple[bytes, Mapping[str, str]]], *, is_chunked: bool = False
    ) -> None:
        self.run = Run()
        self.over = asyncio.Event()
        self._events = iter(enumerate(events))
        self._is_chunked = is_chunked

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, target, _ = head[0].split(" ")
                path = target.removeprefix("/2018-06-01/runtime/")
                headers = self._fields(head[1:])
                if method == "GET":
                    assert path == "invocation/next"
                    await self._give(writer)
                    continue
                if headers.get("transfer-encoding") == "chunked":
                    pieces, trailers = await self._chunks(reader)
                else:
                    pieces, trailers = [await reader.readexactly(int(headers["content-length"]))], {}
                self.run.posts.append(Post(path, headers, b"".join(pieces), trailers, pieces))
                writer.write(b'HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n')
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _fields(self, lines: Sequence[str]) -> dict[str, str]:
        return {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines if line}

    async def _chunks(self, reader: asyncio.StreamReader) -> tuple[list[bytes], dict[str, str]]:
        pieces = []
        while size := int((await reader.readline()).strip(), 16):
            pieces.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        trailers = []
        while line := (await reader.readline()).decode().strip():
            trailers.append(line)
        return pieces, self._fields(trailers)

    async def _give(self, writer: asyncio.StreamWriter) -> None:
        given = next(self._events, None)
        if given is None:
            self.over.set()
            return
        number, (event, extra) = given
        headers = {
            "Lambda-Runtime-Aws-Request-Id": f"id-{number}",
            "Lambda-Runtime-Deadline-Ms": "4000000000000",
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": f"Root=1-{number}",
            "Content-Type": "application/json",
            **extra,
        }
        if self._is_chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(event))
        lines = [f"{name}: {value}" for name, value in headers.items() if value]
        writer.write(("HTTP/1.1 200 OK\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode())
        if self._is_chunked:
            for start in range(0, len(event), 1000):
                piece = event[start : start + 1000]
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(event)


def invoke(
    node: Runtime,
    root: Path,
    files: Mapping[str, str],
    events: Sequence[Any] = ({},),
    *,
    handler: str = "index.handler",
    headers: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    is_framed: bool = False,
    is_chunked: bool = False,
) -> Run:
    """Runs the function made of `files` on `events`; ends when the client asks for one more, or exits."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    encoded = [(json.dumps(event).encode(), headers or {}) for event in events]
    run = _conversation(
        node,
        root,
        RuntimeApi(encoded, is_chunked=is_chunked),
        {"_HANDLER": handler, **(variables or {})},
        is_framed,
    )
    return asyncio.run(asyncio.wait_for(run, LIMIT_S))


async def _conversation(
    node: Runtime, root: Path, api: RuntimeApi, variables: dict[str, str], is_framed: bool
) -> Run:
    assert node.client_dir is not None
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    variables |= {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "LAMBDA_TASK_ROOT": str(root),
        "AWS_LAMBDA_FUNCTION_NAME": "hello",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/02/[$LATEST]0123",
        "PATH": "/usr/bin:/bin",
    }
    output, telemetry = Pipe(), Pipe()
    if is_framed:
        variables["_LAMBDA_TELEMETRY_LOG_FD"] = str(telemetry.write_fd)
    process = await asyncio.create_subprocess_exec(
        str(node.interpreter),
        str(node.client_dir / "bootstrap.js"),
        env=variables,
        cwd=root,
        stdout=output.write_fd,
        stderr=output.write_fd,
        pass_fds=(telemetry.write_fd,) if is_framed else (),
    )
    async with asyncio.TaskGroup() as tasks:
        printed = tasks.create_task(output.read_all())
        framed = tasks.create_task(telemetry.read_all())
        exited = tasks.create_task(process.wait())
        over = tasks.create_task(api.over.wait())
        await asyncio.wait([exited, over], return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            process.kill()
            await exited
        else:
            over.cancel()
            api.run.status = exited.result()
    server.close()
    await server.wait_closed()
    api.run.output = printed.result().decode()
    api.run.telemetry = framed.result()
    return api.run


class Pipe:
    """A pipe read to its end; the writing end is closed here once the reading starts."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()

    async def read_all(self) -> bytes:
        os.close(self.write_fd)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self.read_fd, "rb", 0)
        )
        content = await reader.read()
        transport.close()
        return content
