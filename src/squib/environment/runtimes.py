"""Lambda runtime names, what runs each of them on this machine, and the clients that speak the Runtime API.

A Python runtime needs an interpreter of that version and AWS's runtime interface client installed for it;
a Node.js runtime needs only the interpreter, as its client ships with squib; `provided` brings its own.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Final

from squib.environment.interpreters import (
    NODE_MAJORS,
    PYTHON_MINORS,
    Interpreter,
    Language,
    Places,
    find_interpreters,
    standard_folders,
)
from squib.model.errors import SquibError

INSIDE_PREFIX: Final = "/var/lang"
"""Where an interpreter's prefix shows in a sandbox when it is not under /usr."""
INSIDE_CLIENT: Final = "/var/runtime"
"""Where a client shows in a sandbox."""
INSIDE_BOOTSTRAP: Final = "/var/rapid/bootstrap.py"
"""What runs the Python client when it is not forked: under AWS_LAMBDA_EXEC_WRAPPER, and with an own
LD_LIBRARY_PATH."""

PROVIDED: Final = ("provided.al2", "provided.al2023")
_GUEST: Final = Path(__file__).parent / "guest"
_MARKER: Final = ".squib-installed.json"
_INSTALL_TIMEOUT_S: Final = 900.0
_OTHER_LANGUAGES: Final = re.compile(r"(java|dotnet|dotnetcore|ruby|go)\d.*")
_OLDER_VERSIONS: Final = re.compile(r"python3\.[0-8]|nodejs(4\.3|6\.10|8\.10|1[0-7]\.x)")


class RuntimeInstallError(SquibError):
    """A client could not be installed; the message says why and what to do."""


class RuntimeKind(StrEnum):
    """How a runtime is started."""

    PYTHON = "python"  # interpreter + awslambdaric in client_dir
    NODEJS = "nodejs"  # interpreter + bootstrap.js in client_dir
    PROVIDED = "provided"  # the function's own `bootstrap`


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A Lambda runtime that can run here, now."""

    name: str
    """Lambda's name, such as `python3.12`."""
    kind: RuntimeKind
    version: str
    """Of the interpreter, such as `3.12.1`; empty for `provided`."""
    interpreter: Path | None = None
    """The real file on this machine; None for `provided`."""
    prefix: Path | None = None
    """Folder to show at `INSIDE_PREFIX`; None when the interpreter is under /usr, which shows as itself."""
    library_dirs: tuple[Path, ...] = ()
    """Folders on this machine that the loader must search (LD_LIBRARY_PATH), see `inside`."""
    client_dir: Path | None = None
    """Folder to show at `INSIDE_CLIENT`; None for `provided`."""

    def inside(self, path: Path) -> str:
        """Where a file of this machine shows in a sandbox that has `prefix` at `INSIDE_PREFIX`."""
        if self.prefix is not None and path.is_relative_to(self.prefix):
            return str(INSIDE_PREFIX / path.relative_to(self.prefix))
        return str(path)

    @property
    def interpreter_inside(self) -> str:
        """The interpreter's path in a sandbox. Raises AssertionError for `provided`."""
        assert self.interpreter is not None, f"{self.name} has no interpreter"
        return self.inside(self.interpreter)


def node_options(memory_mib: int) -> tuple[str, ...]:
    """What to tell Node.js about its memory: without it, its heap grows by the machine's and meets the limit.

    A tenth for young objects, of which either half is at most in use; the rest for old ones."""
    young_mib = memory_mib // 10
    return (f"--max-semi-space-size={young_mib // 2}", f"--max-old-space-size={memory_mib - young_mib}")


def default_runtime_dir() -> Path:
    """Where clients are installed unless a setting says otherwise."""
    return Path(sys.prefix) / "share" / "squib" / "runtimes"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSearch:
    """Where interpreters and clients are looked for."""

    extra_paths: tuple[Path, ...] = ()
    """Folders or interpreters named by a setting: they win over those found elsewhere."""
    runtime_dir: Path = field(default_factory=default_runtime_dir)
    folders: tuple[Path, ...] = field(default_factory=lambda: tuple(standard_folders()))

    def places(self) -> Places:
        """The same, for interpreters."""
        return Places(explicit=self.extra_paths, folders=self.folders, cache=self.runtime_dir)


