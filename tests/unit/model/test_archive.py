"""What a deployment package may hold: every archive that is refused, and what the others unpack to."""

import io
import stat
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.archive import (
    MAX_ENTRIES,
    ArchivePlan,
    InvalidArchive,
    check_archive,
)
from squib.model.limits import MAX_UNZIPPED_BYTES

COULD_NOT = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_LARGE = "Unzipped size must be smaller than 262144000 bytes"
EMPTY = "Uploaded file must be a non-empty zip"

Fill = Callable[[zipfile.ZipFile], object]


def archive(fill: Fill) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        fill(made)
    return buffer.getvalue()


def entry(name: str, mode: int = 0o644, kind: int = stat.S_IFREG, system: int = 3) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | mode) << 16
    info.create_system = system
    return info


def named(*names: str) -> bytes:
    def fill(made: zipfile.ZipFile) -> None:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            made.writestr(info, b"content")

    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of names given twice
        return archive(fill)


def linked(links: dict[str, str], *files: str) -> bytes:
    def fill(made: zipfile.ZipFile) -> None:
        for name in files:
            made.writestr(entry(name), b"content")
        for name, target in links.items():
            made.writestr(entry(name, 0o777, stat.S_IFLNK), target)

    return archive(fill)


def special(kind: int) -> bytes:
    return archive(lambda made: made.writestr(entry("x", 0o644, kind), b""))


