"""Unpacking on this node: what ends up on disk, and that nothing half-made ever has a digest's name."""

import asyncio
import hashlib
import io
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from squib.environment.code_cache import CacheClosed, CodeCache
from squib.model.archive import ArchiveFile, InvalidArchive
from squib.model.units import ArchiveDigest

BOOT = "boot-1"


def archive(*entries: tuple[str, bytes, int], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, content, attributes in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = attributes << 16
            info.create_system = 3
            made.writestr(info, content, method)
    return buffer.getvalue()


def text(name: str, content: bytes = b"content", mode: int = 0o644) -> tuple[str, bytes, int]:
    return (name, content, stat.S_IFREG | mode)


def link(name: str, target: str) -> tuple[str, bytes, int]:
    return (name, target.encode(), stat.S_IFLNK | 0o777)


def stored(folder: Path, content: bytes) -> tuple[ArchiveDigest, Path]:
    digest = ArchiveDigest(hashlib.sha256(content).hexdigest())
    path = folder / f"{digest}.zip"
    path.write_bytes(content)
    return digest, path


def with_cache(root: Path, use: Callable[[CodeCache], Awaitable[None]], boot_id: str = BOOT) -> None:
    async def main() -> None:
        cache = CodeCache(root, boot_id=boot_id)
        try:
            await use(cache)
        finally:
            await cache.close()

    asyncio.run(main())


@pytest.fixture
def private_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("private_umask")
def test_a_package_is_unpacked_readable_for_every_account(tmp_path: Path) -> None:
    content = archive(
        text("app.py"),
        text("bin/run", b"#!/bin/sh\n", 0o755),
        text("bin/root", b"", 0o6755),
        text("lib/deep/a.so.1", b"\x7fELF"),
        link("lib/deep/a.so", "a.so.1"),
        link("latest", "lib"),
        ("empty/", b"", stat.S_IFDIR | 0o700),
    )
    digest, path = stored(tmp_path, content)

    async def use(cache: CodeCache) -> None:
        folder = await cache.ensure(digest, path)
        assert folder == cache.path(digest) == tmp_path / "code" / digest
        assert (folder / "app.py").read_bytes() == b"content"
        assert (folder / "latest/deep/a.so").read_bytes() == b"\x7fELF"
        assert os.readlink(folder / "lib/deep/a.so") == "a.so.1"
        modes = {str(p.relative_to(folder)): mode(p) for p in folder.rglob("*") if not p.is_symlink()}
        assert modes == {
            "app.py": 0o644,
            "bin": 0o755,
            "bin/run": 0o755,
            "bin/root": 0o755,
            "lib": 0o755,
            "lib/deep": 0o755,
            "lib/deep/a.so.1": 0o644,
            "empty": 0o755,
        }
        assert mode(folder) == mode(folder.parent) == 0o755

    with_cache(tmp_path / "code", use)


def flipped(content: bytes) -> bytes:
    at = content.index(b"PK\x03\x04") + 30 + len("a.py") + 3
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def declaring(size_bytes: int, content: bytes) -> bytes:
    at = content.index(b"PK\x01\x02") + 24
    return content[:at] + struct.pack("<I", size_bytes) + content[at + 4 :]


LARGE = b"squib " * 100_000
DAMAGED = {
    "flipped bit": flipped(archive(text("a.py", LARGE))),
    "flipped bit, stored": flipped(archive(text("a.py", LARGE), method=zipfile.ZIP_STORED)),
    "holds more than it declares": declaring(10, archive(text("b.py"), text("a.py", LARGE))),
    "holds less than it declares": declaring(10**8, archive(text("a.py", LARGE))),
    "local header gone": archive(text("a.py"), text("b.py")).replace(b"PK\x03\x04", b"PK\x00\x00"),
    "local name differs": archive(text("a.py")).replace(b"a.py", b"b.py", 1),
    "slips out": archive(text("../a.py")),
    "not a zip": b"PK\x05\x06 no",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_package_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    digest, path = stored(tmp_path, DAMAGED[name])

    async def use(cache: CodeCache) -> None:
        for _ in range(2):
            with pytest.raises(InvalidArchive):
                await cache.ensure(digest, path)
            assert list((tmp_path / "code").iterdir()) == []
        assert not (tmp_path / "a.py").exists()

    with_cache(tmp_path / "code", use)


def test_a_missing_archive_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    async def use(cache: CodeCache) -> None:
        with pytest.raises(FileNotFoundError):
            await cache.ensure(ArchiveDigest("0" * 64), tmp_path / "gone.zip")
        assert list((tmp_path / "code").iterdir()) == []

    with_cache(tmp_path / "code", use)


def test_concurrent_callers_share_one_unpacking(tmp_path: Path) -> None:
    digest, path = stored(tmp_path, archive(text("a.py", LARGE)))

    async def use(cache: CodeCache) -> None:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(cache.ensure(digest, path)) for _ in range(10)]
        assert {task.result() for task in asked} == {cache.path(digest)}
        assert (cache.path(digest) / "a.py").read_bytes() == LARGE

    with_cache(tmp_path / "code", use)


def test_a_caller_that_gives_up_does_not_stop_the_others(tmp_path: Path) -> None:
    digest, path = stored(tmp_path, archive(text("a.py", LARGE)))

    async def use(cache: CodeCache) -> None:
        async with asyncio.TaskGroup() as tasks:
            impatient = tasks.create_task(cache.ensure(digest, path))
            patient = tasks.create_task(cache.ensure(digest, path))
            await asyncio.sleep(0)
            impatient.cancel()
        assert (patient.result() / "a.py").read_bytes() == LARGE

    with_cache(tmp_path / "code", use)


def test_code_survives_a_restart_of_squib_but_not_of_the_machine(tmp_path: Path) -> None:
    digest, path = stored(tmp_path, archive(text("a.py")))
    root = tmp_path / "code"

    async def unpack(cache: CodeCache) -> None:
        await cache.ensure(digest, path)

    with_cache(root, unpack)
    (root / digest / "a.py").write_bytes(b"torn by a power cut")
    with_cache(root, unpack)
    assert (root / digest / "a.py").read_bytes() == b"torn by a power cut"
    with_cache(root, unpack, boot_id="boot-2")
    assert (root / digest / "a.py").read_bytes() == b"content"
    assert sorted(entry.name for entry in root.iterdir()) == [digest, f"{digest}.boot"]


def test_a_sweep_removes_what_is_not_kept_and_every_leftover(tmp_path: Path) -> None:
    kept, kept_path = stored(tmp_path, archive(text("a.py")))
    other, other_path = stored(tmp_path, archive(text("b.py")))
    root = tmp_path / "code"

    async def use(cache: CodeCache) -> None:
        await cache.ensure(kept, kept_path)
        await cache.ensure(other, other_path)
        (root / ".tmp-0123").mkdir()
        (root / ".tmp-0123" / "half.py").write_bytes(b"ha")
        (root / "stray").write_bytes(b"")
        assert await cache.sweep(lambda digest: digest == kept) == 1
        assert sorted(entry.name for entry in root.iterdir()) == [kept, f"{kept}.boot"]
        assert await cache.ensure(other, other_path) == root / other  # it can come back
        assert (root / other / "b.py").exists()

    with_cache(root, use)


def test_a_sweep_spares_what_is_being_unpacked(tmp_path: Path) -> None:
    digest, path = stored(tmp_path, archive(text("a.py")))
    go_on = threading.Event()

    class Waiting(CodeCache):
        def _write_file(self, archive: zipfile.ZipFile, file: ArchiveFile, path: bytes) -> None:
            go_on.wait(10)
            super()._write_file(archive, file, path)

    async def main() -> None:
        cache = Waiting(tmp_path / "code", boot_id=BOOT)
        async with asyncio.TaskGroup() as tasks:
            unpacking = tasks.create_task(cache.ensure(digest, path))
            await asyncio.sleep(0)
            assert await cache.sweep(lambda digest: False) == 0
            go_on.set()
        assert os.listdir(unpacking.result()) == ["a.py"]
        await cache.close()

    asyncio.run(main())


def test_a_closed_cache_unpacks_nothing(tmp_path: Path) -> None:
    digest, path = stored(tmp_path, archive(text("a.py")))

    async def use(cache: CodeCache) -> None:
        await cache.close()
        with pytest.raises(CacheClosed):
            await cache.ensure(digest, path)

    with_cache(tmp_path / "code", use)


_CHILD = """
import asyncio, resource, signal, sys
from pathlib import Path
from squib.environment.code_cache import CodeCache

class Stopping(CodeCache):
    def _write_file(self, archive, file, path):
        super()._write_file(archive, file, path)
        print("unpacking", flush=True)
        sys.stdin.readline()

root, archive, digest, ending = sys.argv[1:]
if ending == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    cache = CodeCache(Path(root), boot_id="boot-1")
    try:
        asyncio.run(cache.ensure(digest, archive))
    except OSError as error:
        print(error.strerror, [entry.name for entry in Path(root).iterdir()], flush=True)
else:
    asyncio.run(Stopping(Path(root), boot_id="boot-1").ensure(digest, archive))
"""


def child(root: Path, path: Path, digest: str, ending: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(root), str(path), digest, ending],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_kill_in_the_middle_leaves_only_what_the_next_sweep_removes(tmp_path: Path) -> None:
    digest, path = stored(tmp_path, archive(text("a.py"), text("b.py")))
    root = tmp_path / "code"
    with child(root, path, digest, "kill") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "unpacking\n"
        process.send_signal(signal.SIGKILL)
    assert [entry.name[:5] for entry in root.iterdir()] == [".tmp-"]

    async def use(cache: CodeCache) -> None:
        await cache.sweep(lambda digest: True)
        assert list(root.iterdir()) == []
        assert sorted(os.listdir(await cache.ensure(digest, path))) == ["a.py", "b.py"]

    with_cache(root, use)


@pytest.mark.slow
def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    digest, path = stored(tmp_path, archive(text("a.py", LARGE)))
    with child(tmp_path / "code", path, digest, "full") as process:
        printed, _ = process.communicate()
    assert printed == "File too large []\n"


def test_layers_lie_over_each_other_as_one_tree_that_shares_their_files(tmp_path: Path) -> None:
    lower = stored(
        tmp_path, archive(text("bin/run", b"lower", 0o755), text("same", b"lower"), link("l", "bin"))
    )
    upper = stored(tmp_path, archive(text("same", b"upper"), text("bin/more")))
    merged = ArchiveDigest("a" * 64)

    async def use(cache: CodeCache) -> None:
        folder = await cache.ensure_layers(merged, [lower, upper])
        assert folder == tmp_path / "code" / merged
        assert (folder / "same").read_bytes() == b"upper"
        assert (folder / "l/run").samefile(cache.path(lower[0]) / "bin/run")
        assert {path.name for path in (folder / "bin").iterdir()} == {"run", "more"}
        assert mode(folder / "bin/run") == mode(folder / "bin") == 0o755
        assert await cache.ensure_layers(merged, [lower, upper]) == folder
        assert await cache.sweep(lambda digest: digest == merged) == 2
        assert (folder / "bin/run").read_bytes() == b"lower"

    with_cache(tmp_path / "code", use)


def test_a_single_layer_is_not_laid_out_twice(tmp_path: Path) -> None:
    digest, path = stored(tmp_path, archive(text("a")))

    async def use(cache: CodeCache) -> None:
        assert await cache.ensure_layers(digest, [(digest, path)]) == cache.path(digest)
        assert {entry.name for entry in (tmp_path / "code").iterdir()} == {digest, f"{digest}.boot"}

    with_cache(tmp_path / "code", use)


def test_layers_whose_links_lead_outside_together_leave_nothing(tmp_path: Path) -> None:
    one = stored(tmp_path, archive(text("deep/in/y"), link("a", "deep/in/../..")))
    other = stored(tmp_path, archive(text("deep/y"), link("deep/in", ".")))
    merged = ArchiveDigest("b" * 64)

    async def use(cache: CodeCache) -> None:
        with pytest.raises(InvalidArchive):
            await cache.ensure_layers(merged, [one, other])
        assert not cache.path(merged).exists()

    with_cache(tmp_path / "code", use)