def known_names() -> tuple[str, ...]:
    """Every runtime name that squib can run on some machine."""
    pythons = [f"python3.{minor}" for minor in PYTHON_MINORS]
    nodes = [f"nodejs{major}.x" for major in NODE_MAJORS if major % 2 == 0]
    return (*pythons, *nodes, *PROVIDED)


def interpreters_by_name(search: RuntimeSearch) -> Mapping[str, Interpreter]:
    """The interpreter to use for each runtime name, whether its client is installed or not."""
    chosen: dict[str, Interpreter] = {}
    for interpreter in find_interpreters(search.places()):
        major, minor, _ = interpreter.version
        is_python = interpreter.language is Language.PYTHON
        chosen.setdefault(f"python3.{minor}" if is_python else f"nodejs{major}.x", interpreter)
    return {name: chosen[name] for name in known_names() if name in chosen}


def discover(search: RuntimeSearch) -> Mapping[str, Runtime]:
    """Every runtime that can run here now, by name. Milliseconds when the interpreters are known already."""
    runtimes = {name: Runtime(name=name, kind=RuntimeKind.PROVIDED, version="") for name in PROVIDED}
    for name, interpreter in interpreters_by_name(search).items():
        is_python = interpreter.language is Language.PYTHON
        client_dir = search.runtime_dir / name if is_python else _GUEST / "nodejs"
        if is_python and not (client_dir / _MARKER).is_file():
            continue
        runtimes[name] = Runtime(
            name=name,
            kind=RuntimeKind.PYTHON if is_python else RuntimeKind.NODEJS,
            version=interpreter.version_text,
            interpreter=interpreter.path,
            prefix=None if interpreter.is_system else interpreter.prefix,
            library_dirs=interpreter.library_dirs,
            client_dir=client_dir,
        )
    return runtimes


def unavailable_reason(name: str, search: RuntimeSearch) -> str:
    """Why `name` cannot run here and what to do about it; empty when it can."""
    if name in discover(search):
        return ""
    if name not in known_names():
        if _OTHER_LANGUAGES.fullmatch(name):
            return f"squib cannot run {name} yet: it runs Python, Node.js and provided runtimes"
        if _OLDER_VERSIONS.fullmatch(name):
            return (
                f"squib cannot run {name}: its runtime interface clients are for python3.{PYTHON_MINORS[0]}, "
                f"nodejs{NODE_MAJORS[0]}.x and newer; move the function to one that `squib runtimes list` "
                "calls ready"
            )
        return f"squib knows no runtime named {name!r}"
    if name in interpreters_by_name(search):
        return f"the runtime interface client of {name} is not installed: run `squib runtimes install {name}`"
    if name.startswith("python"):
        return f"{name} is not on this machine: install it, then run `squib runtimes install {name}`"
    major = name.removeprefix("nodejs").removesuffix(".x")
    return (
        f"{name} needs Node.js {major}, which is not on this machine: install it where squib looks "
        f"(`squib runtimes list` shows what was found) or name its folder in the setting runtime-path"
    )


# --- installation


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One client in place."""

    name: str
    client_dir: Path
    size_bytes: int
    duration_s: float
    is_new: bool
    """False when it was there already."""


def requirements_file(name: str) -> Path:
    """The pinned packages of a Python runtime's client."""
    special = _GUEST / "python" / f"client-{name}.txt"
    return special if special.is_file() else _GUEST / "python" / "client.txt"


def requirements_digest(name: str) -> str:
    """Changes when the pinned packages of a Python runtime's client do."""
    return hashlib.sha256(requirements_file(name).read_bytes()).hexdigest()


