"""Layers through the API and in live environments: what a function imports, runs and loads from /opt."""

import hashlib
import json
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from harness.functions import zip_of
from harness.squib import PYTHON, Squib, unique_name

Files = Mapping[str, str | bytes]
A_LIBRARY = next(Path("/usr/lib").glob("*-linux-gnu/libz.so.1"), None)
SITE_PACKAGES = f"python/lib/{PYTHON}/site-packages"


def publish(squib: Squib, files: Files, name: str | None = None) -> str:
    """Publishes a layer version; gives its ARN."""
    answer = squib.client().publish_layer_version(
        LayerName=name or unique_name("layer"), Content={"ZipFile": zip_of(files)}
    )
    return str(answer["LayerVersionArn"])


@pytest.fixture(scope="module", params=["sandbox", "plain"])
def any_isolation(request: pytest.FixtureRequest, squib: Squib) -> Iterator[Squib]:
    """A squib of each isolation: in a plain one there is no /opt, only what variables name."""
    if request.param == "sandbox":
        yield squib
        return
    with Squib("--isolation", "plain") as plain:
        yield plain


IMPORTS = """
import json, os, subprocess, ctypes
import flat, nested
def handler(event, context):
    ran = subprocess.run(["layertool"], capture_output=True, text=True).stdout
    ctypes.CDLL("liblayerprobe.so.7").zlibVersion
    return [flat.VALUE, nested.VALUE, ran]
"""


@pytest.mark.skipif(A_LIBRARY is None, reason="needs a shared library to copy: zlib1g")
def test_a_python_function_finds_packages_commands_and_libraries_of_its_layers(any_isolation: Squib) -> None:
    assert A_LIBRARY is not None
    first = publish(
        any_isolation,
        {
            "python/flat.py": "VALUE = 'flat'\n",
            f"{SITE_PACKAGES}/nested.py": "VALUE = 'nested'\n",
            "bin/layertool": "#!/bin/sh\necho tool ran\n",
        },
    )
    second = publish(any_isolation, {"lib/liblayerprobe.so.7": A_LIBRARY.read_bytes()})
    function = any_isolation.deploy(IMPORTS, Layers=[first, second])
    assert function.invoke().value == ["flat", "nested", "tool ran\n"]


NODE = """
exports.handler = async () => [require('plainpackage'), require('versioned'),
    require('child_process').execSync('layertool').toString()];
"""


def test_a_node_function_finds_packages_and_commands_of_its_layers(
    any_isolation: Squib, ready_runtimes: frozenset[str]
) -> None:
    runtime = max((name for name in ready_runtimes if name.startswith("nodejs")), default=None)
    if runtime is None:
        pytest.skip("needs Node.js")
    major = runtime.removeprefix("nodejs").removesuffix(".x")
    layer = publish(
        any_isolation,
        {
            "nodejs/node_modules/plainpackage/index.js": "module.exports = 'plain';\n",
            f"nodejs/node{major}/node_modules/versioned/index.js": "module.exports = 'versioned';\n",
            "bin/layertool": "#!/bin/sh\necho tool ran\n",
        },
    )
    function = any_isolation.deploy(NODE, runtime=runtime, Layers=[layer])
    assert function.invoke().value == ["plain", "versioned", "tool ran\n"]


def test_a_custom_runtime_may_come_from_a_layer(any_isolation: Squib) -> None:
    bootstrap = """#!/bin/sh
while :; do
  headers=$(mktemp)
  curl -sS -o /dev/null -D "$headers" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next"
  id=$(tr -d '\\r' < "$headers" | sed -n 's/^lambda-runtime-aws-request-id: //Ip')
  curl -sS -d '"from a layer"' \\
    "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response"
done
"""
    layer = publish(any_isolation, {"bootstrap": bootstrap})
    function = any_isolation.deploy({"data": "1"}, runtime="provided.al2023", Layers=[layer])
    assert function.invoke().value == "from a layer"


LOOK = """
import os
def handler(event, context):
    found = {}
    for folder, folders, files in os.walk("/opt"):
        for name in files:
            path = os.path.join(folder, name)
            found[path] = os.readlink(path) if os.path.islink(path) else open(path).read()
    errors = []
    for path in ("/opt/new", "/opt/shared/text"):
        try:
            open(path, "w")
        except OSError as error:
            errors.append(error.strerror)
    return [found, errors]
"""


def test_later_layers_lie_over_earlier_ones_and_nobody_writes_there(squib: Squib) -> None:
    lower = publish(squib, {"shared/text": "lower", "shared/low": "low", "place/inside": "folder"})
    upper = publish(squib, {"shared/text": "upper", "shared/up": "up", "place": "file"})
    common = {"/opt/shared/low": "low", "/opt/shared/up": "up"}
    refused = ["Read-only file system"] * 2
    function = squib.deploy(LOOK, Layers=[lower, upper])
    assert function.invoke().value == [
        {**common, "/opt/shared/text": "upper", "/opt/place": "file"},
        refused,
    ]
    function.configure(Layers=[upper, lower])
    assert function.invoke().value == [
        {**common, "/opt/shared/text": "lower", "/opt/place/inside": "folder"},
        refused,
    ]
    function.configure(Layers=[])
    found, _ = function.invoke().value
    assert found == {}
    assert "Layers" not in function.client.get_function_configuration(FunctionName=function.name)


