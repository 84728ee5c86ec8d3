"""Files: nothing of the host to read, nothing but /tmp to write, nothing inherited."""

from typing import Any

import pytest

from harness.probe import Probe, deploy_probe
from harness.squib import Squib

GONE = {"ENOENT", "EACCES", "EPERM", "ENOTDIR"}
READ_ONLY = {"EROFS", "EACCES", "EPERM", "ENOENT"}
ANY: Any = None
syscall: Any = None  # given by the probe


def read(path: str) -> str:
    with open(path, "rb") as file:
        return repr(file.read(64))


def list_folder(path: str) -> list[str]:
    import os

    return os.listdir(path)


def list_files(path: str) -> list[str]:
    import os

    os.listdir(path)
    return [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/root/.bashrc", "/root/.ssh/id_rsa"),
        *("/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/1/stack", "/proc/1/auxv"),
        *("/proc/1/root/etc/shadow", "/proc/1/cwd/etc", "/proc/kcore", "/proc/kmsg", "/proc/kpagecount"),
        *("/proc/self/root/../../etc/shadow", "/dev/mem", "/dev/kmsg", "/dev/loop0", "/dev/loop-control"),
        *("/dev/sda", "/dev/vda", "/dev/fuse", "/dev/net/tun", "/dev/kvm", "/dev/tty", "/dev/ptmx"),
        *("/run/docker.sock", "/var/run/docker.sock", "/sys/kernel/security", "/etc/machine-id"),
        *("/proc/sys/kernel/core_pattern/x", "/proc/self/pagemap/x", "/stage/python", "/old/etc/passwd"),
    ],
)
def test_files_of_the_host_are_out_of_reach(probe: Probe, path: str) -> None:
    answer = probe.ask(read, path)
    assert answer.refused in GONE, answer


@pytest.mark.parametrize(
    "path",
    [
        "/root",
        "/home",
        "/sys",
        "/run",
        "/stage",
        "/old",
        "/boot",
        "/mnt",
        "/var/lib",
        "/proc/1/fd",
        "/proc/1/map_files",
    ],
)
def test_folders_of_the_host_are_out_of_reach_or_empty(probe: Probe, path: str) -> None:
    answer = probe.ask(list_files, path)
    assert answer.refused in GONE or answer.value == [], answer


def test_the_data_directory_is_out_of_reach(squib: Squib, probe: Probe) -> None:
    for path in (squib.data_dir, squib.data_dir / "code", squib.data_dir.parent / "squib-test"):
        assert probe.ask(list_folder, str(path)).refused in GONE
    for name in ("credentials.json", "squib.db", "endpoint.json", "lock"):
        assert probe.ask(read, str(squib.data_dir / name)).refused in GONE


def test_the_root_folder_holds_only_what_is_meant(probe: Probe) -> None:
    allowed = {
        "bin",
        "dev",
        "etc",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "opt",
        "proc",
        "sbin",
        "tmp",
        "usr",
        "var",
        "stage",
    }
    assert set(probe.value(list_folder, "/")) - allowed == set()
    assert set(probe.value(list_folder, "/dev")) <= {
        *("null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr")
    }
    assert set(probe.value(list_folder, "/var")) <= {"task", "runtime", "lang", "rapid"}


def write(path: str) -> str:
    import os

    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.write(fd, b"0 0 1")
    finally:
        os.close(fd)
    return "written"


@pytest.mark.parametrize(
    "path",
    [
        *("/x", "/usr/x", "/usr/bin/x", "/var/task/x", "/var/task/app.py", "/opt/x", "/etc/x", "/etc/passwd"),
        *("/etc/hosts", "/etc/resolv.conf", "/var/runtime/x", "/var/x", "/dev/x", "/stage/x", "/bin/sh"),
        *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches"),
        *("/proc/sysrq-trigger", "/proc/sys/kernel/modprobe", "/proc/sys/net/ipv4/ip_forward"),
        *("/proc/1/oom_score_adj", "/proc/self/uid_map", "/proc/irq/default_smp_affinity"),
    ],
)
def test_nothing_but_tmp_can_be_written(probe: Probe, path: str) -> None:
    assert probe.ask(write, path).refused in READ_ONLY


def test_it_cannot_shield_itself_from_the_out_of_memory_killer(probe: Probe) -> None:
    def lower() -> None:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("-1000")

    assert probe.ask(lower).refused in ("EACCES", "EPERM")


def test_ownership_and_modes_cannot_be_changed(probe: Probe) -> None:
    def change(path: str) -> None:
        import os

        os.chmod(path, 0o4777)

    def give(path: str) -> None:
        import os

        open(path, "w").close()
        os.chown(path, 0, 0)

    for path in ("/var/task/app.py", "/etc/passwd", "/usr/bin/env"):
        assert probe.ask(change, path).refused in READ_ONLY
    assert probe.ask(give, "/tmp/owned").refused == "EPERM"


