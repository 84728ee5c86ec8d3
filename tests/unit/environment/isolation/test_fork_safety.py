"""What may be open, and run, when a snapshot by fork is taken."""

import pytest

from squib.environment.isolation.fork_safety import (
    Descriptor,
    Plan,
    SocketFacts,
    Treatment,
    inside_path,
    is_in_memory,
    plan,
    shares_memory,
    treat,
)

UNIX, INET, INET6, NETLINK, STREAM, DATAGRAM, RAW = 1, 2, 10, 16, 1, 2, 3
PRIVATE = "7f0000-7f1000 rw-p 00000000 00:00 0"


def sock(family: int, kind: int, *, listens: bool = False, has_peer: bool = False) -> Descriptor:
    return Descriptor(7, "socket:[1]", socket=SocketFacts(family, kind, listens, has_peer))


@pytest.mark.parametrize(
    ("descriptor", "treatment"),
    [
        (Descriptor(7, "/dev/null"), Treatment.KEEP),
        (Descriptor(7, "/dev/urandom"), Treatment.KEEP),
        (Descriptor(7, "/tmp/model.bin", is_regular=True), Treatment.REOPEN),
        (Descriptor(7, "/var/task", is_folder=True), Treatment.REOPEN),
        (sock(INET, STREAM, has_peer=True), Treatment.SHUT),
        (sock(INET6, STREAM, has_peer=True), Treatment.SHUT),
        (sock(INET, STREAM), Treatment.RENEW),
        (sock(INET, DATAGRAM), Treatment.RENEW),
        (sock(INET6, DATAGRAM, has_peer=True), Treatment.RENEW),
    ],
)
def test_what_can_be_kept_is(descriptor: Descriptor, treatment: Treatment) -> None:
    assert treat(descriptor) is treatment


@pytest.mark.parametrize(
    ("descriptor", "name"),
    [
        (Descriptor(7, "/tmp/x (deleted)", is_regular=True), "a file that has been deleted (/tmp/x)"),
        (Descriptor(7, "/memfd:x (deleted)", is_regular=True), "deleted"),
        (Descriptor(7, "pipe:[4]"), "a pipe"),
        (Descriptor(7, "/tmp/fifo"), "/tmp/fifo"),
        (Descriptor(7, "anon_inode:[eventpoll]"), "epoll"),
        (Descriptor(7, "anon_inode:[eventfd]"), "eventfd"),
        (Descriptor(7, "anon_inode:[timerfd]"), "timer"),
        (Descriptor(7, "anon_inode:[signalfd]"), "signal"),
        (Descriptor(7, "anon_inode:inotify"), "inotify"),
        (Descriptor(7, "anon_inode:[pidfd]"), "process"),
        (Descriptor(7, "pidfd:[12]"), "pidfd"),
        (Descriptor(7, "anon_inode:[new]"), "[new]"),
        (sock(UNIX, STREAM, has_peer=True), "UNIX"),
        (sock(NETLINK, RAW), "family 16"),
        (sock(INET, STREAM, listens=True), "listening"),
        (sock(INET, RAW), "type 3"),
    ],
)
def test_what_cannot_be_kept_is_named(descriptor: Descriptor, name: str) -> None:
    treatment = treat(descriptor)
    assert isinstance(treatment, str) and name in treatment


def test_plan_says_what_to_do_with_each() -> None:
    descriptors = [
        Descriptor(3, "/dev/null"),
        Descriptor(4, "/tmp/a", is_regular=True),
        sock(INET, STREAM, has_peer=True)._replace(number=5),
        sock(INET, DATAGRAM)._replace(number=6),
    ]
    assert plan(descriptors, threads=1, has_children=False, maps=[PRIVATE]) == Plan(None, (5,), (6,), (4,))


@pytest.mark.parametrize(
    ("threads", "has_children", "maps", "name"),
    [
        (2, False, [], "a thread running"),
        (4, False, [], "3 threads running"),
        (1, True, [], "a child process"),
        (1, False, [PRIVATE, "7f-80 rw-s 00000000 00:01 1234  /dev/zero (deleted)"], "/dev/zero (deleted)"),
        (1, False, ["7f-80 rw-s 00000000 00:01 1234"], "anonymous"),
    ],
)
def test_what_runs_or_is_shared_forbids_clones(
    threads: int, has_children: bool, maps: list[str], name: str
) -> None:
    refusal = plan([], threads=threads, has_children=has_children, maps=maps).refusal
    assert refusal is not None and name in refusal


def test_what_is_in_a_tmp_of_memory_forbids_clones() -> None:
    refusal = plan([], threads=1, has_children=False, maps=[], in_memory=["cache.bin"]).refusal
    assert refusal is not None and "cache.bin" in refusal
    mounts = ["tmpfs / tmpfs ro 0 0", "/dev/loop3 /tmp ext4 rw 0 0"]
    assert not is_in_memory(mounts, "/tmp")
    assert is_in_memory([*mounts, "tmpfs /tmp tmpfs rw 0 0"], "/tmp")
    assert not is_in_memory([], "/tmp")


def test_only_memory_that_is_shared_and_written_counts() -> None:
    assert not shares_memory("7f-80 r--s 00000000 08:01 12 /usr/lib/gconv-modules.cache")
    assert not shares_memory("7f-80 rw-p 00000000 00:00 0 [heap]")
    assert shares_memory("7f-80 rwxs 00000000 00:00 0")


def test_what_a_process_sees_of_itself_it_sees_of_itself_in_a_clone() -> None:
    assert inside_path("/proc/301/maps", 301) == "/proc/self/maps"
    assert inside_path("/proc/3010/maps", 301) == "/proc/3010/maps"
    assert inside_path("/tmp/proc/301", 301) == "/tmp/proc/301"
