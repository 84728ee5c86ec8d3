"""Where version 2 of control groups is all there is: squib at the top, in a group that systemd has handed to
it, in a container's, without root, and where not all controllers are to be had."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.machine import eventually
from harness.squib import Squib

TOP = Path("/sys/fs/cgroup")
SOMEBODY = 65_533  # an account without a name
SOURCE = """
import os
def handler(event, context):
    if event == "hoard":
        return len(bytearray(b"x") * (900 << 20))  # more than memory and a /tmp in memory together
    return open("/proc/self/cgroup").read()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
    pytest.mark.skipif(not (TOP / "cgroup.controllers").exists(), reason="needs cgroup version 2"),
]
needs_systemd = pytest.mark.skipif(not Path("/run/systemd/system").is_dir(), reason="needs systemd")
needs_container = pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")


def check_limits(squib: Squib, parent: Path, *, cpu: bool = True) -> None:
    """Functions are limited below `parent`, frozen when idle, and told when memory was not enough."""
    function = squib.deploy(SOURCE, MemorySize=256, Timeout=120)
    base, slot = function.invoke("").value.strip().split("/")[-2:]
    own = parent / base / slot
    assert int((own / "memory.max").read_text()) >= 256 << 20
    assert (own / "pids.max").read_text() == "1024\n"
    if (own / "memory.swap.max").exists():
        assert (own / "memory.swap.max").read_text() == "0\n"
    assert (own / "cpu.weight").exists() == cpu
    eventually(lambda: "frozen 1" in (own / "cgroup.events").read_text(), what="frozen between invocations")
    failed = function.invoke("hoard")
    assert failed.payload["errorType"] == "Runtime.OutOfMemory"
    assert failed.report.used_mib >= 256


def scope_of(squib: Squib) -> Path:
    """The group that systemd has made for a squib."""
    membership = Path(f"/proc/{squib.process.pid}/cgroup").read_text()
    group = TOP / membership.strip().removeprefix("0::/").removesuffix("/squib-members")
    assert group.suffix == ".scope"
    return group


def members(group: Path) -> set[int]:
    """The processes that squib has moved out of the way."""
    return {int(line) for line in (group / "squib-members/cgroup.procs").read_text().split()}


def test_at_the_top() -> None:
    with Squib() as squib:
        check_limits(squib, TOP)


@needs_systemd
def test_in_a_service_that_systemd_has_handed_its_group_to() -> None:
    prefix = ("systemd-run", "--quiet", "--scope", "--property=Delegate=yes", "--collect")
    with Squib(prefix=prefix) as squib:
        assert {squib.process.pid, squib.launcher().pid} <= members(scope_of(squib))
        check_limits(squib, scope_of(squib))


@needs_systemd
def test_killed_in_such_a_service_it_leaves_no_group_and_another_squib_removes_the_rest(
    request: pytest.FixtureRequest,
) -> None:
    killed = Squib(prefix=("systemd-run", "--quiet", "--scope", "--property=Delegate=yes", "--collect"))
    request.addfinalizer(killed._forget)
    killed.start()
    scope = scope_of(killed)
    function = killed.deploy(SOURCE, Timeout=120, SnapStart={"ApplyOn": "PublishedVersions"})
    function.client.publish_version(FunctionName=function.name)
    published = function.client.get_waiter("published_version_active")
    published.wait(FunctionName=function.name, Qualifier="1", WaiterConfig={"Delay": 1, "MaxAttempts": 400})
    for qualifier in ("$LATEST", "1"):
        assert function.invoke("", Qualifier=qualifier).error is None
    killed.kill(launcher_too=True)
    eventually(lambda: not scope.exists(), what="nothing is left of the group")
    with Squib():
        killed.assert_nothing_left()


@needs_systemd
def test_in_a_service_that_keeps_its_group() -> None:
    with Squib(prefix=("systemd-run", "--quiet", "--scope", "--collect")) as squib:
        check_limits(squib, TOP)


@pytest.fixture
def box() -> Iterator[Path]:
    """A group that hands nothing down yet, as a new container has."""
    group = TOP / f"squib-test-{os.getpid()}"
    group.mkdir()
    yield group
    folders = [Path(path) for path, _, _ in os.walk(group, topdown=False)]
    for procs in (folder / "cgroup.procs" for folder in folders):
        eventually(lambda procs=procs: not procs.read_text(), what=f"{procs} is empty")  # type: ignore[misc]
        procs.parent.rmdir()


def contained(group: Path) -> tuple[str, ...]:
    """The command that goes on in a container with this group: it sees it as the top."""
    inside = 'umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'
    outside = f"echo $$ > {group}/cgroup.procs && exec unshare --cgroup --mount sh -c '{inside}' sh \"$@\""
    return ("sh", "-c", outside, "sh")


@needs_container
def test_in_a_container_that_holds_squib_itself(box: Path) -> None:
    with Squib(prefix=contained(box)) as squib:
        assert {squib.process.pid, squib.launcher().pid} <= members(box)
        check_limits(squib, box)


@needs_container
def test_with_fewer_controllers_it_limits_what_it_can(box: Path) -> None:
    (box / "inner").mkdir()
    (box / "cgroup.subtree_control").write_text("+memory +pids")
    with Squib(prefix=contained(box / "inner")) as squib:
        assert "cpu of functions not limited" in squib.output
        check_limits(squib, box / "inner", cpu=False)


@needs_container
def test_without_a_memory_controller_it_runs_and_says_so(box: Path) -> None:
    (box / "inner").mkdir()
    (box / "cgroup.subtree_control").write_text("+pids")
    with Squib(prefix=contained(box / "inner")) as squib:
        assert "has no memory controller" in squib.output
        assert squib.deploy(SOURCE, Timeout=120).invoke("hoard").error == "Unhandled"


@pytest.fixture(scope="module")
def session() -> Iterator[int]:
    """The uid of an account with a systemd of its own, as who has logged in has."""
    try:
        account = pwd.getpwnam("somebody")
    except KeyError:
        pytest.skip("needs an account called somebody")
    unit = f"user@{account.pw_uid}.service"
    subprocess.run(["systemctl", "start", unit], check=True, timeout=60)
    yield account.pw_uid
    subprocess.run(["systemctl", "stop", unit], check=False, timeout=60)


@needs_systemd
def test_without_root_in_a_group_of_ones_own(session: int) -> None:
    prefix = ("systemd-run", "--user", "--quiet", "--scope", "--property=Delegate=yes", "--collect")
    variables = {"XDG_RUNTIME_DIR": f"/run/user/{session}"}
    with Squib(user=session, prefix=prefix, variables=variables) as squib:
        scope = scope_of(squib)
        assert f"user@{session}.service" in str(scope)
        has_cpu = "cpu" in (scope / "cgroup.controllers").read_text().split()
        assert ("cpu of functions not limited" in squib.output) != has_cpu
        check_limits(squib, scope, cpu=has_cpu)
    eventually(lambda: not scope.exists(), what="nothing is left of the group")


def test_without_root_and_without_a_group_it_says_so() -> None:
    with Squib(user=SOMEBODY) as squib:
        assert "cgroups can't be used" in squib.output
        assert squib.deploy(SOURCE, Timeout=120).invoke("hoard").error == "Unhandled"
