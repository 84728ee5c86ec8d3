"""What a deployment package may hold: reads a zip's directory and decides, before a byte is unpacked.

Holds the rules only. The archive comes as an open, seekable stream; writing what the plan says is
environment/code_cache.py's work.
"""

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from squib.model.errors import InvalidParameterValue
from squib.model.limits import MAX_UNZIPPED_BYTES

MAX_ENTRIES: Final = 100_000  # squib's own choice: a package of 250 MB has no more sensible use for inodes
MAX_PATH_BYTES: Final = 1_024  # squib's own choice: fits under any data directory within PATH_MAX
MAX_NAME_BYTES: Final = 255  # Linux NAME_MAX
_MAX_LINK_HOPS: Final = 40  # Linux: path resolution gives up after 40 symbolic links

_CENTRAL_ENTRY: Final = b"PK\x01\x02"
_END_RECORD: Final = b"PK\x05\x06"
_END_RECORD_SPAN: Final = 22 + 65_535  # fixed part and the longest comment
_DRIVE: Final = re.compile(rb"[A-Za-z]:")
UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
)
"""What zipfile raises for a stream that is no zip or a damaged one."""
_ENCRYPTED: Final = 0x1
_UTF8: Final = 0x800
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class InvalidArchive(InvalidParameterValue):
    """The package cannot be unpacked, or must not be; the message is AWS's."""

    def __init__(
        self,
        message: str = "Could not unzip uploaded file. Please check your file, then try to upload again.",
    ) -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """A regular file to unpack."""

    path: bytes
    """Relative, `/` between parts, without `.` and `..`."""
    size_bytes: int
    mode: int
    """Permission bits."""
    entry: zipfile.ZipInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePlan:
    """Everything an archive unpacks to. Directories come before what lies in them; links come last."""

    directories: Sequence[bytes]
    files: Sequence[ArchiveFile]
    links: Mapping[bytes, bytes]
    """Symbolic links: path -> target as written; no target leads out of the package."""

    @property
    def unzipped_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def check_archive(content: bytes) -> ArchivePlan:
    """Reads an uploaded package's directory. Takes up to a second for the largest: not for the event loop.

    Raises InvalidArchive.
    """
    if not content:
        raise InvalidArchive("Uploaded file must be a non-empty zip")
    _check_entry_count(content)
    with open_archive(io.BytesIO(content)) as archive:
        return plan(archive)


def open_archive(stream: BinaryIO) -> zipfile.ZipFile:
    """Opens a zip. Raises InvalidArchive when it is none."""
    try:
        return zipfile.ZipFile(stream)
    except UNREADABLE as error:
        raise InvalidArchive() from error


def plan(archive: zipfile.ZipFile) -> ArchivePlan:
    """What the archive unpacks to. Raises InvalidArchive when anything in it is refused."""
    builder = _Plan()
    for entry in archive.infolist():
        builder.add(entry, archive)
    return builder.finish()


@dataclass(slots=True)
class _Plan:
    """The plan while entries are added."""

    directories: dict[bytes, None] = field(default_factory=dict)
    files: dict[bytes, ArchiveFile] = field(default_factory=dict)
    links: dict[bytes, bytes] = field(default_factory=dict)
    unzipped_bytes: int = 0

    def add(self, entry: zipfile.ZipInfo, archive: zipfile.ZipFile) -> None:
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS or entry.header_offset < 0:
            raise InvalidArchive()
        path = _path(entry)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.is_dir() or kind == stat.S_IFDIR:
            if path:
                self.directories.setdefault(path)
            return
        if not path or path in self.files or path in self.links:
            raise InvalidArchive()
        if kind == stat.S_IFLNK:
            self.links[path] = _link_target(entry, archive)
        elif kind in (0, stat.S_IFREG):
            self._count(entry.file_size)
            self.files[path] = ArchiveFile(
                path=path, size_bytes=entry.file_size, mode=_mode(entry), entry=entry
            )
        else:  # a device, a pipe, a socket
            raise InvalidArchive()

    def finish(self) -> ArchivePlan:
        if not self.files and not self.links:
            raise InvalidArchive("Uploaded file must be a non-empty zip")
        for path in (*self.directories, *self.files, *self.links):
            for parent in _parents(path):
                self.directories.setdefault(parent)
        if any(path in self.files or path in self.links for path in self.directories):
            raise InvalidArchive()  # something would be unpacked into a file or through a link
        check_links(self.links)
        return ArchivePlan(
            directories=sorted(self.directories), files=tuple(self.files.values()), links=self.links
        )

    def _count(self, size_bytes: int) -> None:
        self.unzipped_bytes += size_bytes
        if self.unzipped_bytes >= MAX_UNZIPPED_BYTES:
            raise InvalidArchive(f"Unzipped size must be smaller than {MAX_UNZIPPED_BYTES} bytes")


