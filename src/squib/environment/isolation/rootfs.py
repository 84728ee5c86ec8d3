"""The read-only file system that the sandboxes of one runtime share: what the runtime needs, nothing else.

/usr of the host, the interpreter at /var/lang when it lives elsewhere, the runtime interface client at
/var/runtime, a handful of files in /etc, five devices. No homes, no /run, no sockets, no /sys.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from squib.environment.isolation import confine
from squib.environment.runtimes import INSIDE_BOOTSTRAP, INSIDE_CLIENT, INSIDE_PREFIX, Runtime, RuntimeKind

_FOLDERS = (
    *("usr", "proc", "dev", "tmp", "etc", "opt", "old", "var/task", "var/runtime", "var/lang/bin"),
    "stage",
)
_TOP_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC_FILES = ("nsswitch.conf", "ld.so.cache", "localtime", "mime.types", "protocols", "services", "gai.conf")
_ETC_FOLDERS = ("alternatives", "ssl/certs", "pki/tls/certs", "pki/ca-trust/extracted", "ca-certificates")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_STAGE_PYTHON = "/stage/python"
_FORK_SERVER_MODULES = (
    *("zygote", "sandbox_init", "sandbox_protocol", "python_client", "rehearsal"),
    *("snapshot", "fork_safety"),
    *("confine", "cgroups"),
)
_FUNCTION_LIBRARIES = ("/var/task", "/var/task/lib", "/opt/lib")
"""Where Lambda's LD_LIBRARY_PATH has the libraries of functions and layers. A Python function goes on in a
fork of the fork server, whose loader read the variable at its own start and dropped what did not exist then.
The folders are therefore in every root, empty; what a function has lies over them later. Init, which still
has privileges at that time, loads no library any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSpec:
    """What is particular to one runtime's root."""

    binds: Sequence[Sequence[str]]
    """(host path, path inside), read-only."""
    links: Sequence[Sequence[str]]
    """(target, path inside), symbolic."""
    masked: Sequence[str]
    """Folders inside that show as empty."""
    fork_server: str
    """The interpreter of the fork server, as seen inside."""
    preload: bool
    """The fork server imports the Python runtime interface client."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the fork server."""


def root_spec(runtime: Runtime) -> RootSpec:
    """The root for a runtime of this machine."""
    binds: list[tuple[str, str]] = []
    links: list[tuple[str, str]] = []
    masked: list[str] = ["/usr/lib/python3/dist-packages"]
    variables = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": "/stage/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
    }
    if runtime.prefix is not None:
        binds.append((str(runtime.prefix), INSIDE_PREFIX))
    elif runtime.interpreter is not None:
        names = [runtime.interpreter.name]
        if runtime.kind is RuntimeKind.PYTHON:
            names = [runtime.name, "python3", "python"]
        links += [(str(runtime.interpreter), f"{INSIDE_PREFIX}/bin/{name}") for name in names]
    if runtime.client_dir is not None:
        binds.append((str(runtime.client_dir), INSIDE_CLIENT))
    libraries = [runtime.inside(path) for path in runtime.library_dirs]
    if runtime.kind is RuntimeKind.PYTHON:
        fork_server = runtime.interpreter_inside
        version = runtime.name
        for folder in (f"{INSIDE_PREFIX}/lib", "/usr/lib", "/usr/local/lib"):
            masked += [f"{folder}/{version}/{kind}-packages" for kind in ("site", "dist")]
    else:
        fork_server, more_binds, own_libraries = _own_interpreter()
        binds += more_binds
        libraries += own_libraries
    if runtime.kind is RuntimeKind.PYTHON:
        libraries += _FUNCTION_LIBRARIES
    if libraries:
        variables["LD_LIBRARY_PATH"] = ":".join(libraries)
    return RootSpec(
        binds=binds,
        links=links,
        masked=masked,
        fork_server=fork_server,
        preload=runtime.kind is RuntimeKind.PYTHON,
        variables=variables,
    )


def _own_interpreter() -> tuple[str, list[tuple[str, str]], list[str]]:
    """squib's own interpreter, for fork servers of runtimes that are not Python. It lies on the stage, which
    sandboxes do not see."""
    executable = Path(os.path.realpath(sys.executable))
    if executable.is_relative_to("/usr"):
        return str(executable), [], []
    prefix = Path(sys.base_prefix)
    inside = str(_STAGE_PYTHON / executable.relative_to(prefix))
    return inside, [(str(prefix), _STAGE_PYTHON)], [f"{_STAGE_PYTHON}/lib"]


