"""Layers: what an archive may not hold, what cannot be changed at /opt, what init never loads of them."""

import io
import os
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from harness.functions import zip_of
from harness.probe import Probe, deploy_probe
from harness.squib import PYTHON, Squib, unique_name

READ_ONLY = {"EROFS", "EACCES", "EPERM"}
CORRUPT = "Could not unzip uploaded file. Please check your file, then try to upload again."
syscall: Any = None  # given by the probe
LINK = stat.S_IFLNK | 0o777


def archive(*entries: tuple[str, str, int]) -> bytes:
    """A zip with (name, content, mode with file type)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            made.writestr(entry, content)
    return buffer.getvalue()


def publish(squib: Squib, content: bytes) -> str:
    client = squib.client()
    answer = client.publish_layer_version(LayerName=unique_name("layer"), Content={"ZipFile": content})
    return str(answer["LayerVersionArn"])


def on_disk(squib: Squib) -> set[str]:
    return {
        os.path.join(folder, name)
        for part in ("code", "blobs")
        for folder, folders, files in os.walk(squib.data_dir / part)
        for name in (*folders, *files)
    }


@pytest.mark.parametrize(
    "entry",
    [
        ("../evil", "x", 0o100644),
        ("python/../../evil", "x", 0o100644),
        ("/evil", "x", 0o100644),
        ("link", "../var/task", LINK),
        ("python/link", "../../etc/passwd", LINK),
        ("link", "/etc/passwd", LINK),
        ("device", "", stat.S_IFCHR | 0o666),
    ],
    ids=lambda entry: f"{entry[0]}-{entry[1]}",
)
def test_an_archive_that_leads_outside_is_no_layer(squib: Squib, entry: tuple[str, str, int]) -> None:
    before = on_disk(squib)
    with pytest.raises(ClientError) as refused:
        publish(squib, archive(("python/x.py", "", 0o100644), entry))
    assert refused.value.response["Error"]["Message"] == CORRUPT
    assert on_disk(squib) == before


def test_layers_whose_links_lead_outside_only_together_are_not_laid_out(squib: Squib) -> None:
    one = publish(squib, archive(("deep/in/y", "", 0o100644), ("a", "deep/in/../..", LINK)))
    other = publish(squib, archive(("deep/y", "", 0o100644), ("deep/in", ".", LINK)))
    function = squib.create("def handler(event, context): pass", Layers=[one, other])
    with pytest.raises(WaiterError):
        function.wait_active()
    told = function.client.get_function_configuration(FunctionName=function.name)
    assert (told["State"], told["StateReasonCode"]) == ("Failed", "InvalidZipFileException")
    assert told["StateReason"] == CORRUPT


@pytest.fixture(scope="module")
def layered(squib: Squib) -> Probe:
    lower = publish(squib, zip_of({"shared/text": "lower", "bin/tool": "#!/bin/sh\n"}))
    upper = publish(squib, zip_of({"shared/more": "upper"}))
    return deploy_probe(squib, Layers=[lower, upper])


def write(path: str) -> None:
    with open(path, "a") as file:
        file.write("changed")


def write_through_descriptor(path: str) -> None:
    import os

    fd = os.open(path, os.O_RDONLY)
    with open(f"/proc/self/fd/{fd}", "a") as file:
        file.write("changed")


def change_mode(path: str) -> None:
    import os

    os.chmod(path, 0o777)


def remove(path: str) -> None:
    import os

    os.unlink(path)


def link_out(path: str) -> None:
    import os

    os.link(path, "/opt/other")


@pytest.mark.parametrize("attack", [write, write_through_descriptor, change_mode, remove, link_out])
def test_files_of_layers_cannot_be_changed(layered: Probe, attack: Any) -> None:
    assert layered.ask(attack, "/opt/shared/text").refused in READ_ONLY


def remount(flags: int) -> None:
    import ctypes

    syscall(165, ctypes.c_char_p(b"none"), ctypes.c_char_p(b"/opt"), None, flags, None)


def unmount() -> None:
    import ctypes

    syscall(166, ctypes.c_char_p(b"/opt"), 2)


def test_the_mount_of_the_layers_stays(layered: Probe) -> None:
    remount_writable, move, bind = 0x20 | 0x1000, 0x2000, 0x1000
    for flags in (remount_writable, move, bind):
        assert layered.ask(remount, flags).refused in READ_ONLY
    assert layered.ask(unmount).refused in READ_ONLY


def folders() -> list[list[str]]:
    import os

    return [sorted(os.listdir("/opt")), [name for _, _, names in os.walk("/opt/../stage") for name in names]]


def test_nothing_of_other_functions_shows_beside_the_layers(layered: Probe) -> None:
    assert layered.value(folders) == [["bin", "shared"], []]


OWNER = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
    if (getpid() == 1 || geteuid() == 0)
        close(open("/tmp/owned", O_CREAT | O_WRONLY, 0666));
    else
        close(open("/tmp/loaded", O_CREAT | O_WRONLY, 0666));
}
"""
WAITED_FOR = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_compat.so.2", "libnss_dns.so.2", "libprobe.so.1")


def find_owner() -> list[str]:
    import ctypes
    import os
    import threading

    ctypes.CDLL("libprobe.so.1")
    thread = threading.Thread(target=len, args=("",))
    thread.start()
    thread.join()
    return sorted(os.listdir("/tmp"))


def crash() -> None:
    import os

    os._exit(1)


def test_init_loads_no_library_of_a_layer(squib: Squib, tmp_path: Path) -> None:
    """The function's own processes do; init has privileges while code and layers are there already."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    source, library = tmp_path / "owner.c", tmp_path / "owner.so"
    source.write_text(OWNER)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    layer = publish(squib, zip_of({f"lib/{name}": library.read_bytes() for name in WAITED_FOR}))
    probe = deploy_probe(squib, runtime=PYTHON, Layers=[layer])
    assert probe.value(find_owner) == ["loaded"]
    assert probe.attempt(crash).error == "Unhandled"
    assert probe.value(find_owner) == ["loaded"]
