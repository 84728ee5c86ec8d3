"""Code archives on disk, named by the SHA-256 of their content: `blobs/ab/<digest>.zip`."""

import asyncio
import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from squib.clock import Clock
from squib.model.units import ArchiveDigest, MonotonicMs
from squib.store.data_dir import make_private_directory, sync_directory

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SUFFIX: Final = ".zip"


class FileBlobs:
    """Implements `base.Blobs`. Work is done in `executor`, never on the loop."""

    def __init__(self, root: Path, *, executor: Executor, clock: Clock, grace_ms: float) -> None:
        """`grace_ms`: how long `sweep` spares an archive after its `put`, so that the row that will name it
        can be written."""
        make_private_directory(root)
        self._root = root
        self._executor = executor
        self._clock = clock
        self._grace_ms = grace_ms
        self._put_at: dict[ArchiveDigest, MonotonicMs] = {}
        self._removing = threading.Lock()  # a put that finds its archive there must not race its removal

    async def put(self, content: bytes) -> ArchiveDigest:
        loop = asyncio.get_running_loop()
        digest = ArchiveDigest(
            (await loop.run_in_executor(self._executor, hashlib.sha256, content)).hexdigest()
        )
        self._put_at[digest] = self._clock.monotonic_ms()  # before the write: a sweep may run beside it
        await loop.run_in_executor(self._executor, self._write, digest, content)
        return digest

    def path(self, digest: ArchiveDigest) -> str:
        return str(self._path(digest))

    async def read(self, digest: ArchiveDigest) -> bytes:
        path = self._path(digest)
        return await asyncio.get_running_loop().run_in_executor(self._executor, path.read_bytes)

    async def sweep(self, keep: Iterable[ArchiveDigest]) -> int:
        spared_from = self._clock.monotonic_ms() - self._grace_ms
        self._put_at = {digest: at for digest, at in self._put_at.items() if at > spared_from}
        wanted = frozenset(keep)
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._sweep, wanted)

    def _path(self, digest: ArchiveDigest) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"not an archive digest: {digest!r}")
        return self._root / digest[:2] / f"{digest}{_SUFFIX}"

    def _write(self, digest: ArchiveDigest, content: bytes) -> None:
        path = self._path(digest)
        with self._removing:
            if path.exists():  # complete: it got its name by rename, maybe a moment ago
                sync_directory(path.parent)
                return
        make_private_directory(path.parent)
        fd, temporary = tempfile.mkstemp(prefix=f"{digest}.", suffix=".part", dir=path.parent)
        try:
            with open(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_directory(path.parent)

    def _sweep(self, keep: frozenset[ArchiveDigest]) -> int:
        removed = 0
        for path in self._root.glob("??/*"):
            digest = ArchiveDigest(path.name[:64])
            with self._removing:
                if digest in self._put_at or (digest in keep and path.suffix == _SUFFIX):
                    continue
                path.unlink(missing_ok=True)
            removed += 1
        return removed
