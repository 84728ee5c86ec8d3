"""What this machine offers to squib, what is missing, and the command that mends it: `squib doctor`."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from squib.environment.doctor import kvm, machine_probes
from squib.environment.doctor.machine_probes import Outcome, attempt
from squib.environment.isolation.cgroup_places import this_place
from squib.environment.runtimes import (
    RuntimeKind,
    RuntimeSearch,
    discover,
    interpreters_by_name,
    known_names,
)

MIN_KERNEL: Final = (5, 4)  # the oldest with all that sandboxes use; close_range and cgroup.kill are optional
MACHINES: Final = ("x86_64", "aarch64")
LOW_DISK_BYTES: Final = 2 << 30
MIN_DISK_BYTES: Final = 100 << 20
MIN_OPEN_FILES: Final = 16384  # eight descriptors for each of a thousand environments, and clients

CAN_RUN_ISOLATED, IS_DEGRADED, CANNOT_RUN = 0, 1, 2


class Status(StrEnum):
    """How a thing stands."""

    OK = "ok"
    DEGRADED = "degraded"  # there, but not as it should be
    MISSING = "missing"


class Weight(StrEnum):
    """What it means when a thing is missing."""

    REQUIRED = "required"  # squib cannot run
    EXPECTED = "expected"  # squib runs, with less isolation or fewer abilities
    OPTIONAL = "optional"  # squib runs as well without


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    status: Status
    weight: Weight
    detail: str
    remedy: str = ""
    """A command, or what to do; empty when there is nothing to do."""


def probe(search: RuntimeSearch, data_dir: Path) -> list[Finding]:
    """Looks at everything, in the order of the report; takes a second or two and leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="squib-doctor-") as folder:
        return [
            kernel(os.uname().release, os.uname().machine),
            _account(os.geteuid()),
            _user_namespaces(),
            *(_namespace(kind) for kind in machine_probes.NAMESPACES),
            _seccomp(),
            _cgroups(),
            _tmp_storage(Path(folder)),
            _network(),
            *_foreign_firewall(),
            *_runtimes(search),
            _disk(data_dir),
            _open_files(),
            _overlay(Path(folder)),
            _kvm(),
            *_virtual_machine_monitors(),
        ]


def exit_code(findings: Sequence[Finding]) -> int:
    """CAN_RUN_ISOLATED, IS_DEGRADED or CANNOT_RUN."""
    if any(one.weight is Weight.REQUIRED and one.status is Status.MISSING for one in findings):
        return CANNOT_RUN
    if any(one.weight is not Weight.OPTIONAL and one.status is not Status.OK for one in findings):
        return IS_DEGRADED
    return CAN_RUN_ISOLATED


def report(findings: Sequence[Finding]) -> str:
    """A table to read, each remedy below its finding, and a verdict."""
    width = max(len(one.name) for one in findings)
    lines = []
    for one in findings:
        status = (
            one.status if one.weight is not Weight.OPTIONAL or one.status is Status.OK else f"({one.status})"
        )
        lines.append(f"{status:<10}  {one.name:<{width}}  {one.detail}")
        if one.remedy:
            lines.append(f"{'':<10}  {'':<{width}}  -> {one.remedy}")
    verdict = {
        CAN_RUN_ISOLATED: "squib can run functions here, isolated.",
        IS_DEGRADED: "squib can run functions here, but not with all it offers: see above.",
        CANNOT_RUN: "squib cannot run here: see above.",
    }
    return "\n".join([*lines, "", verdict[exit_code(findings)]])


def report_json(findings: Sequence[Finding]) -> str:
    """The findings as a JSON array of objects."""
    return json.dumps([asdict(one) for one in findings], indent=2)


def install_command(packages: Mapping[str, str]) -> str:
    """How to install something: `packages` names it for each package manager (apt-get, dnf)."""
    for manager, package in packages.items():
        if shutil.which(manager):
            return f"{manager} install {package}"
    return f"install {next(iter(packages.values()))}"


# --- the single findings


def _tried(name: str, outcome: Outcome, remedy: str, *, weight: Weight = Weight.EXPECTED) -> Finding:
    if outcome.worked:
        return Finding(name=name, status=Status.OK, weight=weight, detail=outcome.detail)
    return Finding(name=name, status=Status.MISSING, weight=weight, detail=outcome.detail, remedy=remedy)


def kernel(release: str, machine: str) -> Finding:
    """The kernel's version and the processor's architecture."""
    detail = f"Linux {release} on {machine}"
    matched = re.match(r"(\d+)\.(\d+)", release)
    numbers = (int(matched[1]), int(matched[2])) if matched else MIN_KERNEL
    if machine not in MACHINES:
        status, remedy = Status.MISSING, f"use one of: {', '.join(MACHINES)}"
    elif numbers < MIN_KERNEL:
        status, remedy = Status.DEGRADED, f"use Linux {'.'.join(map(str, MIN_KERNEL))} or newer"
    else:
        status, remedy = Status.OK, ""
    return Finding(name="kernel", status=status, weight=Weight.REQUIRED, detail=detail, remedy=remedy)


