"""The endpoint file."""

import os
from pathlib import Path

import pytest

from squib.model.units import Region
from squib.store import endpoint
from squib.store.endpoint import Endpoint, url_of


def test_what_is_written_is_read(tmp_path: Path) -> None:
    value = Endpoint(url="http://127.0.0.1:1", pid=os.getpid(), region=Region("eu-west-1"))
    endpoint.write(tmp_path, value)
    assert endpoint.read(tmp_path) == value
    assert value.is_alive()


def test_nothing_is_read_before_and_after(tmp_path: Path) -> None:
    assert endpoint.read(tmp_path) is None
    endpoint.write(tmp_path, Endpoint(url="http://127.0.0.1:1", pid=1))
    endpoint.remove(tmp_path)
    endpoint.remove(tmp_path)
    assert endpoint.read(tmp_path) is None


def test_damaged_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "endpoint.json").write_text("{")
    assert endpoint.read(tmp_path) is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:4566"),
        ("0.0.0.0", "http://127.0.0.1:4566"),
        ("::", "http://[::1]:4566"),
        ("fe80::1", "http://[fe80::1]:4566"),
        ("localhost", "http://localhost:4566"),
    ],
)
def test_url_is_one_that_this_machine_can_use(host: str, url: str) -> None:
    assert url_of(host, 4566) == url
