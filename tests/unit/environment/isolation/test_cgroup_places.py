"""Where control groups go: told from what the kernel says of mounts and of the process's own group."""

import os
from pathlib import Path

import pytest

from squib.environment.isolation.cgroup_places import (
    Place,
    find_mounts,
    find_place,
    hand_down,
    is_delegated,
    make_base,
)
from squib.environment.isolation.cgroups import UNIFIED

V1_MOUNTS = """\
30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
35 30 0:31 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
"""
V2_MOUNTS = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
TOP = "/sys/fs/cgroup"
SERVICE = "0::/system.slice/squib.service\n"


def place(membership: str, *delegated: str, mounts: str = V2_MOUNTS) -> Place | None:
    return find_place(mounts, membership, lambda folder: folder in delegated)


def test_version_1_is_found_where_its_controllers_are() -> None:
    assert find_mounts(V1_MOUNTS)["cpu"].point == "/sys/fs/cgroup/cpu,cpuacct"
    found = place("0::/\n", mounts=V1_MOUNTS)
    assert found is not None
    assert found.missing == []
    assert found.bases("squib-00") == {
        "memory": "/sys/fs/cgroup/memory/squib-00",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct/squib-00",
        "pids": "/sys/fs/cgroup/pids/squib-00",
        "freezer": "/sys/fs/cgroup/freezer/squib-00",
    }


def test_no_cgroups_are_no_error() -> None:
    assert place("0::/\n", mounts="1 1 0:1 / / rw - ext4 /dev/vda rw\n") is None


def test_version_2_without_a_memory_controller_of_its_own_is_not_used() -> None:
    hybrid = "".join(line for line in V1_MOUNTS.splitlines(keepends=True) if "pids" not in line)
    assert place("0::/\n", mounts=hybrid) is None


@pytest.mark.parametrize(
    ("membership", "delegated", "expected", "is_own"),
    [
        (SERVICE, (), TOP, False),
        (SERVICE, (f"{TOP}/system.slice/squib.service",), f"{TOP}/system.slice/squib.service", True),
        (SERVICE, (f"{TOP}/system.slice",), TOP, False),  # that is another's
        (
            "0::/system.slice/squib.service/squib-members",
            (f"{TOP}/system.slice/squib.service",),
            f"{TOP}/system.slice/squib.service",
            True,
        ),
        ("0::/", (), TOP, True),  # the top, or the one of a container
        ("0::/squib-members", (), TOP, True),
        ("0::/../elsewhere", (f"{TOP}/../elsewhere",), TOP, False),
        ("12:memory:/user\n", (), TOP, False),
    ],
)
def test_a_base_of_version_2_lies_at_the_top_or_in_a_group_that_was_handed_over(
    membership: str, delegated: tuple[str, ...], expected: str, is_own: bool
) -> None:
    assert place(membership, *delegated) == Place({UNIFIED: expected}, is_own=is_own)


def test_a_part_of_the_hierarchy_that_is_mounted_is_the_top_there() -> None:
    mounts = "30 24 0:26 /docker/ab /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    assert place("0::/docker/ab", mounts=mounts) == Place({UNIFIED: TOP}, is_own=True)
    inner = f"{TOP}/inner"
    assert place("0::/docker/ab/inner", inner, mounts=mounts) == Place({UNIFIED: inner}, is_own=True)
    assert place("0::/docker/abc", mounts=mounts) == Place({UNIFIED: TOP}, is_own=False)


def test_a_group_is_delegated_when_it_is_marked(tmp_path: Path) -> None:
    assert not is_delegated(str(tmp_path))
    try:
        os.setxattr(tmp_path, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system keeps no marks")
    assert is_delegated(str(tmp_path))
    os.setxattr(tmp_path, "user.delegate", b"0")
    assert not is_delegated(str(tmp_path))


def stand_in(folder: Path, controllers: str, handed_down: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.controllers").write_text(controllers)
    (folder / "cgroup.subtree_control").write_text(handed_down)
    return folder


def test_controllers_are_handed_down_unless_they_are(tmp_path: Path) -> None:
    hand_down(str(stand_in(tmp_path, "", "cpu memory pids")), ["memory", "cpu"], may_move=False)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "cpu memory pids"
    hand_down(str(stand_in(tmp_path, "", "cpu")), ["memory", "cpu"], may_move=False)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +cpu"


def test_only_what_is_offered_is_handed_down(tmp_path: Path) -> None:
    parent = Place({UNIFIED: str(stand_in(tmp_path, "io memory pids"))})
    stand_in(tmp_path / "squib-00", "")
    assert parent.missing == ["cpu"]
    make_base(parent, "squib-00").close()
    assert (tmp_path / "squib-00/cgroup.subtree_control").read_text() == "+memory +pids"


def test_without_a_memory_controller_there_are_no_groups(tmp_path: Path) -> None:
    parent = Place({UNIFIED: str(stand_in(tmp_path, "cpu pids"))})
    with pytest.raises(OSError, match="no memory controller"):
        make_base(parent, "squib-00")
    assert not (tmp_path / "squib-00").exists()