def check_links(links: Mapping[bytes, bytes]) -> None:
    """Raises InvalidArchive for a symbolic link (path -> target) that leads outside, maybe over others."""
    for path in links:
        _check_inside(path, links)


def _check_entry_count(content: bytes) -> None:
    """Refuses a directory of too many entries before zipfile makes an object of each."""
    end = content.rfind(_END_RECORD, max(0, len(content) - _END_RECORD_SPAN))
    if end < 0 or end + 16 > len(content):
        raise InvalidArchive()
    size_bytes = int.from_bytes(content[end + 12 : end + 16], "little")
    start = 0 if size_bytes == 0xFFFFFFFF else max(0, end - size_bytes)
    if content.count(_CENTRAL_ENTRY, start, end) > MAX_ENTRIES:
        raise InvalidArchive(f"Unzipped file must hold at most {MAX_ENTRIES} entries")


def _path(entry: zipfile.ZipInfo) -> bytes:
    """The entry's path as the bytes that the archive holds; empty for the root itself."""
    try:
        raw = entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF8 else "cp437")
    except UnicodeEncodeError:
        raise InvalidArchive() from None
    if b"\0" in raw or b"\\" in raw or raw.startswith(b"/") or _DRIVE.match(raw):
        raise InvalidArchive()
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts or any(len(part) > MAX_NAME_BYTES for part in parts) or len(raw) > MAX_PATH_BYTES:
        raise InvalidArchive()
    return b"/".join(parts)


def _mode(entry: zipfile.ZipInfo) -> int:
    """The permission bits: the archive's own, and readable (and executable) for all when so for the owner.

    The function does not run as the account that owns its code, so what only the owner may read it could not.
    """
    mode = (entry.external_attr >> 16) & 0o777
    if not mode:
        return 0o644
    return mode | 0o444 | (0o111 if mode & 0o100 else 0)


def _link_target(entry: zipfile.ZipInfo, archive: zipfile.ZipFile) -> bytes:
    if entry.file_size > MAX_PATH_BYTES:
        raise InvalidArchive()
    try:
        with archive.open(entry) as source:
            target = source.read(MAX_PATH_BYTES + 1)  # without a bound, all that it inflates to is kept
    except UNREADABLE as error:
        raise InvalidArchive() from error
    if len(target) != entry.file_size or not target or b"\0" in target or target.startswith(b"/"):
        raise InvalidArchive()
    return target


def _check_inside(link: bytes, links: Mapping[bytes, bytes]) -> None:
    """Follows a link as the kernel would, other links of the package included; refuses to pass the root."""
    at: list[bytes] = link.split(b"/")[:-1]
    ahead = links[link].split(b"/")[::-1]
    hops = 1
    while ahead:
        part = ahead.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            if not at:
                raise InvalidArchive()
            at.pop()
            continue
        at.append(part)
        target = links.get(b"/".join(at))
        if target is not None:
            hops += 1
            if hops > _MAX_LINK_HOPS:
                raise InvalidArchive()
            at.pop()
            ahead.extend(target.split(b"/")[::-1])


def _parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]
