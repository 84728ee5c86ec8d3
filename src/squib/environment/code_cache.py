"""Unpacked code on this node: `code/<digest>/` holds what the archive of that digest holds, or is absent.
Several layers of a function lie there once more, as one tree of links to the files of each.

A directory gets its name by a rename once it is complete. Beside it lies `<digest>.boot`, which says in which
boot of the machine it was unpacked: files are not synced one by one, so after a power cut (another boot) the
archive, which is synced, is unpacked anew. A killed process leaves only `.tmp-*`, removed by the next sweep.
"""

import asyncio
import errno
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from squib.model.archive import UNREADABLE, ArchiveFile, InvalidArchive, open_archive, plan
from squib.model.errors import PlatformError
from squib.model.function import FunctionVersion
from squib.model.layer_tree import lay_over
from squib.model.units import ArchiveDigest

UNPACK_THREADS: Final = (
    2  # squib's own choice: unpacking is bound by the processor, which functions need more
)
_CHUNK_BYTES: Final = 1024 * 1024
_TEMPORARY: Final = ".tmp-"
_MARKER: Final = ".boot"
_DIGEST_DIGITS: Final = 64
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class CacheClosed(PlatformError):
    """Unpacking was given up because squib stops; nothing is left of it."""


class CodeCache:
    """Unpacks archives and lays layers over each other, off the event loop. Directories are
    readable by every account of the machine."""

    def __init__(self, root: Path, *, boot_id: str | None = None) -> None:
        """Makes `root`. `boot_id` None asks the kernel for it."""
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
        self._root = root
        self._boot_id = _boot_id() if boot_id is None else boot_id
        self._threads = ThreadPoolExecutor(UNPACK_THREADS, thread_name_prefix="squib-unpack")
        self._ready: set[ArchiveDigest] = set()
        self._unpacking: dict[ArchiveDigest, asyncio.Future[None]] = {}
        self._temporary: set[str] = set()
        self._extensions: dict[ArchiveDigest, tuple[str, ...]] = {}  # of layers
        self._closed = False

    def path(self, digest: ArchiveDigest) -> Path:
        """Where the code lies once `ensure` has returned."""
        return self._root / digest

    async def ensure(self, digest: ArchiveDigest, archive_path: str | Path) -> Path:
        """Unpacks the archive unless that is done already; returns the directory. Safe to call concurrently.

        Raises InvalidArchive when it does not unpack (nothing is left behind), OSError when the disk refuses,
        CacheClosed.
        """
        return await self._ensure(digest, lambda root: self._unpack(Path(archive_path), root))

    async def ensure_layers(
        self, digest: ArchiveDigest, layers: Sequence[tuple[ArchiveDigest, str | Path]]
    ) -> Path:
        """Lays layers (digest and archive of each) over each other under the name `digest`, unless that is
        done already; a single layer is its own tree. Returns and raises as `ensure` does."""
        archives = dict(layers)
        for layer, archive_path in archives.items():
            await self.ensure(layer, archive_path)
        if len(layers) > 1:
            await self._ensure(digest, lambda root: self._lay_over(layers, root))
        if digest not in self._extensions:
            loop = asyncio.get_running_loop()
            self._extensions[digest] = await loop.run_in_executor(
                self._threads, find_extensions, self.path(digest)
            )
        return self.path(digest)

    def extensions_of(self, function: FunctionVersion) -> tuple[str, ...]:
        """The external extensions among a function's layers, which `ensure_layers` has returned."""
        digest = function.opt_digest if function.layers else None
        return () if digest is None else self._extensions.get(digest, ())

    async def _ensure(self, digest: ArchiveDigest, write: Callable[[bytes], None]) -> Path:
        if digest not in self._ready:
            if self._closed:
                raise CacheClosed("squib is stopping")
            running = self._unpacking.get(digest)
            if running is None:
                running = asyncio.get_running_loop().run_in_executor(self._threads, self._make, digest, write)
                self._unpacking[digest] = running
                running.add_done_callback(lambda done: self._unpacked(digest, done))
            await asyncio.shield(running)
        return self.path(digest)

    async def sweep(self, keep: Callable[[ArchiveDigest], bool]) -> int:
        """Removes every directory that `keep` refuses, and leftovers; returns how many directories.

        `keep` is asked on the loop, at the moment of the removal.
        """
        loop = asyncio.get_running_loop()
        removed = 0
        for name in await loop.run_in_executor(self._threads, os.listdir, self._root):
            digest = ArchiveDigest(name[:_DIGEST_DIGITS])
            if name.startswith(_TEMPORARY):
                if name not in self._temporary:
                    await loop.run_in_executor(self._threads, self._discard, name)
            elif digest not in self._unpacking and not keep(digest):
                self._extensions.pop(digest, None)
                self._ready.discard(digest)  # from here to the rename nothing else runs on the loop
                trash = self._put_aside(name)
                removed += len(name) == _DIGEST_DIGITS
                await loop.run_in_executor(self._threads, self._discard, trash)
        return removed

    async def close(self) -> None:
        """Gives up what is being unpacked and waits until its remains are gone. Idempotent."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    def _unpacked(self, digest: ArchiveDigest, done: "asyncio.Future[None]") -> None:
        del self._unpacking[digest]
        if not done.cancelled() and done.exception() is None:
            self._ready.add(digest)

    def _make(self, digest: ArchiveDigest, write: Callable[[bytes], None]) -> None:
        """In a thread. Whatever happens, either the complete directory or nothing has the digest's name."""
        final, marker = self.path(digest), self._root / f"{digest}{_MARKER}"
        if final.is_dir():
            if marker.is_file() and marker.read_text() == self._boot_id:
                return
            self._discard(self._put_aside(digest))
        name = self._temporary_name()
        temporary = self._root / name
        try:
            temporary.mkdir(mode=0o700)
            write(os.fsencode(temporary))
            temporary.chmod(0o755)
            marker.write_text(self._boot_id)
            temporary.rename(final)
        finally:
            self._discard(name)

    def _unpack(self, archive_path: Path, root: bytes) -> None:
        with archive_path.open("rb") as stream, open_archive(stream) as archive:
            contents = plan(archive)
            _make_directories(contents.directories, root)
            for file in contents.files:
                self._write_file(archive, file, os.path.join(root, file.path))
            _make_links(contents.links, root)

    def _lay_over(self, layers: Sequence[tuple[ArchiveDigest, str | Path]], root: bytes) -> None:
        plans = []
        for _, archive_path in layers:
            with Path(archive_path).open("rb") as stream, open_archive(stream) as archive:
                plans.append(plan(archive))
        tree = lay_over(plans)
        _make_directories(tree.directories, root)
        sources = [os.fsencode(self.path(digest)) for digest, _ in layers]
        for path, position in tree.files.items():
            if self._closed:
                raise CacheClosed("squib is stopping")
            _link(os.path.join(sources[position], path), os.path.join(root, path))
        _make_links(tree.links, root)

    def _write_file(self, archive: zipfile.ZipFile, file: ArchiveFile, path: bytes) -> None:
        left = file.size_bytes
        try:
            source = archive.open(file.entry)
        except UNREADABLE as error:
            raise InvalidArchive() from error
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with source, open(fd, "wb") as target:
            while True:
                if self._closed:
                    raise CacheClosed("squib is stopping")
                try:
                    chunk = source.read(_CHUNK_BYTES)
                except UNREADABLE as error:
                    raise InvalidArchive() from error
                if not chunk:
                    break
                left -= len(chunk)
                if left < 0:
                    raise InvalidArchive()
                target.write(chunk)
            os.fchmod(fd, file.mode)
        if left:
            raise InvalidArchive()

    def _temporary_name(self) -> str:
        """A fresh name, known as in use before anything has it, so that a sweep spares it."""
        name = f"{_TEMPORARY}{secrets.token_hex(8)}"
        self._temporary.add(name)
        return name

    def _put_aside(self, name: str) -> str:
        trash = self._temporary_name()
        os.rename(self._root / name, self._root / trash)
        return trash

    def _discard(self, name: str) -> None:
        path = self._root / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        self._temporary.discard(name)


def find_extensions(layers: Path) -> tuple[str, ...]:
    """The files in their folder `extensions`, by name: each is started, whether it can be executed or not."""
    try:
        with os.scandir(layers / "extensions") as entries:
            names = sorted(entry.name for entry in entries if entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(name for name in names if name.isprintable() and name.isascii())


def _make_directories(directories: Sequence[bytes], root: bytes) -> None:
    for directory in directories:
        path = os.path.join(root, directory)
        os.mkdir(path)
        os.chmod(path, 0o755)


def _make_links(links: Mapping[bytes, bytes], root: bytes) -> None:
    for link, target in links.items():
        os.symlink(target, os.path.join(root, link))


def _link(source: bytes, target: bytes) -> None:
    """The same file at `target`; a copy where the file system allows no (more) names of it."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP):
            raise
        shutil.copy2(source, target, follow_symlinks=False)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return secrets.token_hex(16)  # never equal to another: code is unpacked anew at every start
