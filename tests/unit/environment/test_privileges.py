"""Giving a data directory to the daemon's account: everything in it, and nothing that it only points to."""

import os
from pathlib import Path

import pytest

from squib.environment.privileges import Account, give_to
from squib.store.data_dir import DataDirLock

ACCOUNT = Account(1_899_999_999, 1_899_999_999, "test")


@pytest.mark.skipif(os.getuid() != 0, reason="changes owners")
def test_what_is_in_the_folder_is_given_but_not_what_links_lead_to(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    (outside / "secret").write_text("x")
    (folder / "code").mkdir(parents=True)
    (folder / "run" / "stage").mkdir(parents=True)
    (folder / "code" / "f").write_text("x")
    (folder / "code" / "link").symlink_to(outside)
    (folder / "link").symlink_to(outside / "secret")
    (folder / "hard").hardlink_to(outside / "secret")
    give_to(ACCOUNT, folder)
    given = {path.name for path in [folder, *folder.rglob("*")] if path.lstat().st_uid == ACCOUNT.uid}
    assert given == {"data", "code", "f"}
    assert outside.stat().st_uid == (outside / "secret").stat().st_uid == 0


def test_a_lock_that_is_a_link_is_refused_and_what_it_points_to_kept(tmp_path: Path) -> None:
    target, folder = tmp_path / "target", tmp_path / "data"
    target.write_text("precious")
    folder.mkdir()
    (folder / "lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        DataDirLock(folder)
    assert target.read_text() == "precious"
