"""The kernel: system calls that lead out, privileges that could come back, families of sockets."""

from typing import Any

import pytest

from harness.probe import Probe, deploy_probe
from harness.squib import Squib

libc: Any = None  # these two are given by the probe
syscall: Any = None

REFUSED = {"EPERM", "ENOSYS", "EACCES"}
CALLS = {
    "ptrace-attach": (101, 16, 1, 0, 0),
    "ptrace-traceme": (101, 0, 0, 0, 0),
    "syslog": (103, 3, 0, 0),
    "modify_ldt": (154, 0, 0, 0),
    "pivot_root": (155, 0, 0),
    "chroot": (161, "/tmp"),
    "mount-tmpfs": (165, "none", "/tmp", "tmpfs", 0, 0),
    "mount-bind": (165, "/", "/tmp", 0, 4096, 0),
    "mount-proc": (165, "proc", "/tmp", "proc", 0, 0),
    "umount": (166, "/tmp", 2),
    "swapon": (167, "/tmp/x", 0),
    "reboot": (169, 0xFEE1DEAD, 672274793, 0x1234567, 0),
    "sethostname": (170, "x", 1),
    "iopl": (172, 3),
    "ioperm": (173, 0x80, 1, 1),
    "init_module": (175, 0, 0, ""),
    "delete_module": (176, "x", 0),
    "clock_settime": (227, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "add_key": (248, "user", "name", "payload", 7, -3 & (2**64 - 1)),
    "request_key": (249, "user", "name", 0, 0),
    "keyctl": (250, 0, -3 & (2**64 - 1), 0, 0, 0),
    "unshare-user": (272, 0x10000000),
    "unshare-mount": (272, 0x00020000),
    "unshare-net": (272, 0x40000000),
    "unshare-pid": (272, 0x20000000),
    "clone-user": (56, 0x10000011, 0, 0, 0, 0),
    "clone-net": (56, 0x40000011, 0, 0, 0, 0),
    "clone-time-or-cgroup": (56, 0x02000011, 0, 0, 0, 0),
    "clone3": (435, 0, 88),
    "perf_event_open": (298, 0, 0, -1 & (2**64 - 1), -1 & (2**64 - 1), 0),
    "fanotify_init": (300, 0, 0),
    "name_to_handle_at": (303, -100 & (2**64 - 1), "/tmp", 0, 0, 0),
    "open_by_handle_at": (304, 3, 0, 0),
    "setns": (308, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, 1, 0, 0, 0, 0, 0),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "finit_module": (313, 0, "", 0),
    "kexec_file_load": (320, 0, 0, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "userfaultfd": (323, 1),
    "io_uring_setup": (425, 8, 0),
    "open_tree": (428, -100 & (2**64 - 1), "/", 1),
    "fsopen": (430, "tmpfs", 0),
    "fsmount": (432, 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0),
    "mount_setattr": (442, -100 & (2**64 - 1), "/tmp", 0, 0, 0),
    "x32-getpid": (0x40000000 | 39,),
    "x32-ptrace": (0x40000000 | 521, 0, 0, 0, 0),
    "setuid": (105, 0),
    "setgid": (106, 0),
    "setresuid": (117, 0, 0, 0),
    "setgroups": (116, 0, 0),
    "nice-up": (141, 0, 0, -20 & (2**64 - 1)),
}


def call(number: int, *arguments: Any) -> int:
    passed = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
    return int(syscall(number, *passed))


@pytest.mark.parametrize("name", CALLS)
def test_system_call_is_refused(probe: Probe, name: str) -> None:
    answer = probe.ask(call, *CALLS[name])
    assert answer.refused in REFUSED, answer


def test_calls_in_the_old_convention_end_the_process(probe: Probe) -> None:
    def old() -> int:
        import ctypes
        import mmap

        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
        return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())

    result = probe.attempt(old)
    assert result.error == "Unhandled"
    assert "bad system call" in result.payload["errorMessage"]


def test_no_capability_is_left_and_none_can_come_back(probe: Probe) -> None:
    def status() -> dict[str, str]:
        with open("/proc/self/status") as file:
            return {key: value.strip() for key, value in (line.split(":", 1) for line in file)}

    seen = probe.value(status)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(seen[name], 16) == 0, name
    assert seen["NoNewPrivs"] == "1"
    assert seen["Seccomp"] == "2"
    assert seen["Groups"] == ""
    assert len(set(seen["Uid"].split())) == 1
    assert int(seen["Uid"].split()[0]) > 1000


def test_two_environments_do_not_share_an_account(probe: Probe, squib: Squib) -> None:
    def me() -> list[int]:
        import os

        return [os.getuid(), os.getgid()]

    assert probe.value(me) != deploy_probe(squib).value(me)


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        *[(family, 3) for family in (17, 15, 31, 29, 44)],
        *[(family, 1) for family in (40, 30, 33, 39, 41, 43)],
        (38, 5),  # AF_ALG
        (17, 2),
        (2, 3),  # raw IPv4
        (10, 3),
        (2, 10),  # SOCK_PACKET
    ],
)
def test_sockets_other_than_the_usual_ones_cannot_be_made(probe: Probe, family: int, kind: int) -> None:
    def make(family: int, kind: int) -> str:
        import socket

        with socket.socket(family, kind, 1 if family in (2, 10) else 0) as made:
            return str(made)

    assert probe.ask(make, family, kind).refused in {
        "EPERM",
        "EAFNOSUPPORT",
        "EPROTONOSUPPORT",
        "EACCES",
        "ESOCKTNOSUPPORT",
        "EINVAL",
    }


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [(2, 1, 132), (2, 6, 33), (2, 1, 262), (2, 2, 136), (2, 2, 115), (10, 1, 132)]
    + [(16, 3, protocol) for protocol in (4, 6, 9, 12, 15, 16, 21)],
)
def test_protocols_other_than_the_usual_ones_cannot_be_had(
    probe: Probe, family: int, kind: int, protocol: int
) -> None:
    def make(family: int, kind: int, protocol: int) -> str:
        import socket

        with socket.socket(family, kind, protocol) as made:
            return str(made)

    assert probe.ask(make, family, kind, protocol).refused == "EPROTONOSUPPORT"


