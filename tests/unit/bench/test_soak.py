"""What the soak calls growth."""

from dataclasses import replace

from bench.soak import Held, grown

FIRST = Held(
    processes=7,
    daemon_fds=200,
    launcher_fds=100,
    cgroups=64,
    mounts=24,
    namespaces=27,
    leases=0,
    environments=0,
    daemon_mib=60,
    launcher_mib=20,
)


def test_what_stays_as_it_is_or_shrinks_has_not_grown() -> None:
    assert grown(FIRST, FIRST) == []
    assert grown(FIRST, replace(FIRST, processes=6, daemon_mib=50)) == []


def test_one_lease_mount_cgroup_or_namespace_too_many_has() -> None:
    for name in ("leases", "mounts", "cgroups", "namespaces", "environments"):
        more = getattr(FIRST, name) + 1
        assert grown(FIRST, replace(FIRST, **{name: more})) == [f"{name} grew from {more - 1} to {more}"]


def test_memory_and_descriptors_may_move_a_little() -> None:
    assert grown(FIRST, replace(FIRST, daemon_mib=75, daemon_fds=210)) == []
    assert len(grown(FIRST, replace(FIRST, daemon_mib=90, daemon_fds=230))) == 2
