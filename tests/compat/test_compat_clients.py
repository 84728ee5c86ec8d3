"""Deployment tools of others, unchanged, with squib as their endpoint."""

import json
import shutil
from pathlib import Path

import pytest

from harness import clients
from harness.functions import ROLE, Function
from harness.squib import Squib, unique_name

HERE = Path(__file__).parent
REGION = "eu-west-2"
SOURCE = "def handler(event, context):\n    print('called with', event)\n    return {'got': event}\n"
CHALICE_APP = """
from chalice import Chalice

app = Chalice(app_name="{name}")


@app.lambda_function(name="multiply")
def multiply(event, context):
    return {{"product": event["n"] * {factor}}}
"""
pytestmark = pytest.mark.slow


def test_sam_invokes_a_function_and_reads_its_logs(squib: Squib, tmp_path: Path) -> None:
    sam, environment = clients.program("sam/bin/sam"), clients.variables(squib)
    function = squib.deploy(SOURCE, region=REGION)
    event = '{"from": "sam"}'
    answer = clients.run([sam, "remote", "invoke", function.arn, "--event", event], tmp_path, environment)
    assert json.loads(answer) == {"got": {"from": "sam"}}
    group = f"/aws/lambda/{function.name}"
    logs = clients.run([sam, "logs", "--cw-log-group", group], tmp_path, environment)
    assert "called with {'from': 'sam'}" in logs
    assert "REPORT RequestId:" in logs
    found = clients.run(
        [sam, "logs", "--cw-log-group", group, "--filter", r"%^called\swith%"], tmp_path, environment
    )
    assert "called with" in found
    assert "REPORT" not in found


def test_cargo_lambda_deploys_and_invokes_a_function_in_rust(squib: Squib, tmp_path: Path) -> None:
    cargo_lambda = clients.program("cargo-lambda/bin/cargo-lambda")
    cargo = clients.on_this_machine("cargo")
    package = tmp_path / "function"
    shutil.copytree(HERE / "rust_function", package)
    environment = clients.variables(squib, HOME=str(Path.home()))
    clients.run([cargo, "build", "--release", "--offline"], package, environment)
    name = unique_name("rust")
    function = Function(squib.client("lambda", REGION), name, name)
    deploy = [cargo_lambda, "lambda", "deploy", "--binary-path", "target/release/bootstrap"]
    invoke = [cargo_lambda, "lambda", "invoke", "--remote", name, "--data-ascii", '{"n": 1}']
    for version in ("1", "2"):  # anew, then as an update
        at = ["--iam-role", ROLE, "--endpoint-url", squib.url, "--output-format", "json"]
        memory = ["--memory", "256" if version == "1" else "512"]
        said = clients.run([*deploy, *at, *memory, name], package, environment)
        deployed = json.loads(said[said.index("{") :])
        assert deployed["version"] == version
        function.wait_active()
        function.wait_updated()
        answer = clients.run([*invoke, "--endpoint-url", squib.url], package, environment)
        assert json.loads(answer) == {"rust": {"n": 1}}


def test_the_javascript_sdk_drives_a_function_through_its_life(squib: Squib, tmp_path: Path) -> None:
    node = clients.on_this_machine("node")
    modules = clients.program("javascript/node_modules")
    script = HERE / "javascript_client" / "life.mjs"
    (tmp_path / "node_modules").symlink_to(modules)
    shutil.copy(script, tmp_path / script.name)
    name = unique_name("javascript")
    said = clients.run([node, script.name, name, ROLE], tmp_path, clients.variables(squib))
    assert json.loads(said) == {
        "activeState": "Active",
        "answer": {"got": {"n": 1}},
        "tailHasReport": True,
        "missing": {"name": "ResourceNotFoundException", "status": 404, "isTyped": True},
        "listed": True,
        "second": {"second": {"n": 2}},
        "version": "1",
        "throughAlias": {"executedVersion": "1", "answer": {"second": {"n": 3}}},
        "failure": {"functionError": "Unhandled", "errorType": "ValueError"},
        "afterwards": "ResourceNotFoundException",
    }


def test_chalice_deploys_a_function_with_its_role(squib: Squib, tmp_path: Path) -> None:
    chalice = clients.program("chalice/bin/chalice")
    name = unique_name("chalice")
    (tmp_path / ".chalice").mkdir()
    config = {"version": "2.0", "app_name": name, "stages": {"dev": {}}}
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(config))
    (tmp_path / "requirements.txt").write_text("")
    environment = clients.variables(squib)
    for factor in (2, 3):  # anew, then as an update
        (tmp_path / "app.py").write_text(CHALICE_APP.format(name=name, factor=factor))
        clients.run([chalice, "deploy"], tmp_path, environment)
        answer = clients.run([chalice, "invoke", "-n", "multiply"], tmp_path, environment, given='{"n": 21}')
        assert json.loads(answer) == {"product": 21 * factor}
    iam, lambda_ = squib.client("iam"), squib.client("lambda", REGION)
    role = iam.get_role(RoleName=f"{name}-dev")["Role"]
    function = f"{name}-dev-multiply"
    assert lambda_.get_function_configuration(FunctionName=function)["Role"] == role["Arn"]
    logs = [chalice, "logs", "-n", "multiply", "--include-lambda-messages"]
    assert "REPORT RequestId:" in clients.run(logs, tmp_path, environment)
    clients.run([chalice, "delete"], tmp_path, environment)
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function(FunctionName=function)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=f"{name}-dev")
