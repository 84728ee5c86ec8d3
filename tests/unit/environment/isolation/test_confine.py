"""The seccomp filter, run by a small interpreter of its own language: what it lets through and what not."""

import errno
import os
import resource
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.environment.isolation import confine

ALLOW, ERRNO, KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
ARCH, COLUMN, CLONE, SOCKET = confine._ARCHITECTURE[os.uname().machine]


def verdict(number: int, *arguments: int, arch: int = ARCH, is_template: bool = False) -> int:
    """What the kernel would answer."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code = confine.seccomp_program(is_template=is_template)
    program = [struct.unpack_from("HBBI", code, at) for at in range(0, len(code), 8)]
    accumulator, counter = 0, 0
    while True:
        step, true, false, value = program[counter]
        counter += 1
        if step == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif step == 0x15:
            counter += true if accumulator == value else false
        elif step == 0x35:
            counter += true if accumulator >= value else false
        elif step == 0x45:
            counter += true if accumulator & value else false
        else:
            assert step == 0x06
            return int(value)


@pytest.mark.parametrize("name", sorted(confine._DENIED))
def test_denied_call_gets_eperm(name: str) -> None:
    number = confine._DENIED[name][COLUMN]
    if number is None:
        pytest.skip("no such call here")
    assert verdict(number) == ERRNO | errno.EPERM


def test_foreign_architecture_is_killed() -> None:
    assert verdict(0, arch=0x4000_0003) == KILL


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 exists on x86_64 only")
def test_x32_calls_do_not_exist() -> None:
    assert verdict(0x4000_0000 | 101) == ERRNO | errno.ENOSYS


def test_clone3_does_not_exist() -> None:
    assert verdict(435) == ERRNO | errno.ENOSYS


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 500))
def test_templates_may_do_one_thing_more_than_others(flags: int, other: int, number: int) -> None:
    made = confine.CLONE_OF_TEMPLATE
    assert verdict(CLONE, made, is_template=True) == ALLOW
    assert verdict(CLONE, made) == ERRNO | errno.EPERM
    for changed in (flags, made ^ (1 << flags % 32)):
        if changed != made:
            assert verdict(CLONE, changed, other, is_template=True) == verdict(CLONE, changed, other)
    if number != CLONE:
        assert verdict(number, flags, other, is_template=True) == verdict(number, flags, other)


@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_clone_into_a_namespace_is_refused(flag: int) -> None:
    assert verdict(CLONE, flag | 17) == ERRNO | errno.EPERM


def test_plain_clone_is_allowed() -> None:
    threads = 0x3D0F00
    assert verdict(CLONE, threads) == ALLOW
    assert verdict(CLONE, 17) == ALLOW


@given(st.integers(0, 60))
def test_only_common_socket_families_exist(family: int) -> None:
    expected = ALLOW if family in (1, 2, 10, 16) else ERRNO | errno.EAFNOSUPPORT
    assert verdict(SOCKET, family, 1) == expected


@given(st.sampled_from([2, 10, 16]), st.integers(0, 300))
def test_only_common_protocols_exist(family: int, protocol: int) -> None:
    known = {2: (0, 1, 6, 17), 10: (0, 6, 17, 58), 16: (0,)}[family]
    expected = ALLOW if protocol in known else ERRNO | errno.EPROTONOSUPPORT
    assert verdict(SOCKET, family, 1, protocol) == expected


def test_calls_nobody_has_looked_at_do_not_exist() -> None:
    assert verdict(463) == verdict(0x3FFF_FFFF) == ERRNO | errno.ENOSYS
    assert verdict(462) == ALLOW


@given(st.integers(0, 462))
def test_everything_else_is_allowed(number: int) -> None:
    denied = {numbers[COLUMN] for numbers in confine._DENIED.values()}
    if number in denied or number in (435, CLONE, SOCKET):
        return
    assert verdict(number) == ALLOW


@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
def test_what_is_mounted_below_a_read_only_folder_is_read_only_too(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "below").mkdir(parents=True)
    target.mkdir()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            confine.unshare(confine.CLONE_NEWNS)
            confine.mount(None, "/", None, confine.MS_REC | confine.MS_PRIVATE)
            confine.mount("tmpfs", str(source / "below"), "tmpfs")
            confine.bind_read_only(str(source), str(target))
            flags = os.statvfs(target / "below").f_flag
            wanted = confine.MS_RDONLY | confine.MS_NOSUID | confine.MS_NODEV
            code = 0 if flags & wanted == wanted and not os.statvfs(source / "below").f_flag & 1 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_no_process_of_a_function_may_raise_its_priority_or_dump_core() -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            confine.limit_resources(file_descriptors=100)
            kinds = (resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE, resource.RLIMIT_CORE)
            code = 0 if all(resource.getrlimit(kind) == (0, 0) for kind in kinds) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
