"""What `squib doctor` finds, what it says, and that it leaves nothing behind."""

import json
import os
import signal
from pathlib import Path

import pytest

from squib.environment.doctor import kvm, machine, machine_probes
from squib.environment.doctor.machine import Finding, Status, Weight
from squib.environment.doctor.machine_probes import attempt
from squib.environment.isolation.cgroup_places import this_place
from squib.environment.runtimes import RuntimeSearch


def finding(weight: Weight, status: Status, name: str = "thing") -> Finding:
    remedy = "" if status is Status.OK else "mend it"
    return Finding(name=name, status=status, weight=weight, detail="as it is", remedy=remedy)


@pytest.mark.parametrize(
    ("weight", "status", "code"),
    [
        (Weight.REQUIRED, Status.OK, 0),
        (Weight.REQUIRED, Status.DEGRADED, 1),
        (Weight.REQUIRED, Status.MISSING, 2),
        (Weight.EXPECTED, Status.OK, 0),
        (Weight.EXPECTED, Status.DEGRADED, 1),
        (Weight.EXPECTED, Status.MISSING, 1),
        (Weight.OPTIONAL, Status.OK, 0),
        (Weight.OPTIONAL, Status.DEGRADED, 0),
        (Weight.OPTIONAL, Status.MISSING, 0),
    ],
)
def test_exit_code_is_that_of_the_worst(weight: Weight, status: Status, code: int) -> None:
    fine = [finding(one, Status.OK) for one in Weight]
    assert machine.exit_code([*fine, finding(weight, status)]) == code
    assert machine.exit_code([finding(weight, status), *fine]) == code


def test_report_has_a_line_for_each_finding_its_remedy_and_a_verdict() -> None:
    text = machine.report(
        [
            finding(Weight.EXPECTED, Status.OK, "one"),
            finding(Weight.EXPECTED, Status.MISSING, "three"),
            finding(Weight.OPTIONAL, Status.MISSING, "two"),
        ]
    )
    assert text.splitlines() == [
        "ok          one    as it is",
        "missing     three  as it is",
        "                   -> mend it",
        "(missing)   two    as it is",
        "                   -> mend it",
        "",
        "squib can run functions here, but not with all it offers: see above.",
    ]


def test_report_as_json() -> None:
    assert json.loads(machine.report_json([finding(Weight.OPTIONAL, Status.DEGRADED)])) == [
        {
            "name": "thing",
            "status": "degraded",
            "weight": "optional",
            "detail": "as it is",
            "remedy": "mend it",
        }
    ]


@pytest.mark.parametrize(
    ("release", "processor", "status"),
    [
        ("6.18.44-x", "x86_64", Status.OK),
        ("5.10+", "aarch64", Status.OK),
        ("5.4", "x86_64", Status.OK),
        ("5.3.9", "x86_64", Status.DEGRADED),
        ("4.19.0-26-amd64", "x86_64", Status.DEGRADED),
        ("6.1", "riscv64", Status.MISSING),
    ],
)
def test_kernel(release: str, processor: str, status: Status) -> None:
    found = machine.kernel(release, processor)
    assert (found.status, found.detail) == (status, f"Linux {release} on {processor}")
    assert bool(found.remedy) == (status is not Status.OK)


@pytest.mark.parametrize(
    ("rules", "is_found"),
    [
        ("", False),
        ("-P FORWARD ACCEPT\n", False),
        ("-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n", True),
        ("-P FORWARD DROP\n-A FORWARD -i squib+ -j ACCEPT\n-A FORWARD -o squib+ -j ACCEPT\n", False),
    ],
)
def test_firewall_that_drops_what_is_forwarded(rules: str, is_found: bool) -> None:
    found = machine.forward_policy(rules)
    assert (found is not None) == is_found
    assert found is None or "iptables -I FORWARD -i squib+ -j ACCEPT" in found.remedy


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("user/max_user_namespaces", "96365", "allow user namespaces, or run squib as root"),
    ],
)
def test_remedy_names_the_setting_in_the_way(tmp_path: Path, setting: str, value: str, remedy: str) -> None:
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(value + "\n")
    assert machine.user_namespace_remedy(tmp_path) == remedy