def with_byte(content: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    at = content.index(signature) + offset
    return content[:at] + value + content[at + len(value) :]


def declaring(size_bytes: int, count: int = 1) -> bytes:
    """An archive whose directory declares `count` files of `size_bytes` each, holding almost nothing."""
    content = named(*(f"f{i}" for i in range(count)))
    at = 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        content = content[: at + 24] + struct.pack("<I", size_bytes) + content[at + 28 :]
        at += 46
    return content


def bomb(count: int) -> bytes:
    """Overlapping entries: many names, one kernel of data, each declared at its full size."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    plain = b"\0" * 20_000_000
    data = kernel.compress(plain) + kernel.flush()
    check = zlib.crc32(plain)
    sizes = struct.pack("<IIIHH", check, len(data), len(plain), 1, 0)
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + b"x" + data
    directory = b"".join(
        b"PK\x01\x02"
        + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33)
        + struct.pack("<IIIHHHHHII", check, len(data), len(plain), 1, 0, 0, 0, 0, 0, 0)
        + bytes([97 + i])
        for i in range(count)
    )
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(local), 0)
    return local + directory + end


REFUSED = {
    "nothing": (b"", EMPTY),
    "no entries": (archive(lambda made: None), EMPTY),
    "only a directory": (archive(lambda made: made.mkdir("d")), EMPTY),
    "text": (b"this is not a zip", COULD_NOT),
    "an end record alone, cut": (b"PK\x05\x06" + b"\0" * 6, COULD_NOT),
    "cut in the middle": (named("a")[:-30], COULD_NOT),
    "directory overwritten": (with_byte(named("a"), b"PK\x01\x02", 0, b"XXXX"), COULD_NOT),
    "directory offset out of the file": (
        with_byte(named("a"), b"PK\x05\x06", 16, b"\xff\xff\xff\x7f"),
        COULD_NOT,
    ),
    "parent": (named("../a"), COULD_NOT),
    "parent inside": (named("a/../../b"), COULD_NOT),
    "parent harmless": (named("a/../b"), COULD_NOT),
    "absolute": (named("/etc/passwd"), COULD_NOT),
    "drive": (named("C:/a"), COULD_NOT),
    "drive relative": (named("c:a"), COULD_NOT),
    "backslashes": (named("a\\..\\..\\b"), COULD_NOT),
    "null in the name": (named("a\0.py"), COULD_NOT),
    "name of a part too long": (named("a" * 256), COULD_NOT),
    "path too long": (named("/".join(["abcdefg"] * 200)), COULD_NOT),
    "no name": (named("."), COULD_NOT),
    "duplicate names": (named("a", "a"), COULD_NOT),
    "duplicate after clean-up": (named("d/a", "d//./a"), COULD_NOT),
    "file below a file": (named("a", "a/b"), COULD_NOT),
    "file below a link": (linked({"d": "."}, "d/x"), COULD_NOT),
    "link absolute": (linked({"a": "/etc/passwd"}), COULD_NOT),
    "link out": (linked({"a": "../b"}), COULD_NOT),
    "link out of a folder": (linked({"d/a": "../../b"}), COULD_NOT),
    "link out through a link": (linked({"s/l": "..", "b": "s/l/../x"}), COULD_NOT),
    "links in a circle": (linked({"a": "b", "b": "a"}), COULD_NOT),
    "link empty": (linked({"a": ""}), COULD_NOT),
    "link with a null": (linked({"a": "b\0c"}), COULD_NOT),
    "link huge": (linked({"a": "b" * 5000}), COULD_NOT),
    "pipe": (special(stat.S_IFIFO), COULD_NOT),
    "device": (special(stat.S_IFCHR), COULD_NOT),
    "disk": (special(stat.S_IFBLK), COULD_NOT),
    "socket": (special(stat.S_IFSOCK), COULD_NOT),
    "encrypted": (with_byte(named("a"), b"PK\x01\x02", 8, b"\x01\0"), COULD_NOT),
    "unknown method": (with_byte(named("a"), b"PK\x01\x02", 10, b"\x63\0"), COULD_NOT),
    "one file too large": (declaring(MAX_UNZIPPED_BYTES), TOO_LARGE),
    "files too large together": (declaring(100_000_000, 3), TOO_LARGE),
    "overlapping bomb": (bomb(14), TOO_LARGE),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_archive_is_refused_before_anything_is_unpacked(name: str) -> None:
    content, message = REFUSED[name]
    with pytest.raises(InvalidArchive) as caught:
        check_archive(content)
    assert (caught.value.code, caught.value.status) == ("InvalidParameterValueException", 400)
    assert caught.value.message == message


def test_a_link_that_inflates_to_more_than_it_declares_is_not_inflated() -> None:
    content = with_byte(linked({"a": "b" * 50_000_000}), b"PK\x01\x02", 24, struct.pack("<I", 10))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArchive):
            check_archive(content)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_too_many_entries_are_refused_without_reading_them() -> None:
    one = b"PK\x01\x02" + b"\0" * 42
    directory = one * (MAX_ENTRIES + 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0, 0, len(directory), 0, 0)
    with pytest.raises(InvalidArchive, match="at most 100000 entries"):
        check_archive(directory + end)


def plan_of(content: bytes) -> ArchivePlan:
    return check_archive(content)


def test_directories_are_made_for_every_path_parents_first() -> None:
    plan = plan_of(named("a/b/c.py", "a/d.py", "e.py", "f/"))
    assert list(plan.directories) == [b"a", b"a/b", b"f"]
    assert [file.path for file in plan.files] == [b"a/b/c.py", b"a/d.py", b"e.py"]
    assert plan.unzipped_bytes == 21


@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        (0, 0o644),
        (0o644, 0o644),
        (0o755, 0o755),
        (0o600, 0o644),
        (0o700, 0o755),
        (0o6755, 0o755),
        (0o1666, 0o666),
    ],
)
def test_modes_are_kept_without_special_bits_and_readable_for_all(mode: int, kept: int) -> None:
    plan = plan_of(archive(lambda made: made.writestr(entry("a", mode, stat.S_IFREG if mode else 0), b"")))
    assert plan.files[0].mode == kept


def test_links_inside_the_package_are_kept_as_written() -> None:
    links = {
        "current": "v1",
        "lib/a.so": "a.so.1",
        "v1/up": "../lib",
        "b": "current/up/a.so",
        "gone": "not/there",
    }
    plan = plan_of(linked(links, "lib/a.so.1", "v1/x"))
    assert plan.links == {name.encode(): target.encode() for name, target in links.items()}


def test_a_name_that_is_not_utf8_keeps_its_bytes() -> None:
    raw = "caf\u00e9.py".encode("latin-1")
    content = named("cafX.py").replace(b"cafX.py", raw)
    assert plan_of(content).files[0].path == raw
    assert plan_of(named("caf\u00e9.py")).files[0].path == "caf\u00e9.py".encode()


def test_an_archive_behind_other_bytes_is_read() -> None:
    assert plan_of(b"#!/bin/sh\n" + named("a")).files[0].path == b"a"


@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_are_refused_or_planned(noise: bytes, with_zip: bool) -> None:
    try:
        plan = check_archive(noise + named("a") if with_zip else noise)
    except InvalidArchive as error:
        assert error.status == 400
    else:
        assert plan.files


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_one_changed_byte_never_leads_out_of_the_package(at: int, value: int) -> None:
    content = bytearray(linked({"l": "d/a"}, "d/a", "b"))
    content[at % len(content)] = value
    try:
        plan = check_archive(bytes(content))
    except InvalidArchive:
        return
    paths = [*plan.directories, *(file.path for file in plan.files), *plan.links]
    assert all(path and not path.startswith(b"/") and b".." not in path.split(b"/") for path in paths)
    assert all(file.mode & ~0o777 == 0 for file in plan.files)
