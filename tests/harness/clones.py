"""Templates and their clones at the sandbox driver of this machine, with AWS's Python client."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from harness.drivers import CODE, Bench, Listener, sandbox_driver
from squib.environment.runtimes import RuntimeSearch, discover
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer

Story = Callable[[Bench], Awaitable[None]]
HANDLER = """
import ctypes, errno, os, random, socket, subprocess, time, uuid
BORN = str(uuid.uuid4())
count = 0
def handler(event, context):
    global count
    count += 1
    scope = {}
    try:
        exec(event.get("do", ""), globals(), scope)
    except OSError as error:
        scope["result"] = errno.errorcode.get(error.errno, type(error).__name__)
    return {"result": scope.get("result"), "count": count, "born": BORN}
"""


@contextmanager
def code_folder(programs: dict[str, str]) -> Iterator[Path]:
    """A folder for a driver, with modules of a function's code; `HANDLER` comes first in each."""
    if os.getuid() != 0:
        pytest.skip("needs root")
    made = Path(tempfile.mkdtemp(prefix="squib-clones-"))
    made.chmod(0o755)
    code = made / "code" / CODE
    code.mkdir(parents=True)
    for name, program in programs.items():
        (code / f"{name}.py").write_text(HANDLER + program)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def run_story(
    story: Story, programs: dict[str, str], runtime: str = "python3.11", *, outside: bool = False
) -> None:
    """Runs a story with a driver of its own. The handlers are those of `app`, and of `programs`."""
    runtimes = {name: one for name, one in discover(RuntimeSearch()).items() if name == runtime}
    if not runtimes:
        pytest.skip(f"{runtime} is not on this machine")

    async def main(folder: Path) -> None:
        api = HttpServer(lambda exchange: exchange.respond(200, ()), HttpLimits(max_body_bytes=1000))
        host, port = await api.listen("127.0.0.1", 0)
        try:
            async with (
                sandbox_driver(folder, runtimes, port, 40, outside=outside) as driver,
                asyncio.timeout(80),
            ):
                with Bench(driver, runtimes, f"http://{host}:{port}", api) as bench:
                    await story(bench)
        finally:
            api.abort()

    with code_folder({"app": "", **programs}) as folder:
        uvloop.run(main(folder))


async def ask(clone: Listener, do: str) -> Any:
    """Runs Python in a clone: what it leaves in `result`, or the error by which the kernel refused."""
    answer = json.loads(await clone.ask(json.dumps({"do": do}).encode()))
    assert "errorMessage" not in answer, answer
    return answer["result"]
