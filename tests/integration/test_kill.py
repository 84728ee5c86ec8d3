"""SIGKILL at any moment: what squib has acknowledged is there afterwards, and nothing else is left."""

import base64
import functools
import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions
import pytest

from harness.functions import Function, zip_of
from harness.machine import PATIENCE, eventually
from harness.squib import Squib, new_data_dir, unique_name

pytestmark = pytest.mark.slow
ANSWERED = (botocore.exceptions.ClientError, botocore.exceptions.WaiterError)
DELETED = -1


def source(value: int) -> str:
    return f"def handler(event, context):\n    return {value}\n"


class Worker:
    """Declares functions, one step after the other, and remembers what each may be after a crash."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.possible: dict[str, set[int]] = {}
        """Function -> values of which one is its code's; DELETED for not being there."""
        self.versions: dict[str, dict[str, int]] = {}
        """Function -> its versions published since it was checked -> their values."""
        self.acknowledged = 0
        self.wrong: list[str] = []

    def work(self, squib: Squib) -> None:
        """Until squib is gone."""
        try:
            while True:
                self.step(squib)
                self.acknowledged += 1
        except ANSWERED as error:
            self.wrong.append(str(error))
        except botocore.exceptions.BotoCoreError:  # no answer: squib is gone
            return

    def step(self, squib: Squib) -> None:
        living = [name for name, values in self.possible.items() if DELETED not in values]
        client = squib.client()
        kind = (
            self.random.choice(["create", "update", "update", "publish", "delete", "invoke"])
            if len(living) > 2
            else "create"
        )
        if kind == "create":
            name = unique_name("kill")
            layers = [layer(squib, part) for part in ("one", "two")] if self.random.random() < 0.5 else []
            self.possible[name] = {DELETED, 0}
            code = "import one, two\n" + source(0) if layers else source(0)
            function = squib.create(code, name=name, MemorySize=128, Layers=layers)
            self.possible[name] = {0}
            if self.random.random() < 0.5:
                function.wait_active()
            return
        name = self.random.choice(living)
        function = Function(client, name, name)
        if kind == "delete":
            self.possible[name].add(DELETED)
            client.delete_function(FunctionName=name)
            self.possible[name] = {DELETED}
        elif kind == "update":
            function.wait_active()
            function.wait_updated()
            (value,) = self.possible[name]
            self.possible[name] = {value, value + 1}
            client.update_function_code(FunctionName=name, ZipFile=zip_of({"app.py": source(value + 1)}))
            self.possible[name] = {value + 1}
        elif kind == "publish":
            function.wait_active()
            function.wait_updated()
            (value,) = self.possible[name]
            version = client.publish_version(FunctionName=name)["Version"]
            self.versions.setdefault(name, {})[version] = value
        else:
            function.wait_active()
            function.wait_updated()
            (value,) = self.possible[name]
            if function.invoke().value != value:
                self.wrong.append(f"{name} is not {value}")

    def check(self, squib: Squib) -> None:
        """After a restart: everything acknowledged holds. Settles what was open."""
        client = squib.client()
        for name, values in self.possible.items():
            try:
                configuration = client.get_function_configuration(FunctionName=name)
            except botocore.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "ResourceNotFoundException"
                assert DELETED in values, f"{name} is lost"
                self.possible[name] = {DELETED}
                continue
            assert values - {DELETED}, f"{name} has come back"
            function = Function(client, name, configuration["FunctionArn"])
            function.wait_active()
            function.wait_updated()
            found = function.invoke().value
            assert found in values, f"{name} is {found}, not one of {values}"
            self.possible[name] = {found}
            for version, value in self.versions.pop(name, {}).items():
                published = client.get_waiter("published_version_active")
                published.wait(FunctionName=name, Qualifier=version, WaiterConfig={"Delay": 1})
                assert function.invoke(Qualifier=version).value == value, f"{name}:{version}"


def layer(squib: Squib, part: str) -> str:
    """The ARN of a new layer with one module."""
    content = zip_of({f"python/{part}.py": f"# {unique_name()}\n"})
    published = squib.client().publish_layer_version(LayerName=part, Content={"ZipFile": content})
    return str(published["LayerVersionArn"])


def referenced(squib: Squib) -> set[str]:
    """Digests of all code that is declared."""
    client = squib.client()
    pages = client.get_paginator("list_functions").paginate(FunctionVersion="ALL")
    found = [function["CodeSha256"] for page in pages for function in page["Functions"]]
    for part in ("one", "two"):
        layers = client.get_paginator("list_layer_versions").paginate(LayerName=part)
        for number in [version["Version"] for page in layers for version in page["LayerVersions"]]:
            told = client.get_layer_version(LayerName=part, VersionNumber=number)
            found.append(told["Content"]["CodeSha256"])
    return {base64.b64decode(digest).hex() for digest in found}


