"""Which Python and Node.js interpreters this machine has: found, run once to be sure, remembered.

Knows nothing of Lambda's runtime names. Scripts in an interpreter's place (pyenv's and asdf's shims) are
passed over: a shim chooses by the current directory, and a sandbox has neither it nor its settings.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

PYTHON_MINORS: Final = range(9, 16)  # python3.9 .. python3.15: Lambda runtimes page, and its previews
NODE_MAJORS: Final = range(18, 27)  # Lambda uses the even ones

PROBE_TIMEOUT_S: Final = 10.0
CACHE_NAME: Final = "interpreters.json"
_CACHE_FORMAT: Final = 1

_FOLDERS_IN_ROOT: Final = ("opt/*/bin",)
_FOLDERS_IN_HOME: Final = (
    ".pyenv/versions/*/bin",
    ".local/share/uv/python/*/bin",
    ".nvm/versions/node/*/bin",
    ".asdf/installs/python/*/bin",
    ".asdf/installs/nodejs/*/bin",
    ".local/share/mise/installs/*/*/bin",
    ".local/bin",
)
_SYSTEM_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")

_PYTHON_PROBE: Final = """
import json, sys, sysconfig
names = ("CONFIG_ARGS", "Py_ENABLE_SHARED", "LIBDIR", "Py_DEBUG", "Py_GIL_DISABLED")
found = dict(zip(names, sysconfig.get_config_vars(*names)))
print(json.dumps({"implementation": sys.implementation.name, "version": sys.version_info[:3],
                  "release": sys.version_info[3], "prefix": sys.base_prefix, **found}))
"""


class Language(StrEnum):
    """What an interpreter runs."""

    PYTHON = "python"
    NODEJS = "nodejs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """One interpreter that was run and answered."""

    language: Language
    path: Path
    """The real file on this machine: no symbolic link, no shim."""
    version: tuple[int, int, int]
    prefix: Path
    """The folder that holds all it needs besides /usr; `/usr` itself for one installed there."""
    library_dirs: tuple[Path, ...] = ()
    """Folders of shared libraries that the loader must be told of once the prefix shows elsewhere."""
    is_optimized: bool = False
    """Built with profile-guided optimization: starts about 15 % faster."""
    is_release: bool = True
    """False for an alpha, beta or candidate."""

    @property
    def is_system(self) -> bool:
        """Lies under /usr."""
        return self.prefix.is_relative_to("/usr")

    @property
    def version_text(self) -> str:
        """`3.12.1`."""
        return ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where to look, in order. `explicit` entries may be folders or interpreters and win over all others."""

    explicit: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = field(default_factory=lambda: tuple(standard_folders()))
    cache: Path | None = None
    """Folder for the memory of what was found; None keeps none."""