def test_the_usual_sockets_can_be_made(probe: Probe) -> None:
    def make() -> int:
        import socket

        kinds = [(1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 1, 6), (2, 2, 17), (10, 1, 0), (10, 2, 0), (16, 3, 0)]
        for family, kind, protocol in kinds:
            socket.socket(family, kind, protocol).close()
        return len(kinds)

    assert probe.value(make) == 8


def test_calls_of_newer_kernels_do_not_exist(probe: Probe) -> None:
    for number in (463, 467, 468, 500, 1000):
        assert probe.ask(call, number, 2**64 - 1, 0, 0, 0, 0, 0).refused == "ENOSYS"


def test_its_network_cannot_be_changed(probe: Probe) -> None:
    def change() -> str:
        import socket
        import struct

        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
            link.bind((0, 0))
            body = struct.pack("=BBHiII", 0, 0, 0, 1, 0, 1)  # lo down
            link.send(struct.pack("=IHHII", 16 + len(body), 16, 5, 1, 0) + body)
            answer = link.recv(4096)
        return str(struct.unpack_from("=i", answer, 16)[0])

    def claim() -> None:
        import fcntl
        import socket
        import struct

        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, 0x8916, struct.pack("16sHH4s8x", b"eth0", 2, 0, bytes([10, 0, 0, 1])))

    assert probe.value(change) == "-1"
    assert probe.ask(claim).refused in ("EPERM", "ENODEV")


def test_setuid_programs_gain_nothing(probe: Probe) -> None:
    def run(*command: str) -> list[Any]:
        import subprocess

        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5
            )
        except FileNotFoundError:
            return [None, ""]
        return [done.returncode, done.stdout]

    for command in (
        ["su", "-c", "id -u"],
        ["sudo", "-n", "id", "-u"],
        ["mount", "-t", "tmpfs", "x", "/tmp"],
        ["passwd", "-d", "root"],
        ["unshare", "-Ur", "id", "-u"],
        ["newgrp", "root"],
    ):
        code, output = probe.value(run, *command)
        assert code != 0, command
        assert output.strip() != "0", command


def test_a_program_made_setuid_runs_as_before(probe: Probe) -> None:
    def plant() -> list[Any]:
        import os
        import shutil
        import subprocess

        shutil.copyfile("/usr/bin/id", "/tmp/id")
        os.chmod("/tmp/id", 0o6755)
        return [subprocess.run(["/tmp/id", "-u"], capture_output=True, text=True).stdout.strip(), os.getuid()]

    inside, uid = probe.value(plant)
    assert inside == str(uid)


def test_limits_of_the_process_are_lambdas(probe: Probe) -> None:
    def limits() -> dict[str, Any]:
        import resource

        return {
            "files": resource.getrlimit(resource.RLIMIT_NOFILE),
            "core": resource.getrlimit(resource.RLIMIT_CORE),
            "locked": resource.getrlimit(resource.RLIMIT_MEMLOCK),
        }

    assert probe.value(limits) == {"files": [1024, 1024], "core": [0, 0], "locked": [65536, 65536]}

    def raise_limit() -> None:
        import resource

        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        except ValueError as error:
            raise PermissionError(1, str(error)) from error

    assert probe.ask(raise_limit).refused == "EPERM"
