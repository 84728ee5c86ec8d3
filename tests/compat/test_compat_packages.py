"""Deployment packages, good and bad, through the API; a refused one leaves nothing in the data directory."""

import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import botocore.config
import pytest
from botocore.exceptions import ClientError, WaiterError

from harness.functions import ROLE, zip_of
from harness.squib import PYTHON, Squib, unique_name

CORRUPT = "Could not unzip uploaded file. Please check your file, then try to upload again."
EMPTY = "Uploaded file must be a non-empty zip"
ECHO = "def handler(event, context):\n    return event\n"


def archive(*entries: tuple[str, bytes, int]) -> bytes:
    """A zip with (name, content, mode with file type)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, content)
    return buffer.getvalue()


def bomb() -> bytes:
    """A small archive of 300 MiB of zeros."""
    return archive(("app.py", ECHO.encode(), 0o100644), ("zeros", bytes(300 << 20), 0o100644))


def lying() -> bytes:
    """An archive whose directory says less than its content unpacks to."""
    content = bytearray(archive(("app.py", b"#" * 100_000, 0o100644)))
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")
    return bytes(content)


REGULAR, LINK, DEVICE = 0o100644, stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "no-zip": (lambda: b"this is no archive", CORRUPT),
    "empty-zip": (lambda: archive(), EMPTY),
    "cut": (lambda: zip_of({"app.py": ECHO * 100})[:-30], CORRUPT),
    "slip": (lambda: archive(("../../evil", b"x", REGULAR)), CORRUPT),
    "absolute": (lambda: archive(("/etc/evil", b"x", REGULAR)), CORRUPT),
    "backslash": (lambda: archive(("..\\evil", b"x", REGULAR)), CORRUPT),
    "link-out": (lambda: archive(("link", b"../../etc/passwd", LINK)), CORRUPT),
    "absolute-link": (lambda: archive(("link", b"/etc/passwd", LINK)), CORRUPT),
    "through-link": (lambda: archive(("a", b"b", LINK), ("a/evil", b"x", REGULAR)), CORRUPT),
    "device": (lambda: archive(("device", b"", DEVICE)), CORRUPT),
    "bomb": (bomb, "Unzipped size must be smaller than 262144000 bytes"),
}


@pytest.fixture(scope="module")
def squib() -> Iterator[Squib]:
    """One of its own: nobody else's code comes and goes in its data directory."""
    with Squib() as running:
        yield running


def traces(data_dir: Path) -> set[str]:
    """Every file of code or archives."""
    return {
        str(Path(folder, name).relative_to(data_dir))
        for part in ("code", "blobs")
        for folder, folders, files in os.walk(data_dir / part)
        for name in [*folders, *files]
    }


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_package_is_refused_and_leaves_nothing(squib: Squib, kind: str) -> None:
    make, message = BAD[kind]
    name = unique_name("bad")
    client = squib.client()
    before = traces(squib.data_dir)
    with pytest.raises(ClientError) as refused:
        client.create_function(
            FunctionName=name, Runtime=PYTHON, Handler="app.handler", Role=ROLE, Code={"ZipFile": make()}
        )
    answer = refused.value.response
    assert (answer["Error"]["Code"], answer["Error"]["Message"]) == (
        "InvalidParameterValueException",
        message,
    )
    with pytest.raises(ClientError):
        client.get_function(FunctionName=name)
    assert traces(squib.data_dir) - before == set()


def test_a_package_that_lies_about_its_sizes_fails_when_unpacked(squib: Squib) -> None:
    before = traces(squib.data_dir)
    client, name = squib.client(), unique_name("lying")
    client.create_function(
        FunctionName=name, Runtime=PYTHON, Handler="app.handler", Role=ROLE, Code={"ZipFile": lying()}
    )
    with pytest.raises(WaiterError):
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    configuration = client.get_function_configuration(FunctionName=name)
    assert (configuration["State"], configuration["StateReasonCode"]) == ("Failed", "InvalidZipFileException")
    assert configuration["StateReason"] == CORRUPT
    assert {path for path in traces(squib.data_dir) - before if path.startswith("code")} == set()


def test_a_bad_update_changes_nothing(squib: Squib) -> None:
    function = squib.deploy(ECHO)
    with pytest.raises(ClientError):
        function.client.update_function_code(FunctionName=function.name, ZipFile=b"garbage")
    assert function.invoke(5).value == 5


def test_an_archive_over_fifty_megabytes_is_refused(squib: Squib) -> None:
    client = squib.client(config=botocore.config.Config(parameter_validation=False))
    with pytest.raises(ClientError) as refused:
        client.create_function(
            FunctionName=unique_name(),
            Runtime=PYTHON,
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": bytes(51 << 20)},
        )
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert answer["Error"]["Code"] == "RequestEntityTooLargeException"


def test_modes_links_and_odd_names_survive(squib: Squib) -> None:
    source = """
import os, subprocess
def handler(event, context):
    return [open("link").read(), subprocess.run(["./bin/tool"], capture_output=True, text=True).stdout,
            sorted(name for name in os.listdir("odd")), os.access("app.py", os.W_OK)]
"""
    package = archive(
        ("app.py", source.encode(), 0o100600),
        ("bin/tool", b"#!/bin/sh\necho ran\n", 0o100755),
        ("text", b"linked", REGULAR),
        ("link", b"text", LINK),
        ("odd/spaces and \xc3\xbc".encode("latin-1").decode("latin-1"), b"", REGULAR),
    )
    name = unique_name()
    client = squib.client()
    client.create_function(
        FunctionName=name, Runtime=PYTHON, Handler="app.handler", Role=ROLE, Code={"ZipFile": package}
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    linked, ran, odd, writable = json.loads(client.invoke(FunctionName=name)["Payload"].read())
    assert (linked, ran, writable) == ("linked", "ran\n", False)
    assert len(odd) == 1


def test_equal_packages_are_kept_once_and_outlive_one_of_their_functions(squib: Squib) -> None:
    source = ECHO + f"# {unique_name()}\n"
    one, two = squib.deploy(source), squib.deploy(source)
    one.delete()
    assert two.invoke(1).value == 1
    two.configure(Description="cold again")
    assert two.invoke(2).value == 2
