"""Clones of templates, with AWS's Python client: they go on from the snapshot, each for itself."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from harness.drivers import CODE, Bench, Listener, sandbox_driver
from squib.environment.runtimes import RuntimeSearch, discover
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer

pytestmark = [pytest.mark.slow, pytest.mark.root]

Story = Callable[[Bench], Awaitable[None]]
Run = Callable[[Story], None]
PROGRAM = """
import os, random, uuid
BORN = str(uuid.uuid4())
count = 0
def handler(event, context):
    global count
    count += 1
    scope = {}
    exec(event.get("do", "result = None"), globals(), scope)
    return {"result": scope.get("result"), "count": count, "born": BORN}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    if os.getuid() != 0:
        pytest.skip("needs root")
    made = Path(tempfile.mkdtemp(prefix="squib-clones-"))
    made.chmod(0o755)
    code = made / "code" / CODE
    code.mkdir(parents=True)
    (code / "app.py").write_text(PROGRAM)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def run(folder: Path) -> Run:
    runtimes = {n: one for n, one in discover(RuntimeSearch()).items() if n == "python3.11"}

    async def main(story: Story) -> None:
        api = HttpServer(lambda exchange: exchange.respond(200, ()), HttpLimits(max_body_bytes=1000))
        host, port = await api.listen("127.0.0.1", 0)
        try:
            async with sandbox_driver(folder, runtimes, port, 40) as driver, asyncio.timeout(50):
                await story(Bench(driver, runtimes, f"http://{host}:{port}", api))
        finally:
            api.abort()

    return lambda story: uvloop.run(main(story))


async def ask(clone: Listener, do: str) -> Any:
    answer = json.loads(await clone.ask(json.dumps({"do": do}).encode()))
    assert "errorMessage" not in answer, answer
    return answer


def test_clone_goes_on_from_the_snapshot_of_its_template(run: Run) -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template()
        one, other = await bench.clone(template), await bench.clone(template)
        await one.ready.get()
        first, second = await ask(one, "result = os.getpid()"), await ask(one, "result = random.random()")
        third = await ask(other, "result = random.random()")
        assert first["result"] < 10
        assert [first["count"], second["count"], third["count"]] == [1, 2, 1]
        assert first["born"] == third["born"]
        assert second["result"] != third["result"]
        for listener in (one, other, template):
            await listener.sandbox.destroy()

    run(story)