def test_install_command_suits_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {"apt-get": "qemu-system", "dnf": "qemu-kvm"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.install_command(packages) == "install qemu-system"
    (tmp_path / "dnf").symlink_to("/bin/true")
    assert machine.install_command(packages) == "dnf install qemu-kvm"


def test_attempt_gives_what_the_child_returned_or_raised() -> None:
    done = attempt(lambda: "fine")
    assert (done.worked, done.detail) == (True, "fine")
    failed = attempt(lambda: os.listdir("/does/not/exist")[0])
    assert not failed.worked
    assert "No such file or directory" in failed.detail


def test_attempt_survives_a_child_that_dies() -> None:
    def die() -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return "not reached"

    died = attempt(die)
    assert (died.worked, died.detail) == (False, "the attempt ended with status -9")


def test_attempt_kills_a_child_that_does_not_end(tmp_path: Path) -> None:
    def hang() -> str:
        (tmp_path / "pid").write_text(str(os.getpid()))
        signal.pause()
        return "not reached"

    hung = attempt(hang, limit_s=0.2)
    assert hung.timed_out
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


WANTED = ("memory", "pids", "cpu")


def unified(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / f"cgroup.{name}").write_text(content)
    return folder


def test_a_version_2_group_that_could_hand_controllers_down_is_left_as_it_is(tmp_path: Path) -> None:
    parent = unified(tmp_path, subtree_control="")
    assert not machine_probes.hands_down(parent, WANTED, may_move=False)
    assert (tmp_path / "cgroup.subtree_control").read_text() == ""
    assert machine_probes.hands_down(
        unified(tmp_path, subtree_control="cpu memory pids"), WANTED, may_move=False
    )


def test_a_version_2_group_without_memory_is_of_no_use(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="has no memory controller"):
        machine_probes.hands_down(unified(tmp_path, subtree_control=""), ["pids"], may_move=False)


def test_a_version_2_group_that_holds_processes_hands_nothing_down_unless_they_may_be_moved(
    tmp_path: Path,
) -> None:
    parent = unified(tmp_path, subtree_control="cpu", type="domain", procs="1\n2\n")
    with pytest.raises(OSError, match="holds processes"):
        machine_probes.hands_down(parent, WANTED, may_move=False)
    assert not machine_probes.hands_down(parent, WANTED, may_move=True)


@pytest.mark.slow
def test_probe_looks_at_everything_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    mounts = Path("/proc/self/mountinfo").read_text()
    data_dir = tmp_path / "data"
    found = machine.probe(RuntimeSearch(), data_dir)
    by_name = {one.name: one for one in found}
    assert len(by_name) == len(found)
    assert set(by_name) >= {
        *("kernel", "account", "user-namespaces", "mount-namespaces", "pid-namespaces", "net-namespaces"),
        *("ipc-namespaces", "uts-namespaces", "seccomp", "cgroups", "tmp-storage", "outside-network"),
        *("runtimes", "disk", "open-files", "overlay", "kvm", "qemu", "firecracker"),
    }
    assert all(one.detail for one in found)
    assert [one.name for one in found if one.status is not Status.OK and not one.remedy] == []
    assert by_name["kernel"].status is Status.OK
    assert machine.exit_code(found) in (0, 1, 2)
    assert list(scratch.iterdir()) == []
    assert not data_dir.exists()
    assert Path("/proc/self/mountinfo").read_text() == mounts
    place = this_place()
    left = place.bases(f"squib-doctor-{os.getpid()}").values() if place is not None else ()
    assert not any(Path(path).exists() for path in left)


@pytest.mark.skipif(not os.access(kvm.DEVICE, os.R_OK | os.W_OK), reason="no /dev/kvm to open")
@pytest.mark.slow
def test_kvm_test_guest_is_set_up_right_and_runs_or_is_given_up() -> None:
    outcome = attempt(kvm.run_guest, limit_s=kvm.GUEST_LIMIT_S)
    assert outcome.worked or outcome.timed_out, outcome.detail
