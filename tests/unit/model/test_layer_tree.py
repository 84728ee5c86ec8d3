"""Layers laid over each other: who wins, and that nothing leads outside."""

import io
import stat
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.model.archive import ArchivePlan, InvalidArchive, open_archive, plan
from squib.model.layer_tree import LayerTree, lay_over


def layer(*files: str, **links: str) -> ArchivePlan:
    """A layer of files, folders (names that end in a slash) and links."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name in files:
            made.writestr(name, "")
        for name, target in links.items():
            entry = zipfile.ZipInfo(name.replace("__", "/"))
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            made.writestr(entry, target)
    with open_archive(buffer) as archive:
        return plan(archive)


def test_folders_merge_and_later_files_win() -> None:
    assert lay_over([layer("a/x", "a/y"), layer("a/y", "b/")]) == LayerTree(
        directories=[b"a", b"b"], files={b"a/x": 0, b"a/y": 1}, links={}
    )


def test_a_file_takes_the_place_of_a_folder_with_all_that_is_in_it_and_of_nothing_else() -> None:
    tree = lay_over([layer("a/b/c", "a/b/d/e", "a/b-c", "a/b0", "a.b/c"), layer("a/b")])
    assert tree.files == {b"a/b": 1, b"a/b-c": 0, b"a/b0": 0, b"a.b/c": 0}
    assert tree.directories == [b"a", b"a.b"]


def test_a_folder_takes_the_place_of_a_link_so_nothing_is_written_through_it() -> None:
    tree = lay_over([layer("lib/x", python="lib"), layer("python/y")])
    assert tree == LayerTree(directories=[b"lib", b"python"], files={b"lib/x": 0, b"python/y": 1}, links={})


def test_a_link_takes_the_place_of_a_folder() -> None:
    tree = lay_over([layer("python/y", "lib/x"), layer("z", python="lib")])
    assert tree == LayerTree(directories=[b"lib"], files={b"lib/x": 0, b"z": 1}, links={b"python": b"lib"})


def test_links_that_lead_outside_only_together_are_refused() -> None:
    one, other = layer("deep/in/y", a="deep/in/../.."), layer("deep/y", deep__in=".")
    assert lay_over([one]).links == {b"a": b"deep/in/../.."}
    assert lay_over([other]).links == {b"deep/in": b"."}
    with pytest.raises(InvalidArchive):
        lay_over([one, other])


PATHS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join)


@given(st.lists(st.sets(PATHS, min_size=1, max_size=6), min_size=1, max_size=4))
def test_what_comes_out_is_a_tree_that_holds_every_file_of_the_last_layer(layers: list[set[str]]) -> None:
    plans = []
    for paths in layers:
        leaves = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
        plans.append(layer(*leaves))
    tree = lay_over(plans)
    last = len(plans) - 1
    assert {file.path for file in plans[-1].files} <= {path for path, at in tree.files.items() if at == last}
    folders = set(tree.directories)
    assert not folders & tree.files.keys()
    for path in (*tree.files, *tree.directories):
        parent = path.rpartition(b"/")[0]
        assert not parent or parent in folders
    assert list(tree.directories) == sorted(folders)
