"""A smaller set of the same for a squib without root, and for one whose directories everyone may enter."""

import os
from collections.abc import Iterator

import pytest

from harness.functions import Function, zip_of
from harness.squib import Squib, new_data_dir

NOBODY = 65_534
SOURCE = """
import os, sys, time
calls = 0
def handler(event, context):
    global calls
    calls += 1
    match event:
        case "pid": return [os.getpid(), len([n for n in os.listdir("/proc") if n.isdigit()])]
        case "fail": raise ValueError("no luck")
        case "exit": os._exit(3)
        case "sleep": time.sleep(30)
        case "memory": return len(bytearray(400 << 20))
        case ["read", path]:
            try:
                return open(path).read(100)
            except OSError as error:
                return type(error).__name__
        case ["write", path]:
            try:
                open(path, "w").close()
                return "written"
            except OSError as error:
                return type(error).__name__
        case "variables": return dict(os.environ)
    return [calls, event]
"""


@pytest.fixture(scope="module", params=["nobody", "open-directory"])
def kind(request: pytest.FixtureRequest) -> Iterator[Squib]:
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    if request.param == "nobody":
        with Squib("--isolation", "auto", user=NOBODY) as squib:
            yield squib
        return
    data_dir = new_data_dir()
    data_dir.chmod(0o755)
    with Squib(data_dir=data_dir) as squib:
        squib.owns_data = True
        yield squib


@pytest.fixture(scope="module")
def function(kind: Squib) -> Function:
    return kind.deploy(SOURCE, Timeout=2, MemorySize=256)


def test_it_runs_functions(function: Function) -> None:
    first = function.invoke({"a": 1})
    assert first.value == [1, {"a": 1}]
    assert first.report.init_ms is not None
    assert function.invoke("again").value == [2, "again"]


def test_failures_are_lambdas(function: Function) -> None:
    assert function.invoke("fail").payload["errorType"] == "ValueError"
    assert "exit status 3" in function.invoke("exit").payload["errorMessage"]
    assert function.invoke("sleep").payload["errorType"] == "Sandbox.Timedout"
    assert function.invoke("memory").error == "Unhandled"
    assert function.invoke("exit").error == "Unhandled"
    assert function.invoke(1).value == [1, 1]


def test_a_function_does_not_see_squib(kind: Squib, function: Function) -> None:
    assert function.invoke("pid").value[1] <= 4
    hidden = str(kind.data_dir / "credentials.json")
    assert function.invoke(["read", hidden]).value in ("FileNotFoundError", "PermissionError")
    assert function.invoke(["read", "/etc/shadow"]).value in ("FileNotFoundError", "PermissionError")
    for path in ("/var/task/x", "/usr/x", "/etc/x", "/opt/x"):
        assert function.invoke(["write", path]).value in ("OSError", "PermissionError")
    secrets = set(kind.root_key())
    assert secrets & set(function.invoke("variables").value.values()) == set()


def test_layers_show_at_opt(kind: Squib) -> None:
    client, arns = kind.client(), []
    for number in range(2):
        content = zip_of({f"python/part{number}.py": f"X = {number}\n", "same": str(number)})
        told = client.publish_layer_version(LayerName=f"layer{number}", Content={"ZipFile": content})
        arns.append(told["LayerVersionArn"])
    source = "import part0, part1\ndef handler(event, context):\n    return open('/opt/same').read()"
    assert kind.deploy(source, Layers=arns).invoke().value == "1"


def test_it_runs_node(kind: Squib) -> None:
    listing = kind.command("runtimes", "list").stdout
    node = next(
        (row.split()[0] for row in listing.splitlines() if row.startswith("nodejs") and " ready " in row),
        None,
    )
    if node is None:
        pytest.skip("no node on this machine")
    function = kind.deploy("exports.handler = async e => [e, process.version];", runtime=node)
    assert function.invoke(1).value[0] == 1


def test_logs_are_kept(kind: Squib, function: Function) -> None:
    streams = kind.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{function.name}")
    assert streams["logStreams"]


def test_memory_used_is_told(kind: Squib) -> None:
    source = "def handler(event, context):\n    return len(bytearray(b'x') * (event << 20))"
    function = kind.deploy(source, MemorySize=512)
    assert function.invoke(100).value == 100 << 20
    assert 100 <= function.invoke(1).report.used_mib <= 150
