"""Segment files that stay open for appending."""

import os
from pathlib import Path

from squib.store.segment_files import MAX_OPEN_FILES, SegmentFiles


def test_no_more_files_stay_open_than_those_written_last(tmp_path: Path) -> None:
    files = SegmentFiles(reserve_bytes=0)
    paths = [str(tmp_path / str(number)) for number in range(MAX_OPEN_FILES + 2)]
    for path in (*paths, *reversed(paths)):
        files.append(path, b"x", 0)
    links = [Path("/proc/self/fd") / fd for fd in os.listdir("/proc/self/fd")]
    opened = {os.readlink(link) for link in links if link.is_symlink()}
    assert opened & set(paths) == set(paths[:MAX_OPEN_FILES])
    files.close()
    assert {Path(path).read_bytes() for path in paths} == {b"xx"}
