"""Giving a data directory to the daemon's account: everything in it, and nothing that it only points to."""

import os
from pathlib import Path

import pytest

from squib.environment.isolation.launcher import enter_own_directory
from squib.environment.isolation.privileges import Account, check_not_given, give_to, make_own_directory
from squib.model.errors import PlatformError
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
    with pytest.raises(PlatformError, match="symbolic links"):
        DataDirLock(folder)
    assert target.read_text() == "precious"


@pytest.mark.parametrize("kind", ["missing", "ours", "open", "link", "file", "somebody's"])
def test_a_folder_of_its_own_is_nobody_elses(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "somebody's" and os.getuid() != 0:
        pytest.skip("changes owners")
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "run"
    (elsewhere / "stage").mkdir(parents=True)
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "file":
        path.touch()
    elif kind != "missing":
        (path / "stage").mkdir(parents=True)
        path.chmod(0o777 if kind == "open" else 0o700)
        if kind == "somebody's":
            os.chown(path, ACCOUNT.uid, ACCOUNT.gid)
    monkeypatch.chdir(tmp_path)
    if kind != "ours":
        with pytest.raises(OSError):
            enter_own_directory(str(path))
        assert Path.cwd() == tmp_path
    make_own_directory(path)
    enter_own_directory(str(path))
    assert Path.cwd() == path
    assert (path / "stage").exists() == (kind == "ours")
    assert (elsewhere / "stage").exists()


def test_clients_must_not_lie_where_the_daemon_may_write(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with pytest.raises(PlatformError, match="another place"):
        check_not_given(tmp_path / "link" / "runtimes", tmp_path / "data")
    check_not_given(tmp_path / "runtimes", tmp_path / "data")
