"""The command line: exit codes, where output goes, what help and errors say."""

import os
import re
import shlex
from pathlib import Path

import pytest

from squib import cli
from squib.clock import SystemEntropy
from squib.config import OPTIONS
from squib.model.units import AccountId, Region
from squib.store import endpoint
from squib.store.credentials import RootCredentials

Output = pytest.CaptureFixture[str]
ENVIRON = {"SQUIB_CONFIG": "/dev/null"}


@pytest.fixture(autouse=True)
def wide_plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


def start(data_dir: Path, *, pid: int) -> RootCredentials:
    """Leaves what a running server leaves."""
    endpoint.write(
        data_dir, endpoint.Endpoint(url="http://127.0.0.1:5000", pid=pid, region=Region("eu-west-1"))
    )
    return RootCredentials.load_or_create(data_dir, AccountId("0" * 12), None, SystemEntropy())


def test_env_prints_what_aws_tools_read(tmp_path: Path, capsys: Output) -> None:
    key = start(tmp_path, pid=os.getpid()).default_key
    assert cli.main(["env", "--data-dir", str(tmp_path)], ENVIRON) == 0
    output = capsys.readouterr()
    lines = [shlex.split(line) for line in output.out.splitlines()]
    assert output.err == ""
    assert all(line[0] == "export" for line in lines)
    assert dict(line[1].split("=", 1) for line in lines) == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
    }


def test_env_takes_another_region_and_a_data_dir_from_the_environment(tmp_path: Path, capsys: Output) -> None:
    start(tmp_path, pid=os.getpid())
    environ = {**ENVIRON, "SQUIB_DATA_DIR": str(tmp_path)}
    assert cli.main(["env", "--region", "ap-south-1"], environ) == 0
    assert "export AWS_REGION=ap-south-1\n" in capsys.readouterr().out


def test_env_unsets_a_session_token(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path, pid=os.getpid())
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another account")
    assert cli.main(["env", "--data-dir", str(tmp_path)], ENVIRON) == 0
    assert capsys.readouterr().out.startswith("unset AWS_SESSION_TOKEN\n")


def test_env_says_when_nothing_ran_yet(tmp_path: Path, capsys: Output) -> None:
    assert cli.main(["env", "--data-dir", str(tmp_path)], ENVIRON) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert (
        f"no squib has run on {tmp_path} yet; start it with: squib serve --data-dir {tmp_path}" in output.err
    )


def test_env_says_when_squib_has_ended(tmp_path: Path, capsys: Output) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    start(tmp_path, pid=child)
    assert cli.main(["env", "--data-dir", str(tmp_path)], ENVIRON) == 1
    assert f"no squib is running on {tmp_path}" in capsys.readouterr().err


def test_env_says_when_the_credentials_are_damaged(tmp_path: Path, capsys: Output) -> None:
    start(tmp_path, pid=os.getpid())
    (tmp_path / "credentials.json").write_text("{")
    assert cli.main(["env", "--data-dir", str(tmp_path)], ENVIRON) == 1
    assert "credentials.json is damaged" in capsys.readouterr().err


def test_no_command_prints_help_and_fails(capsys: Output) -> None:
    assert cli.main([], ENVIRON) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert 'eval "$(squib env)"' in output.err