def build(spec: RootSpec, *, root: Path, slots: Path, code: Path, uids: Iterable[int]) -> None:
    """Makes the root and moves the calling process, which must be in a mount namespace of its own, into it.

    `slots` and `code` show at /stage, for the fork server only."""
    root.mkdir(exist_ok=True)
    confine.mount("tmpfs", str(root), "tmpfs", confine.MS_NOSUID | confine.MS_NODEV, "size=4m,mode=755")
    for folder in (
        "usr",
        "proc",
        "dev",
        "tmp",
        "etc",
        "opt/lib",
        "var/task/lib",
        "var/rapid",
        "var/lang/bin",
        "stage/slots",
        "stage/code",
        "old",
    ):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    stage = root / "stage"  # a mount of its own, so that a sandbox can shed it whole
    confine.mount("tmpfs", str(stage), "tmpfs", confine.MS_NOSUID | confine.MS_NODEV, "size=1m,mode=700")
    for name in ("slots", "code"):
        (stage / name).mkdir()
    _show("/usr", root, "/usr")
    for name in _TOP_FOLDERS:
        host = Path("/") / name
        if host.is_symlink():
            (root / name).symlink_to(os.readlink(host))
        elif host.is_dir():
            _show(str(host), root, f"/{name}")
    for source, inside in spec.binds:
        _show(source, root, inside)
    for target, inside in spec.links:
        link = root / inside.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(target)
    _fill_etc(root, uids)
    _fill_dev(root)
    _stage_program(root)
    confine.mount(str(slots), str(root / "stage/slots"), None, confine.MS_BIND)
    confine.mount(str(code), str(root / "stage/code"), None, confine.MS_BIND)
    flags = confine.MS_NOSUID | confine.MS_NODEV
    confine.mount("proc", str(root / "proc"), "proc", flags | confine.MS_NOEXEC)
    for folder in spec.masked:
        inside_root = root / folder.lstrip("/")
        if inside_root.is_dir():
            confine.mount("tmpfs", str(inside_root), "tmpfs", flags | confine.MS_RDONLY, "size=4k,mode=755")
    os.chdir(root)
    confine.pivot_root(".", "old")
    os.chdir("/")
    confine.umount("/old", confine.MNT_DETACH)
    os.rmdir("/old")
    read_only = confine.MS_REMOUNT | confine.MS_BIND | confine.MS_RDONLY
    confine.mount(None, "/", None, read_only | flags)


def _show(source: str, root: Path, inside: str) -> None:
    target = root / inside.lstrip("/")
    target.mkdir(parents=True, exist_ok=True)
    confine.bind_read_only(source, str(target))


def _fill_etc(root: Path, uids: Iterable[int]) -> None:
    etc = root / "etc"
    for name in _ETC_FILES:
        if Path("/etc", name).is_file():
            shutil.copyfile(f"/etc/{name}", etc / name)
    for name in _ETC_FOLDERS:
        if Path("/etc", name).is_dir():
            _show(os.path.realpath(f"/etc/{name}"), root, f"/etc/{name}")
    names = "localhost sandbox sandbox.local sandbox.localdomain"
    (etc / "hosts").write_text(f"127.0.0.1 {names}\n::1 localhost\n")
    (etc / "resolv.conf").write_text(resolvers())
    accounts = [f"sbx_user1051:x:{uid}:{uid}::/tmp:/bin/sh\n" for uid in uids]
    (etc / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n" + "".join(accounts))
    (etc / "group").write_text("root:x:0:\n")


def resolvers() -> str:
    """The host's resolv.conf without servers that only its own loopback reaches."""
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        kept = [
            line for line in lines if not line.startswith(("nameserver 127.", "nameserver ::1", "#", ";"))
        ]
        if any(line.startswith("nameserver") for line in kept):
            return "\n".join(kept) + "\n"
    return ""


def _fill_dev(root: Path) -> None:
    dev = root / "dev"
    for name in _DEVICES:
        (dev / name).touch()
        confine.mount(f"/dev/{name}", str(dev / name), None, confine.MS_BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")


def _stage_program(root: Path) -> None:
    """The modules a fork server runs, as a package of their own."""
    package = root / "stage/lib/squib/environment/isolation"
    package.mkdir(parents=True)
    here = Path(__file__).parent
    for name in _FORK_SERVER_MODULES:
        shutil.copyfile(here / f"{name}.py", package / f"{name}.py")
    shutil.copyfile(here.parent / "guest/python/bootstrap.py", root / INSIDE_BOOTSTRAP.lstrip("/"))