def install(name: str, search: RuntimeSearch, *, say: Callable[[str], None] = print) -> Installed:
    """Installs the client of `name` unless it is there as pinned; safe to repeat and to interrupt.

    Blocks for seconds. Raises RuntimeInstallError."""
    started_s = time.monotonic()
    target = search.runtime_dir / name
    if name in discover(search) and not name.startswith("python"):
        say(f"{name}: nothing to install")
        return Installed(name=name, client_dir=target, size_bytes=0, duration_s=0.0, is_new=False)
    interpreter = interpreters_by_name(search).get(name)
    if interpreter is None:
        raise RuntimeInstallError(unavailable_reason(name, search))
    wanted = {"name": name, "requirements": requirements_digest(name)}
    try:
        search.runtime_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
        with _locked(search.runtime_dir):
            if _read_marker(target) == wanted:
                say(f"{name}: already installed")
                size = _size_bytes(target)
                return Installed(name=name, client_dir=target, size_bytes=size, duration_s=0.0, is_new=False)
            say(f"{name}: installing its runtime interface client and boto3 ...")
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=search.runtime_dir) as scratch:
                fresh = Path(scratch) / "client"
                _pip_install(requirements_file(name), name.removeprefix("python"), fresh)
                _trim(fresh)
                _compile(interpreter.path, fresh)
                _check(interpreter.path, fresh)
                (fresh / _MARKER).write_text(json.dumps(wanted))
                if target.exists():
                    target.rename(Path(scratch) / "old")
                fresh.rename(target)
    except OSError as error:
        raise RuntimeInstallError(f"{name}: cannot write {search.runtime_dir}: {error}") from error
    duration_s = time.monotonic() - started_s
    size_bytes = _size_bytes(target)
    say(f"{name}: installed in {duration_s:.1f} s, {size_bytes / 1e6:.0f} MB, for {interpreter.path}")
    return Installed(name=name, client_dir=target, size_bytes=size_bytes, duration_s=duration_s, is_new=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


def _read_marker(client_dir: Path) -> object:
    try:
        return json.loads((client_dir / _MARKER).read_bytes())
    except (OSError, ValueError):
        return None


def _pip_install(requirements: Path, version: str, target: Path) -> None:
    """Wheels only: one pip serves every Python version, and no compiler is needed."""
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check")
    pinned = ("--no-compile", "--no-deps", "--require-hashes", "--requirement", str(requirements))
    foreign = ("--only-binary=:all:", "--implementation=cp", f"--python-version={version}")
    _run("pip", [sys.executable, "-m", "pip", "install", *quiet, *pinned, *foreign, f"--target={target}"])


def _compile(interpreter: Path, target: Path) -> None:
    """Byte code that holds wherever the folder shows, and names files as a function sees them."""
    command = (str(interpreter), "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash")
    _run("compileall", [*command, "-s", str(target), "-p", INSIDE_CLIENT, str(target)])


def _check(interpreter: Path, target: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import runtime_client, awslambdaric, boto3"
    _run("the installed client", [str(interpreter), "-I", "-S", "-B", "-c", code, str(target)])


def _run(what: str, command: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            umask=0o022,
            timeout=_INSTALL_TIMEOUT_S,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeInstallError(f"{what} did not end within {_INSTALL_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        if "No module named pip" in done.stdout:
            raise RuntimeInstallError(f"pip is missing: run `{sys.executable} -m ensurepip`")
        raise RuntimeInstallError(f"{what} failed (exit {done.returncode}):\n{done.stdout.strip()[-2000:]}")


def _trim(target: Path) -> None:
    """Drops what no function imports: commands whose first line names another machine's path, and tests."""
    shutil.rmtree(target / "bin", ignore_errors=True)
    for tests in sorted(target.glob("*/tests")):
        shutil.rmtree(tests)


def _size_bytes(folder: Path) -> int:
    return sum(
        os.lstat(os.path.join(root, file)).st_size for root, _, files in os.walk(folder) for file in files
    )


# --- commands


def main_list(search: RuntimeSearch) -> str:
    """The table that `squib runtimes list` prints."""
    runtimes = discover(search)
    rows = [("RUNTIME", "STATUS", "VERSION", "INTERPRETER")]
    found = interpreters_by_name(search)
    for name in known_names():
        interpreter = found.get(name)
        status = "ready" if name in runtimes else "not installed" if interpreter else "not on this machine"
        version = interpreter.version_text if interpreter else "-"
        rows.append((name, status, version, str(interpreter.path) if interpreter else "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    if any(name not in runtimes for name in found):
        lines.append("\nInstall the missing ones with `squib runtimes install --all`.")
    return "\n".join(lines)


def main_install(
    names: Sequence[str],
    search: RuntimeSearch,
    *,
    install_all: bool = False,
    say: Callable[[str], None] = print,
) -> int:
    """`squib runtimes install`: the runtimes named, or all whose interpreter is here. Gives the exit code."""
    wanted = list(interpreters_by_name(search)) if install_all else list(dict.fromkeys(names))
    if not wanted:
        say("Name a runtime (see `squib runtimes list`) or give --all.")
        return 2
    failed = 0
    for name in wanted:
        try:
            install(name, search, say=say)
        except RuntimeInstallError as error:
            say(f"{name}: {error}")
            failed += 1
    return 1 if failed else 0
