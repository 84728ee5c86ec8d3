"""The AWS CLI and a shell, in the steps that the README shows."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from harness.functions import ROLE, zip_of
from harness.squib import PYTHON, Squib, clean_environment, unique_name

AWS = Path(sys.executable).with_name("aws")
SOURCE = "def handler(event, context):\n    print('hello', event)\n    return {'got': event}\n"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed")]


class Shell:
    """A shell that has evaluated `squib env`."""

    def __init__(self, squib: Squib, folder: Path) -> None:
        printed = squib.command("env", "--data-dir", str(squib.data_dir), "--region", "eu-west-2")
        assert printed.returncode == 0, printed.stderr
        self.exports, self.folder = printed.stdout, folder
        self.variables = clean_environment(PATH=f"{AWS.parent}:{os.environ['PATH']}", AWS_PAGER="")

    def arguments(self, command: str) -> list[str]:
        return ["bash", "-ec", f'eval "$EXPORTS"\n{command}']

    def run(self, command: str) -> str:
        """Runs it; gives its standard output."""
        done = subprocess.run(
            self.arguments(command),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder,
            env={**self.variables, "EXPORTS": self.exports},
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def shell(squib: Squib, tmp_path: Path) -> Shell:
    (tmp_path / "function.zip").write_bytes(zip_of({"app.py": SOURCE}))
    (tmp_path / "second.zip").write_bytes(zip_of({"app.py": SOURCE.replace("got", "second")}))
    return Shell(squib, tmp_path)


def test_the_first_steps(shell: Shell) -> None:
    name = unique_name("cli")
    created = shell.run(
        f"aws lambda create-function --function-name {name} --runtime {PYTHON} --handler app.handler "
        f"--role {ROLE} --zip-file fileb://function.zip"
    )
    assert json.loads(created)["State"] == "Pending"
    shell.run(f"aws lambda wait function-active-v2 --function-name {name}")
    payload = (
        "--cli-binary-format raw-in-base64-out --payload"
        if " 2." in shell.run("aws --version")
        else "--payload"
    )
    answer = shell.run(f"aws lambda invoke --function-name {name} {payload} '{{\"a\": 1}}' out.json")
    assert json.loads(answer)["StatusCode"] == 200
    assert json.loads((shell.folder / "out.json").read_text()) == {"got": {"a": 1}}
    shell.run(f"aws lambda update-function-code --function-name {name} --zip-file fileb://second.zip")
    shell.run(f"aws lambda wait function-updated-v2 --function-name {name}")
    shell.run(f"aws lambda invoke --function-name {name} out.json")
    assert json.loads((shell.folder / "out.json").read_text()) == {"second": {}}
    listed = shell.run("aws lambda list-functions --query 'Functions[].FunctionName'")
    assert name in json.loads(listed)
    events = json.loads(shell.run(f"aws logs filter-log-events --log-group-name /aws/lambda/{name}"))[
        "events"
    ]
    assert "hello {'a': 1}\n" in [event["message"] for event in events]
    assert len([event for event in events if event["message"].startswith("REPORT RequestId:")]) == 2
    shell.run(f"aws lambda delete-function --function-name {name}")
    missing = f"aws lambda get-function --function-name {name} 2>&1 || true"
    assert "ResourceNotFoundException" in shell.run(missing)


def test_versions_aliases_and_layers(shell: Shell) -> None:
    name = unique_name("cli")
    (shell.folder / "layer.zip").write_bytes(zip_of({"python/shared.py": "WORD = 'from the layer'\n"}))
    code = (
        "import shared\n\ndef handler(event, context):\n    return [shared.WORD, context.function_version]\n"
    )
    (shell.folder / "layered.zip").write_bytes(zip_of({"app.py": code}))
    layer = shell.run(
        f"aws lambda publish-layer-version --layer-name {name} --zip-file fileb://layer.zip "
        f"--compatible-runtimes {PYTHON} --query LayerVersionArn --output text"
    ).strip()
    shell.run(
        f"aws lambda create-function --function-name {name} --runtime {PYTHON} --handler app.handler "
        f"--role {ROLE} --zip-file fileb://layered.zip --layers {layer} --publish"
    )
    shell.run(f"aws lambda wait published-version-active --function-name {name} --qualifier 1")
    shell.run(f"aws lambda create-alias --function-name {name} --name live --function-version 1")
    answer = shell.run(f"aws lambda invoke --function-name {name}:live out.json")
    assert json.loads(answer)["ExecutedVersion"] == "1"
    assert json.loads((shell.folder / "out.json").read_text()) == ["from the layer", "1"]
    shell.run(f"aws lambda wait function-updated --function-name {name}")
    shell.run(f"aws lambda update-function-configuration --function-name {name} --description changed")
    shell.run(f"aws lambda wait function-updated-v2 --function-name {name}")
    published = shell.run(f"aws lambda publish-version --function-name {name}")
    assert json.loads(published)["Version"] == "2"
    shell.run(f"aws lambda update-alias --function-name {name} --name live --function-version 2")
    shell.run(f"aws lambda invoke --function-name {name} --qualifier live out.json")
    assert json.loads((shell.folder / "out.json").read_text()) == ["from the layer", "2"]
    versions = shell.run(
        f"aws lambda list-versions-by-function --function-name {name} --query Versions[].Version"
    )
    assert json.loads(versions) == ["$LATEST", "1", "2"]
    shell.run(
        f"aws lambda delete-alias --function-name {name} --name live && "
        f"aws lambda delete-function --function-name {name} && "
        f"aws lambda delete-layer-version --layer-name {name} --version-number 1"
    )


def version_2() -> str | None:
    """An AWS CLI that has `logs tail`, wherever it is on this machine."""
    for folder in os.environ["PATH"].split(":"):
        program = Path(folder, "aws")
        if program.exists():
            done = subprocess.run([program, "--version"], check=False, capture_output=True, text=True)
            if done.stdout.startswith("aws-cli/2."):
                return str(program)
    return None


def test_logs_can_be_followed(shell: Shell) -> None:
    program = version_2()
    if program is None:
        pytest.skip("`aws logs tail` came with version 2 of the AWS CLI, which is not on this machine")
    name = unique_name("follow")
    shell.run(
        f"aws lambda create-function --function-name {name} --runtime {PYTHON} --handler app.handler "
        f"--role {ROLE} --zip-file fileb://function.zip && "
        f"aws lambda wait function-active-v2 --function-name {name} && "
        f"aws lambda invoke --function-name {name} out"
    )
    tail = f'{program} --endpoint-url "$AWS_ENDPOINT_URL" logs tail /aws/lambda/{name} --follow --since 10m'
    follow = subprocess.Popen(
        shell.arguments(f"exec {tail}"),
        stdout=subprocess.PIPE,
        env={**shell.variables, "EXPORTS": shell.exports, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert follow.stdout is not None
    try:
        assert "INIT_START" in next_line(follow.stdout)
        shell.run(f"aws lambda invoke --function-name {name} --payload '\"later\"' out")
        while "hello later" not in (line := next_line(follow.stdout)):
            assert line, "it stopped before the line came"
    finally:
        os.killpg(follow.pid, signal.SIGKILL)
        follow.wait(10)
        follow.stdout.close()


def next_line(output: IO[bytes]) -> str:
    """Waits for a line at most 30 s."""
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([output], [], [], 30)
        assert readable, "it printed nothing more"
        piece = os.read(output.fileno(), 1)
        if not piece:
            break
        line += piece
    return line.decode()


def test_env_without_a_running_squib_says_what_to_do(squib: Squib, tmp_path: Path) -> None:
    done = squib.command("env", "--data-dir", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert "squib serve" in done.stderr
    assert done.stdout == ""
