"""Control groups: what is written where, on folders that stand in for cgroupfs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from squib.environment.isolation.cgroups import UNIFIED, V1_CONTROLLERS, Cgroups

FILES = {
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max_usage_in_bytes"),
    "cpu": ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us"),
    "pids": ("pids.max",),
    "freezer": ("freezer.state",),
    UNIFIED: (
        "memory.max",
        "memory.swap.max",
        "pids.max",
        "cpu.weight",
        "cpu.max",
        "cgroup.freeze",
        "memory.peak",
    ),
}


@pytest.fixture(params=[1, 2])
def groups(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cgroups]:
    controllers = V1_CONTROLLERS if request.param == 1 else (UNIFIED,)
    for controller in controllers:
        slot = tmp_path / controller / "slot-7"
        slot.mkdir(parents=True)
        for file in (*FILES[controller], "cgroup.procs"):
            (slot / file).write_text("")
    made = Cgroups({c: os.open(tmp_path / c, os.O_RDONLY | os.O_DIRECTORY) for c in controllers})
    yield made
    made.close()


def written(tmp_path: Path, file: str) -> str:
    (path,) = tmp_path.glob(f"*/slot-7/{file}")
    return path.read_text()


def test_limits_are_written(groups: Cgroups, tmp_path: Path) -> None:
    groups.limit(7, memory_bytes=128 << 20, processes=1024, cpu_shares=512, cpu_quota_us=7200)
    if groups.version == 1:
        assert written(tmp_path, "memory.limit_in_bytes") == str(128 << 20)
        assert written(tmp_path, "memory.memsw.limit_in_bytes") == str(128 << 20)
        assert written(tmp_path, "cpu.shares") == "512"
        assert written(tmp_path, "cpu.cfs_quota_us") == "7200"
    else:
        assert written(tmp_path, "memory.max") == str(128 << 20)
        assert written(tmp_path, "memory.swap.max") == "0"
        assert written(tmp_path, "cpu.weight") == "50"
        assert written(tmp_path, "cpu.max") == "7200 100000"
    assert written(tmp_path, "pids.max") == "1024"


def test_a_controller_that_was_not_handed_down_is_passed_over(groups: Cgroups, tmp_path: Path) -> None:
    if groups.version == 1:
        pytest.skip("version 1 has all of them or none")
    for file in ("memory.swap.max", "pids.max", "cpu.weight", "cpu.max"):
        (tmp_path / UNIFIED / "slot-7" / file).unlink()
    groups.limit(7, memory_bytes=128 << 20, processes=1024, cpu_shares=512, cpu_quota_us=7200)
    assert written(tmp_path, "memory.max") == str(128 << 20)


def test_freezing_writes_the_versions_own_word(groups: Cgroups, tmp_path: Path) -> None:
    fd, stop, go = groups.open_freezer(7)
    os.pwrite(fd, stop, 0)
    file = "freezer.state" if groups.version == 1 else "cgroup.freeze"
    assert written(tmp_path, file) == ("FROZEN" if groups.version == 1 else "1")
    os.close(fd)
    groups.freeze(7, False)
    assert written(tmp_path, file).startswith("THAWED" if groups.version == 1 else "0")
    assert go in (b"THAWED", b"0")


def test_slots_are_listed(groups: Cgroups) -> None:
    assert list(groups.slots()) == [7]
