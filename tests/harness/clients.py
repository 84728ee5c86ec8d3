"""Programs of others that talk to a squib under test: where they are, and what they are told."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from harness.squib import ROOT, Squib, clean_environment

CLIENTS: Final = ROOT / ".venv" / "clients"
"""Where `make clients` puts them."""


def program(name: str) -> Path:
    """A client's program below CLIENTS; skips the test where it is not."""
    path = CLIENTS / name
    if not path.exists():
        pytest.skip(f"{name} is not here: make clients")
    return path


def on_this_machine(name: str) -> str:
    """A program of the machine; skips the test where it is not."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on this machine")
    return path


def variables(squib: Squib, region: str = "eu-west-2", **more: str) -> dict[str, str]:
    """The environment of a client after `squib env`: endpoint, region, root's key."""
    key_id, secret = squib.root_key()
    told = {
        "AWS_ENDPOINT_URL": squib.url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
    }
    return clean_environment(**told, SAM_CLI_TELEMETRY="0", PATH=os.environ["PATH"], **more)


def run(
    command: Sequence[str | Path],
    folder: Path,
    environment: dict[str, str],
    *,
    given: str = "",
    limit_s: float = 100,
) -> str:
    """Runs it on the input `given`; gives its standard output. Fails with all that it said when it failed."""
    done = subprocess.run(
        command,
        check=False,
        input=given,
        capture_output=True,
        text=True,
        timeout=limit_s,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
