"""Code archives: content-addressed, written whole or not at all, swept when nobody names them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from squib.model.units import ArchiveDigest, EpochMs, MonotonicMs
from squib.store.blobs import FileBlobs


class HandClock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.ms = 1000.0

    def now_ms(self) -> EpochMs:
        return EpochMs(int(self.ms))

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(self.ms)


@asynccontextmanager
async def opened(root: Path, clock: HandClock) -> AsyncIterator[FileBlobs]:
    with ThreadPoolExecutor(2) as executor:
        yield FileBlobs(root / "blobs", executor=executor, clock=clock, grace_ms=60_000)


def test_content_lies_under_its_digest(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, HandClock()) as blobs:
            digest = await blobs.put(b"zip")
            assert digest == hashlib.sha256(b"zip").hexdigest()
            assert await blobs.put(b"zip") == digest
            path = Path(blobs.path(digest))
            assert path == tmp_path / "blobs" / digest[:2] / f"{digest}.zip"
            assert path.stat().st_mode & 0o777 == 0o600
            assert await blobs.read(digest) == b"zip"
            assert [p.name for p in path.parent.iterdir()] == [path.name]

    asyncio.run(main())


def test_reading_what_is_not_there_is_file_not_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, HandClock()) as blobs:
            with pytest.raises(FileNotFoundError):
                await blobs.read(ArchiveDigest("0" * 64))

    asyncio.run(main())


@pytest.mark.parametrize("digest", ["", "abc", "../" * 21 + "x", "A" * 64, "0" * 63 + "\n"])
def test_what_is_no_digest_makes_no_path(tmp_path: Path, digest: str) -> None:
    async def main() -> None:
        async with opened(tmp_path, HandClock()) as blobs:
            with pytest.raises(ValueError, match="not an archive digest"):
                blobs.path(ArchiveDigest(digest))

    asyncio.run(main())


def test_a_sweep_keeps_the_named_and_the_fresh(tmp_path: Path) -> None:
    async def main() -> None:
        clock = HandClock()
        async with opened(tmp_path, clock) as blobs:
            named, old = await blobs.put(b"named"), await blobs.put(b"old")
            half_written = Path(blobs.path(old)).with_name(f"{'0' * 64}.x.part")
            half_written.write_bytes(b"half")
            clock.ms += 60_001
            fresh = await blobs.put(b"fresh")
            assert await blobs.sweep([named]) == 2
            assert await blobs.read(named) == b"named"
            assert await blobs.read(fresh) == b"fresh"
            assert not Path(blobs.path(old)).exists()
            assert not half_written.exists()

    asyncio.run(main())


def test_content_put_again_is_spared_again(tmp_path: Path) -> None:
    async def main() -> None:
        clock = HandClock()
        async with opened(tmp_path, clock) as blobs:
            digest = await blobs.put(b"zip")
            clock.ms += 60_001
            await blobs.put(b"zip")
            assert await blobs.sweep([]) == 0
            assert await blobs.read(digest) == b"zip"

    asyncio.run(main())