def test_devices_cannot_be_made_or_used_in_tmp(probe: Probe) -> None:
    def make(kind: int, major: int, minor: int) -> None:
        import os

        os.mknod(f"/tmp/device-{major}-{minor}", kind | 0o666, os.makedev(major, minor))

    assert probe.ask(make, 0o020000, 1, 1).refused == "EPERM"
    assert probe.ask(make, 0o060000, 7, 0).refused == "EPERM"


def test_tmp_honours_neither_setuid_nor_devices(probe: Probe) -> None:
    def flags() -> list[bool]:
        import os

        seen = os.statvfs("/tmp").f_flag
        return [bool(seen & os.ST_NOSUID), bool(seen & os.ST_NODEV)]

    assert probe.value(flags) == [True, True]


def test_every_mount_but_devices_ignores_setuid(probe: Probe) -> None:
    def careless() -> list[str]:
        with open("/proc/self/mountinfo") as file:
            rows = [line.split() for line in file]
        return [row[4] for row in rows if "nosuid" not in row[5] and not row[4].startswith("/dev/")]

    assert probe.value(careless) == []


def test_only_tmp_and_devices_are_writable_mounts(probe: Probe) -> None:
    def writable() -> list[str]:
        with open("/proc/self/mountinfo") as file:
            rows = [line.split() for line in file]
        return sorted(row[4] for row in rows if "rw" in row[5].split(",") and not row[4].startswith("/dev/"))

    assert set(probe.value(writable)) <= {"/tmp", "/proc"}


def test_inherited_descriptors_are_standard_ones_and_its_own_sockets(probe: Probe) -> None:
    def descriptors() -> dict[str, str]:
        import os

        found = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                found[name] = os.readlink(f"/proc/self/fd/{name}")
            except FileNotFoundError:  # the listing's own
                continue
            with open(f"/proc/self/fdinfo/{name}") as file:
                flags = next(line for line in file if line.startswith("flags"))
            found[name] += " " + "rw"[int(flags.split()[1], 8) & 1]
        return found

    found = probe.value(descriptors)
    assert found.pop("0") == "/dev/null r"
    for name in ("1", "2"):
        assert found.pop(name).startswith("pipe:")
    telemetry = [target for target in found.values() if target.startswith("pipe:") and target.endswith("w")]
    others = [
        target
        for target in found.values()
        if not target.startswith(("pipe:", "socket:", "anon_inode:[event"))
    ]
    assert len(telemetry) <= 2, "telemetry, and the client library's wake-up pipe"
    assert [target for target in others if target != "/proc/1/fd r"] == []


def test_sockets_it_holds_lead_to_its_own_runtime_api(probe: Probe) -> None:
    def peers() -> list[Any]:
        import os
        import socket

        found = []
        for name in os.listdir("/proc/self/fd"):
            try:
                if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    continue
            except FileNotFoundError:
                continue
            with socket.socket(fileno=os.dup(int(name))) as peer:
                try:
                    found.append([peer.family.name, peer.getpeername()])
                except OSError:
                    found.append([peer.family.name, None])
        return found

    for family, peer in probe.value(peers):
        assert (family == "AF_INET" and peer == ["127.0.0.1", 9001]) or (family == "AF_UNIX" and not peer), (
            family,
            peer,
        )


def find_in_memory(first: str, second: str) -> list[str]:
    """Where `first` directly followed by `second` lies in this process; the two are never joined here."""
    head, tail, found = first.encode(), second.encode(), []
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps.read().splitlines():
            span, mode = line.split()[:2]
            if "r" not in mode or "[v" in line:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            if end - start > 256 << 20:
                continue
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, OverflowError):
                continue
            at = content.find(head)
            while at >= 0:
                if content[at + len(head) : at + len(head) + len(tail)] == tail:
                    found.append(line)
                at = content.find(head, at + 1)
    return found


def test_no_secret_of_squib_or_of_others_is_in_its_memory_or_variables(squib: Squib) -> None:
    probe = deploy_probe(squib)

    def variables() -> list[str]:
        import os

        with open("/proc/self/environ", "rb") as file:
            return [*os.environ.values(), *file.read().decode("utf-8", "replace").split("\0")]

    key_id, secret = squib.root_key()
    everything = " ".join(probe.value(variables))
    for text in (key_id, secret, "of-bystander-8451"):
        assert text not in everything
        assert probe.value(find_in_memory, text[:8], text[8:]) == []
    marker = probe.value(find_in_memory, "AWS_LAMBDA_FUN", "CTION_NAME")
    assert marker, "the search finds what is there"