def _account(uid: int) -> Finding:
    if uid == 0:
        detail = "root: the daemon itself gives it up, a small launcher keeps it"
        return Finding(name="account", status=Status.OK, weight=Weight.EXPECTED, detail=detail)
    detail = f"account {uid}: functions share it, without /tmp on disk or an outside network"
    return Finding(
        name="account",
        status=Status.DEGRADED,
        weight=Weight.EXPECTED,
        detail=detail,
        remedy="run squib as root (sudo squib serve)",
    )


def _user_namespaces() -> Finding:
    outcome = attempt(machine_probes.user_namespace)
    weight = Weight.OPTIONAL if os.geteuid() == 0 else Weight.EXPECTED
    return _tried("user-namespaces", outcome, user_namespace_remedy(Path("/proc/sys")), weight=weight)


def user_namespace_remedy(settings: Path) -> str:
    """The setting that stands in the way, as far as can be told."""
    for name, bad, good in (
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user.max_user_namespaces", "0", "15000"),
    ):
        try:
            value = (settings / name.replace(".", "/")).read_text().strip()
        except OSError:
            continue
        if value == bad:
            return f"sysctl -w {name}={good}"
    return "allow user namespaces, or run squib as root"


def _namespace(kind: str) -> Finding:
    outcome = attempt(partial(machine_probes.namespace, kind))
    if os.geteuid() == 0:
        remedy = "in a container: give it --privileged, or run squib on the machine itself"
    else:
        remedy = user_namespace_remedy(Path("/proc/sys"))
    return _tried(f"{kind}-namespaces", outcome, remedy)


def _seccomp() -> Finding:
    remedy = "use a kernel with CONFIG_SECCOMP_FILTER"
    return _tried("seccomp", attempt(machine_probes.system_call_filter), remedy)


def _cgroups() -> Finding:
    name = f"squib-doctor-{os.getpid()}"
    try:
        outcome = attempt(partial(machine_probes.control_groups, name))
    finally:
        machine_probes.remove_control_groups(name)
    remedy = "make /sys/fs/cgroup writable (a container: --privileged)"
    if os.geteuid() != 0:
        remedy = "as root, or: systemd-run --user --scope -p Delegate=yes squib serve"
    found = _tried("cgroups", outcome, remedy)
    place = this_place()
    if found.status is not Status.OK or place is None or not place.missing:
        return found
    detail = f"{found.detail}; not {', '.join(place.missing)}, so functions are not limited in that"
    remedy = f"have {', '.join(place.missing)} handed down (of systemd: Delegate=yes)"
    return replace(found, status=Status.DEGRADED, detail=detail, remedy=remedy)


def _tmp_storage(folder: Path) -> Finding:
    if os.geteuid() != 0:
        outcome = Outcome(worked=False, detail="only root can: /tmp of functions is kept in memory")
        return _tried("tmp-storage", outcome, "run squib as root")
    if shutil.which("mkfs.ext4") is None:
        outcome = Outcome(worked=False, detail="no mkfs.ext4: /tmp of functions is kept in memory")
        return _tried("tmp-storage", outcome, install_command({"apt-get": "e2fsprogs", "dnf": "e2fsprogs"}))
    outcome = attempt(partial(machine_probes.loop_file_system, folder))
    return _tried("tmp-storage", outcome, "modprobe loop (in a container: give it /dev/loop-control)")


def _network() -> Finding:
    remedy = "run squib as root, on a kernel with nf_tables and veth (modprobe nf_tables nft_masq veth)"
    return _tried("outside-network", attempt(machine_probes.outside_network), remedy)


