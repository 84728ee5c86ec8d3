"""Hostile functions need something to get out of, and a neighbour that must not notice."""

import os
import platform
from collections.abc import Iterator

import pytest

from harness.functions import Function
from harness.probe import Probe, deploy_probe
from harness.squib import Squib


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it is about the sandbox that root can make."""
    for item in items:
        if "/escape/" in str(item.path):
            item.add_marker(pytest.mark.root)
            if os.getuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root: the full sandbox is attacked"))
            if platform.machine() != "x86_64":
                item.add_marker(pytest.mark.skip(reason="attacks are written for x86_64"))


@pytest.fixture(scope="module")
def probe(squib: Squib) -> Probe:
    return deploy_probe(squib)


@pytest.fixture(scope="session")
def bystander(squib: Squib) -> Function:
    """A well-behaved function."""
    return squib.deploy(
        "def handler(event, context):\n    return event\n", variables={"MARK": "of-bystander-8451"}
    )


@pytest.fixture(autouse=True)
def nobody_else_notices(squib: Squib, bystander: Function) -> Iterator[None]:
    """After each attack squib runs on and serves others."""
    before = len(squib.output)
    yield
    assert squib.process.poll() is None, f"squib has ended:\n{squib.output[-4000:]}"
    assert bystander.invoke("still here").value == "still here"
    assert "Traceback" not in squib.output[before:], squib.output[before:]