def test_a_deleted_layer_serves_the_functions_that_have_it_also_after_a_restart() -> None:
    with Squib() as squib:
        arns = [publish(squib, {f"python/part{number}.py": f"X = {number}\n"}) for number in range(2)]
        source = "import part0, part1\ndef handler(event, context):\n    return [part0.X, part1.X]\n"
        function = squib.deploy(source, Layers=arns)
        client = squib.client()
        for arn in arns:
            client.delete_layer_version(LayerName=arn.rpartition(":")[0], VersionNumber=1)
        configuration = client.get_function_configuration(FunctionName=function.name)
        assert [layer["Arn"] for layer in configuration["Layers"]] == arns
        assert client.list_layers()["Layers"] == []
        squib.stop()
        squib.start()
        answer = squib.client().invoke(FunctionName=function.name)
        assert json.loads(answer["Payload"].read()) == [0, 1]


def test_a_published_version_keeps_its_layers(squib: Squib) -> None:
    arns = [publish(squib, {"python/same.py": f"X = {number}\n"}) for number in range(2)]
    function = squib.deploy("import same\ndef handler(event, context):\n    return same.X\n", Layers=arns[:1])
    version = function.client.publish_version(FunctionName=function.name)["Version"]
    function.configure(Layers=arns[1:])
    function.client.delete_layer_version(LayerName=arns[0].rpartition(":")[0], VersionNumber=1)
    assert function.invoke().value == 1
    assert function.invoke(Qualifier=version).value == 0


def test_a_functions_own_python_path_is_searched(squib: Squib) -> None:
    layer = publish(squib, {"mine/own.py": "VALUE = 'own'\n"})
    source = "import own\ndef handler(event, context):\n    return own.VALUE\n"
    function = squib.deploy(source, Layers=[layer], variables={"PYTHONPATH": "/opt/mine"})
    assert function.invoke().value == "own"


PYTHONS = ("python3.11", "python3.12", "python3.13")


@pytest.mark.skipif(A_LIBRARY is None, reason="needs a shared library to copy: zlib1g")
@pytest.mark.parametrize("runtime", PYTHONS)
def test_a_functions_own_library_path_is_searched(
    squib: Squib, ready_runtimes: frozenset[str], runtime: str
) -> None:
    assert A_LIBRARY is not None
    if runtime not in ready_runtimes:
        pytest.skip(f"{runtime} is not on this machine")
    layer = publish(squib, {"mine/liblayerprobe.so.7": A_LIBRARY.read_bytes(), "own/mod.py": "X = 'own'\n"})
    source = """
import ctypes, mod
def handler(event, context):
    ctypes.CDLL("liblayerprobe.so.7").zlibVersion
    return mod.X
"""
    own = {"LD_LIBRARY_PATH": "/opt/mine", "PYTHONPATH": "/opt/own"}
    assert squib.deploy(source, runtime=runtime, Layers=[layer], variables=own).invoke().value == "own"


def test_the_link_to_a_layers_content_gives_the_archive(squib: Squib) -> None:
    content = zip_of({"python/x.py": "X = 1\n"})
    client, name = squib.client(), unique_name("layer")
    client.publish_layer_version(LayerName=name, Content={"ZipFile": content})
    told = client.get_layer_version(LayerName=name, VersionNumber=1)["Content"]
    assert told["CodeSize"] == len(content)
    assert told["CodeSha256"] == b64encode(hashlib.sha256(content).digest()).decode()
    with urllib.request.urlopen(told["Location"], timeout=10) as answer:
        assert answer.read() == content


def test_layers_are_listed_page_by_page_with_the_sdks_paginators(squib: Squib) -> None:
    client, name = squib.client(region="eu-north-1"), unique_name("paged")
    for number in range(5):
        client.publish_layer_version(
            LayerName=name,
            Content={"ZipFile": zip_of({"x": str(number)})},
            CompatibleRuntimes=["python3.12"] if number % 2 else ["nodejs20.x"],
        )
    pages = client.get_paginator("list_layer_versions").paginate(
        LayerName=name, PaginationConfig={"PageSize": 2}
    )
    numbers = [[version["Version"] for version in page["LayerVersions"]] for page in pages]
    assert numbers == [[5, 4], [3, 2], [1]]
    (layer,) = client.list_layers(CompatibleRuntime="python3.12")["Layers"]
    assert (layer["LayerName"], layer["LatestMatchingVersion"]["Version"]) == (name, 4)


def test_a_layer_with_a_bad_runtime_and_architecture_is_refused_as_recorded(squib: Squib) -> None:
    """Recorded from AWS, 2026-01-12."""
    with pytest.raises(ClientError) as refused:
        squib.client().publish_layer_version(
            LayerName=unique_name("layer"),
            Content={"ZipFile": zip_of({"x": "1"})},
            CompatibleRuntimes=["invalidruntime", "invalidruntime2", "nodejs20.x"],
            CompatibleArchitectures=["invalidarch", "x86_64"],
        )
    message = refused.value.response["Error"]["Message"]
    assert message.startswith(
        "2 validation errors detected: Value '[invalidruntime, invalidruntime2, nodejs20.x]' at "
        "'compatibleRuntimes' failed to satisfy constraint: Member must satisfy enum value set: [nodejs20.x, "
    )
    assert message.endswith(
        "; Value '[invalidarch, x86_64]' at 'compatibleArchitectures' failed to satisfy constraint: "
        "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], "
        "Member must not be null]"
    )