@pytest.mark.timeout(240 * PATIENCE)
def test_what_was_acknowledged_survives_sigkill(request: pytest.FixtureRequest) -> None:
    data_dir = new_data_dir()
    workers = [Worker(seed) for seed in range(3)]
    moments = random.Random(7)
    squib = Squib(data_dir=data_dir)
    squib.owns_data = True

    def done() -> int:
        return sum(worker.acknowledged for worker in workers)

    def enough(goal: int) -> bool:
        return done() >= goal

    request.addfinalizer(squib._forget)
    for life in range(6):
        squib.start()
        for worker in workers:
            worker.check(squib)
        goal = done() + moments.randint(4, 25)
        threads = [threading.Thread(target=worker.work, args=(squib,)) for worker in workers]
        for thread in threads:
            thread.start()
        eventually(functools.partial(enough, goal), within_s=60, what="work is done")
        squib.kill(launcher_too=life % 2 == 1)
        for thread in threads:
            thread.join(60 * PATIENCE)
        assert not any(thread.is_alive() for thread in threads)
        assert [worker.wrong for worker in workers] == [[], [], []], squib.output[-3000:]
    old = list(squib.seen.values())
    with squib:
        declared = referenced(squib)
        for worker in workers:
            worker.check(squib)
        archives = {f"{digest}.zip" for digest in declared}

        def kept() -> set[str]:
            return {path.name for path in (data_dir / "blobs").rglob("*") if path.is_file()}

        eventually(
            lambda: kept() == archives, what="every archive is somebody's"
        )  # looked at after the start
        assert not [path for path in (data_dir / "code").iterdir() if path.name.startswith(".")]
        eventually(
            lambda: not [process for process in old if process.is_alive()],
            what="processes of former lives end",
        )
    assert not data_dir.exists()


def test_a_killed_daemon_takes_everything_with_it(request: pytest.FixtureRequest) -> None:
    squib = Squib().start()
    request.addfinalizer(squib._forget)
    function = squib.deploy(
        "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 1\n"
    )
    function.invoke(0)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(function.invoke, 8)
        eventually(lambda: len(squib.processes()) > 4)
        squib.kill()
        with pytest.raises(botocore.exceptions.HTTPClientError):
            running.result(30 * PATIENCE)
    squib.assert_nothing_left()


def test_after_a_kill_of_all_the_next_start_cleans_up(request: pytest.FixtureRequest) -> None:
    squib = Squib().start()
    request.addfinalizer(squib._forget)
    function = squib.deploy("import os\ndef handler(event, context):\n    return os.getpid()\n")
    function.invoke()
    eventually(lambda: len(squib.processes()) > 3)
    squib.kill(launcher_too=True)
    old = list(squib.seen.values())
    squib.start()
    eventually(lambda: not [process for process in old if process.is_alive()], what="old processes end")
    assert Function(squib.client(), function.name, function.arn).invoke().error is None
    assert squib.stop() == 0
    squib.assert_nothing_left()


def test_pending_functions_become_active_after_a_kill(request: pytest.FixtureRequest) -> None:
    squib = Squib().start()
    request.addfinalizer(squib._forget)
    functions = [squib.create(source(number) + "#" * 100_000, MemorySize=128) for number in range(5)]
    squib.kill()
    with squib:
        for number, function in enumerate(functions):
            again = Function(squib.client(), function.name, function.arn)
            again.wait_active()
            assert again.invoke().value == number


def test_a_killed_fork_server_is_replaced() -> None:
    with Squib() as squib:
        one = squib.deploy(source(1))
        assert one.invoke().value == 1
        victims = squib.fork_servers()
        assert victims
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)
        eventually(lambda: not any(victim.is_alive() for victim in victims))
        two = squib.deploy(source(2))

        def answer() -> Any:
            try:
                return two.invoke().value
            except botocore.exceptions.ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
                return None

        assert eventually(answer, within_s=20) == 2
        assert one.invoke().value == 1
        assert {server.pid for server in squib.fork_servers()} - {victim.pid for victim in victims}


def test_a_killed_launcher_is_replaced_or_ends_squib_clearly(request: pytest.FixtureRequest) -> None:
    squib = Squib().start()
    request.addfinalizer(squib._forget)
    assert squib.deploy(source(1)).invoke().value == 1
    os.kill(squib.launcher().pid, signal.SIGKILL)
    code = squib.process.wait(30 * PATIENCE)
    assert code != 0
    assert "launcher" in squib.output
    with squib:
        assert squib.deploy(source(2)).invoke().value == 2