def standard_folders(
    *, path: str | None = None, home: Path | None = None, root: Path = Path("/")
) -> Iterator[Path]:
    """The interpreter running this, PATH, the system's folders, then those of the common version managers.

    `path` and `home` default to the process's own."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    yield Path(base).parent
    for entry in (os.environ.get("PATH", "") if path is None else path).split(os.pathsep):
        if entry.startswith("/"):
            yield Path(entry)
    yield from (root / "usr/bin", root / "usr/local/bin")
    for pattern in _FOLDERS_IN_ROOT:
        yield from sorted(root.glob(pattern))
    try:
        home = home or Path.home()
    except RuntimeError:  # no HOME and no entry in the account file
        return
    for pattern in _FOLDERS_IN_HOME:
        yield from sorted(home.glob(pattern))


def find_interpreters(places: Places) -> tuple[Interpreter, ...]:
    """Every usable interpreter, the one to prefer among equals first.

    Runs each new one once (`PROBE_TIMEOUT_S`); those already known by path, size and time are not run."""
    known = _read_cache(places.cache)
    seen: dict[str, Any] = {}
    explicit: set[Path] = set()
    found: list[Interpreter] = []
    for is_explicit, candidate in _candidates(places):
        real = Path(os.path.realpath(candidate))
        if is_explicit:
            explicit.add(real)
        key = str(real)
        if key in seen or not _is_program(real):
            continue
        stamp = _stamp(real)
        entry = known.get(key)
        if not (isinstance(entry, dict) and entry.get("stamp") == stamp):
            entry = {"stamp": stamp, "facts": _probe(real)}
        seen[key] = entry
        interpreter = _interpreter(real, entry["facts"])
        if interpreter is not None:
            found.append(interpreter)
    if places.cache is not None and seen != known:
        _write_cache(places.cache, seen)
    found.sort(key=lambda one: _rank(one, one.path in explicit), reverse=True)
    return tuple(found)


def _rank(interpreter: Interpreter, is_explicit: bool) -> tuple[bool, bool, bool, tuple[int, int, int]]:
    is_fast = interpreter.is_optimized or interpreter.is_system
    return (is_explicit, interpreter.is_release, is_fast, interpreter.version)


def _candidates(places: Places) -> Iterator[tuple[bool, Path]]:
    names = [f"python3.{minor}" for minor in PYTHON_MINORS] + ["node", "nodejs"]
    for is_explicit, entries in ((True, places.explicit), (False, places.folders)):
        for entry in _once(entries):
            if os.path.isdir(entry):  # false, not an error, for a folder that we may not enter
                for name in names:
                    if os.path.isfile(candidate := entry / name):
                        yield is_explicit, candidate
            elif is_explicit and os.path.isfile(entry):
                yield is_explicit, entry


def _once(entries: Iterable[Path]) -> Iterator[Path]:
    yield from dict.fromkeys(entries)


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF" and os.access(path, os.X_OK)
    except OSError:
        return False


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_mtime_ns, found.st_size, found.st_ino]


def _probe(path: Path) -> dict[str, Any] | None:
    """What the interpreter says of itself; None when it does not answer as one should."""
    is_node = path.name.startswith("node")
    arguments = ["--version"] if is_node else ["-I", "-S", "-c", _PYTHON_PROBE]
    try:
        done = subprocess.run(
            [str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            timeout=PROBE_TIMEOUT_S,
            check=True,
            text=True,
        )
        if is_node:
            matched = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)(-\S+)?", done.stdout.strip())
            return matched and {"version": [int(part) for part in matched.groups()[:3]]}
        facts = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _interpreter(path: Path, facts: dict[str, Any] | None) -> Interpreter | None:
    if facts is None:
        return None
    version = (int(facts["version"][0]), int(facts["version"][1]), int(facts["version"][2]))
    if "implementation" not in facts:
        prefix = _prefix(path, path.parent.parent)
        if version[0] not in NODE_MAJORS or prefix is None:
            return None
        return Interpreter(language=Language.NODEJS, path=path, version=version, prefix=prefix)
    prefix = _prefix(path, Path(facts["prefix"]))
    is_ordinary = (
        facts["implementation"] == "cpython" and not facts["Py_DEBUG"] and not facts["Py_GIL_DISABLED"]
    )
    if not is_ordinary or version[0] != 3 or version[1] not in PYTHON_MINORS or prefix is None:
        return None
    return Interpreter(
        language=Language.PYTHON,
        path=path,
        version=version,
        prefix=prefix,
        library_dirs=_library_dirs(facts),
        is_optimized="--enable-optimizations" in str(facts["CONFIG_ARGS"]),
        is_release=facts["release"] == "final",
    )


def _prefix(path: Path, stated: Path) -> Path | None:
    """The folder to show in a sandbox; None when that would show far more than an interpreter."""
    prefix = Path(os.path.realpath(stated))
    if path.is_relative_to("/usr") and prefix.is_relative_to("/usr"):
        return Path("/usr")
    is_broad = len(prefix.parts) <= 2 or Path(os.path.expanduser("~")).is_relative_to(prefix)
    return None if is_broad or not path.is_relative_to(prefix) else prefix


def _library_dirs(facts: dict[str, Any]) -> tuple[Path, ...]:
    directory = facts["LIBDIR"]
    if not facts["Py_ENABLE_SHARED"] or not directory:
        return ()
    path = Path(os.path.realpath(directory))
    is_default = str(path) in _SYSTEM_LIBRARIES or re.fullmatch(r"(/usr)?/lib/[^/]+-linux-gnu\w*", str(path))
    return () if is_default or not path.is_dir() else (path,)


def _read_cache(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    try:
        content = json.loads((folder / CACHE_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(content, dict) and content.get("format") == _CACHE_FORMAT
    known = content.get("interpreters") if is_ours else None
    return known if isinstance(known, dict) else {}


def _write_cache(folder: Path, seen: dict[str, Any]) -> None:
    """Best effort: a folder that we may not write only costs the probes again."""
    content = json.dumps({"format": _CACHE_FORMAT, "interpreters": seen})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".interpreters-", delete=False) as file:
            file.write(content)
        os.chmod(file.name, 0o644)
        os.replace(file.name, folder / CACHE_NAME)
    except OSError:
        return