def test_group_without_a_command_prints_its_help(capsys: Output) -> None:
    assert cli.main(["runtimes"], ENVIRON) == 2
    assert "install the runtime interface clients" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["serve", "--prot", "1"],
            "squib serve: error: unrecognized argument --prot; did you mean '--port'?",
        ),
        (["serve", "--port", "x"], "squib serve: error: --port: 'x' is not an integer from 0 to 65535"),
        (["serve", "--port"], "squib serve: error: argument --port: expected one argument"),
        (
            ["serve", "--isolation", "sandboxed"],
            "error: --isolation: 'sandboxed' is not one of auto, sandbox, plain",
        ),
        (["serve", "--root-secret-access-key", "x"], "unrecognized argument --root-secret-access-key"),
        (["serve", "extra"], "squib serve: error: unrecognized argument extra"),
        (["serve", "--config", "/nonexistent.toml"], "the settings file /nonexistent.toml does not exist"),
        (
            ["serve", "--host", "0.0.0.0", "--trust-any-credentials"],
            "--trust-any-credentials is refused with host 0.0.0.0",
        ),
        (["env", "--port", "1"], "squib env: error: unrecognized argument --port"),
        (["surve"], "invalid choice: 'surve'"),
    ],
)
def test_bad_command_line_is_refused_by_name(argv: list[str], message: str, capsys: Output) -> None:
    assert cli.main(argv, ENVIRON) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err


def test_unknown_variable_stops_every_command(capsys: Output) -> None:
    assert cli.main(["version"], {"SQUIB_DATADIR": "/x"}) == 2
    assert (
        "unknown environment variable SQUIB_DATADIR; did you mean 'SQUIB_DATA_DIR'?"
        in capsys.readouterr().err
    )


def test_help_of_serve_teaches_every_option(capsys: Output) -> None:
    assert cli.main(["serve", "--help"], ENVIRON) == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for option in OPTIONS:
        assert (f"[{option.variable}]" in text) is option.has_flag
        assert (option.help in text) is option.has_flag
    assert "squib serve --port 0" in text


def test_version(capsys: Output) -> None:
    assert cli.main(["version"], ENVIRON) == 0
    assert capsys.readouterr().out.startswith("squib 0.1.0 (Python 3.")


def test_runtimes_list_names_what_squib_knows(tmp_path: Path, capsys: Output) -> None:
    assert cli.main(["runtimes", "list", "--runtime-dir", str(tmp_path)], ENVIRON) == 0
    assert "provided.al2023" in capsys.readouterr().out


def test_runtimes_install_needs_a_name(tmp_path: Path, capsys: Output) -> None:
    assert cli.main(["runtimes", "install", "--runtime-dir", str(tmp_path)], ENVIRON) == 2
    assert "--all" in capsys.readouterr().out


def test_an_account_is_made_listed_and_used(tmp_path: Path, capsys: Output) -> None:
    start(tmp_path, pid=os.getpid())
    where = ["--data-dir", str(tmp_path)]
    assert cli.main(["account", "create", *where, "111122223333"], ENVIRON) == 0
    assert "account 111122223333 made" in capsys.readouterr().out
    key = RootCredentials.load(tmp_path).keys[AccountId("111122223333")]
    assert cli.main(["account", "list", *where], ENVIRON) == 0
    listed = capsys.readouterr().out
    assert f"111122223333  {key.access_key_id}\n" in listed and key.secret_access_key not in listed
    assert re.search(r"^000000000000  AKIA\w{16}  default$", listed, re.MULTILINE)
    assert cli.main(["env", *where, "--account", "111122223333"], ENVIRON) == 0
    assert f"export AWS_ACCESS_KEY_ID={key.access_key_id}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["account", "create", "000000000000"], "there is an account 000000000000 already"),
        (["account", "create", "12"], "12 is not an account id"),
        (["env", "--account", "999999999999"], "there is no account 999999999999"),
    ],
)
def test_an_account_that_cannot_be_is_refused(
    tmp_path: Path, capsys: Output, command: list[str], message: str
) -> None:
    start(tmp_path, pid=os.getpid())
    assert cli.main([*command, "--data-dir", str(tmp_path)], ENVIRON) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", [["account", "create"], ["account", "list"]])
def test_accounts_say_when_nothing_ran_yet(tmp_path: Path, capsys: Output, command: list[str]) -> None:
    assert cli.main([*command, "--data-dir", str(tmp_path)], ENVIRON) == 1
    assert "no squib has run" in capsys.readouterr().err