def _foreign_firewall() -> list[Finding]:
    """Another program's rules can drop what squib forwards: Docker's do."""
    program = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None or os.geteuid() != 0:
        return []
    try:
        done = subprocess.run(
            [program, "-w", "1", "-S", "FORWARD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return []
    finding = forward_policy(done.stdout)
    return [] if finding is None else [finding]


def forward_policy(rules: str) -> Finding | None:
    """What the output of `iptables -S FORWARD` means for sandboxes; None when nothing."""
    lines = rules.splitlines()
    is_open = any("squib" in line and line.endswith("-j ACCEPT") for line in lines)
    if "-P FORWARD DROP" not in lines or is_open:
        return None
    return Finding(
        name="firewall",
        status=Status.DEGRADED,
        weight=Weight.EXPECTED,
        detail="iptables drops what is forwarded: functions may not reach the outside network",
        remedy="iptables -I FORWARD -i squib+ -j ACCEPT; iptables -I FORWARD -o squib+ -j ACCEPT",
    )


def _runtimes(search: RuntimeSearch) -> list[Finding]:
    ready = discover(search)
    found = interpreters_by_name(search)
    managed = [name for name, one in ready.items() if one.kind is not RuntimeKind.PROVIDED]
    waiting = [name for name in found if name not in ready]
    absent = [name for name in known_names() if name not in ready and name not in found]
    findings = [
        Finding(
            name="runtimes",
            status=Status.OK if managed else Status.DEGRADED,
            weight=Weight.EXPECTED,
            detail=", ".join(ready) if managed else f"only {', '.join(ready)}",
            remedy=""
            if managed
            else "squib runtimes install --all"
            if waiting
            else "install Python or Node.js",
        )
    ]
    if waiting:
        findings.append(
            Finding(
                name="runtime-clients",
                status=Status.MISSING,
                weight=Weight.OPTIONAL if managed else Weight.EXPECTED,
                detail=f"interpreter found, client not installed: {', '.join(waiting)}",
                remedy="squib runtimes install --all",
            )
        )
    if absent:
        findings.append(
            Finding(
                name="interpreters",
                status=Status.MISSING,
                weight=Weight.OPTIONAL,
                detail=f"not on this machine: {', '.join(absent)}",
                remedy="install the wanted ones, then: squib runtimes install --all (or start squib with "
                "--runtime-path DIR where they are)",
            )
        )
    return findings


def _disk(data_dir: Path) -> Finding:
    existing = data_dir.absolute()
    while not os.path.exists(existing):
        existing = existing.parent
    free_bytes = shutil.disk_usage(existing).free
    detail = f"{free_bytes / (1 << 30):.1f} GiB free for {data_dir}"
    status, remedy = Status.OK, ""
    if not os.access(existing, os.W_OK | os.X_OK):
        status, detail = Status.MISSING, f"{existing} is not writable, so there can be no {data_dir}"
        remedy = "name another folder with --data-dir"
    elif free_bytes < MIN_DISK_BYTES:
        status, remedy = Status.MISSING, "free some space, or name another folder with --data-dir"
    elif free_bytes < LOW_DISK_BYTES:
        status, remedy = Status.DEGRADED, "free some space, or name another folder with --data-dir"
    return Finding(name="disk", status=status, weight=Weight.REQUIRED, detail=detail, remedy=remedy)


def _open_files() -> Finding:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_enough = hard == resource.RLIM_INFINITY or hard >= MIN_OPEN_FILES
    return Finding(
        name="open-files",
        status=Status.OK if is_enough else Status.DEGRADED,
        weight=Weight.OPTIONAL,
        detail=f"up to {hard} at once" if hard != resource.RLIM_INFINITY else "as many as wanted",
        remedy="" if is_enough else f"ulimit -Hn {MIN_OPEN_FILES} (LimitNOFILE= in a systemd unit)",
    )


def _overlay(folder: Path) -> Finding:
    mountpoint = folder / "overlay"
    mountpoint.mkdir()
    outcome = attempt(partial(machine_probes.overlay_file_system, mountpoint))
    return _tried("overlay", outcome, "modprobe overlay", weight=Weight.OPTIONAL)


def _kvm() -> Finding:
    if not kvm.DEVICE.exists():
        outcome = Outcome(worked=False, detail=f"no {kvm.DEVICE}")
        remedy = "modprobe kvm_intel or kvm_amd; in a virtual machine, allow nested virtualization"
        return _tried("kvm", outcome, remedy, weight=Weight.OPTIONAL)
    outcome = attempt(kvm.run_guest, limit_s=kvm.GUEST_LIMIT_S)
    if outcome.timed_out:
        detail = f"{kvm.DEVICE} opens, but a test guest made no progress: it is not working here"
        outcome = Outcome(worked=False, detail=detail)
    elif not outcome.worked:
        outcome = Outcome(worked=False, detail=f"{kvm.DEVICE}: {outcome.detail}")
    is_open = os.access(kvm.DEVICE, os.R_OK | os.W_OK)
    broken = "only the host below this machine can mend it: allow nested virtualization there"
    remedy = broken if is_open else "run squib as root, or join the group kvm"
    return _tried("kvm", outcome, remedy, weight=Weight.OPTIONAL)


def _virtual_machine_monitors() -> list[Finding]:
    machine = os.uname().machine
    findings = []
    for name, program, packages in (
        ("qemu", f"qemu-system-{machine}", {"apt-get": "qemu-system", "dnf": "qemu-kvm"}),
        ("firecracker", "firecracker", {}),
    ):
        path = shutil.which(program)
        findings.append(
            Finding(
                name=name,
                status=Status.OK if path else Status.MISSING,
                weight=Weight.OPTIONAL,
                detail=path or f"no {program} on PATH: only micro-VM isolation needs one",
                remedy="" if path else install_command(packages) if packages else f"put {program} on PATH",
            )
        )
    return findings
