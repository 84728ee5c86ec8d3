"""Which runtimes are found, which is preferred, and what is said about the others."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squib.environment import runtimes
from squib.environment.interpreters import (
    CACHE_NAME,
    Interpreter,
    Language,
    Places,
    find_interpreters,
    standard_folders,
)
from squib.environment.runtimes import Runtime, RuntimeInstallError, RuntimeKind, RuntimeSearch

TRUE = Path("/bin/true").resolve()

Say = Callable[[Path, str, dict[str, Any]], Path]


@pytest.fixture
def machine(tmp_path: Path) -> Say:
    """Places programs that are remembered to have answered as given."""
    runtime_dir = tmp_path / "runtimes"
    runtime_dir.mkdir()
    known: dict[str, Any] = {}

    def place(folder: Path, name: str, facts: dict[str, Any]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        shutil.copy(TRUE, path)
        found = path.stat()
        known[str(path)] = {"stamp": [found.st_mtime_ns, found.st_size, found.st_ino], "facts": facts}
        content = json.dumps({"format": 1, "interpreters": known})
        (runtime_dir / CACHE_NAME).write_text(content)
        return path

    return place


def python_facts(prefix: Path, version: tuple[int, int, int], **others: Any) -> dict[str, Any]:
    return {
        "implementation": "cpython",
        "version": list(version),
        "release": "final",
        "prefix": str(prefix),
        "CONFIG_ARGS": "",
        "Py_ENABLE_SHARED": 0,
        "LIBDIR": str(prefix / "lib"),
        "Py_DEBUG": 0,
        "Py_GIL_DISABLED": None,
        **others,
    }


def search(tmp_path: Path, *folders: Path, extra: tuple[Path, ...] = ()) -> RuntimeSearch:
    return RuntimeSearch(extra_paths=extra, runtime_dir=tmp_path / "runtimes", folders=folders)


def mark_installed(tmp_path: Path, name: str) -> Path:
    client = tmp_path / "runtimes" / name
    client.mkdir(parents=True)
    (client / ".squib-installed.json").write_text("{}")
    return client


def test_provided_runtimes_need_nothing(tmp_path: Path) -> None:
    found = runtimes.discover(search(tmp_path))
    assert set(found) == {"provided.al2", "provided.al2023"}
    assert found["provided.al2023"].kind is RuntimeKind.PROVIDED


def test_python_with_installed_client_runs_under_var_lang(tmp_path: Path, machine: Say) -> None:
    prefix = tmp_path / "opt" / "py"
    (prefix / "lib").mkdir(parents=True)
    path = machine(
        prefix / "bin", "python3.12", python_facts(prefix, (3, 12, 4), Py_ENABLE_SHARED=1, CONFIG_ARGS="")
    )
    client = mark_installed(tmp_path, "python3.12")
    found = runtimes.discover(search(tmp_path, prefix / "bin"))["python3.12"]
    assert found == Runtime(
        name="python3.12",
        kind=RuntimeKind.PYTHON,
        version="3.12.4",
        interpreter=path,
        prefix=prefix,
        library_dirs=(prefix / "lib",),
        client_dir=client,
    )
    assert found.interpreter_inside == "/var/lang/bin/python3.12"
    assert [found.inside(one) for one in found.library_dirs] == ["/var/lang/lib"]
    assert found.inside(Path("/usr/bin/env")) == "/usr/bin/env"


def test_python_without_client_is_not_runnable_and_says_so(tmp_path: Path, machine: Say) -> None:
    prefix = tmp_path / "opt" / "py"
    machine(prefix / "bin", "python3.13", python_facts(prefix, (3, 13, 0)))
    where = search(tmp_path, prefix / "bin")
    assert "python3.13" not in runtimes.discover(where)
    assert runtimes.unavailable_reason("python3.13", where) == (
        "the runtime interface client of python3.13 is not installed: run `squib runtimes install python3.13`"
    )


def test_node_runs_only_its_own_major(tmp_path: Path, machine: Say) -> None:
    prefix = tmp_path / "nvm" / "v22"
    machine(prefix / "bin", "node", {"version": [22, 11, 0]})
    where = search(tmp_path, prefix / "bin")
    found = runtimes.discover(where)
    assert found["nodejs22.x"].kind is RuntimeKind.NODEJS
    assert found["nodejs22.x"].client_dir is not None
    assert (found["nodejs22.x"].client_dir / "bootstrap.js").is_file()
    assert "nodejs20.x" not in found
    assert runtimes.unavailable_reason("nodejs20.x", where).startswith(
        "nodejs20.x needs Node.js 20, which is not on this machine"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "python3.14",
            "python3.14 is not on this machine: install it, then run `squib runtimes install python3.14`",
        ),
        ("java21", "squib cannot run java21 yet: it runs Python, Node.js and provided runtimes"),
        ("dotnet8", "squib cannot run dotnet8 yet: it runs Python, Node.js and provided runtimes"),
        ("ruby3.4", "squib cannot run ruby3.4 yet: it runs Python, Node.js and provided runtimes"),
        *(
            (
                name,
                f"squib cannot run {name}: its runtime interface clients are for python3.9, nodejs18.x and "
                "newer; move the function to one that `squib runtimes list` calls ready",
            )
            for name in ("python3.8", "nodejs16.x")
        ),
        ("cobol85", "squib knows no runtime named 'cobol85'"),
        ("provided.al2", ""),
    ],
)
def test_what_is_said_about_a_runtime_on_a_bare_machine(tmp_path: Path, name: str, reason: str) -> None:
    assert runtimes.unavailable_reason(name, search(tmp_path)) == reason


def test_optimized_build_wins_over_newer_patch(tmp_path: Path, machine: Say) -> None:
    plain, optimized = tmp_path / "a" / "plain", tmp_path / "a" / "optimized"
    machine(plain / "bin", "python3.12", python_facts(plain, (3, 12, 9)))
    best = machine(
        optimized / "bin",
        "python3.12",
        python_facts(optimized, (3, 12, 1), CONFIG_ARGS="'--enable-optimizations'"),
    )
    chosen = runtimes.interpreters_by_name(search(tmp_path, plain / "bin", optimized / "bin"))
    assert chosen["python3.12"].path == best


def test_newer_patch_wins_among_equal_builds(tmp_path: Path, machine: Say) -> None:
    old, new = tmp_path / "a" / "old", tmp_path / "a" / "new"
    machine(old / "bin", "python3.12", python_facts(old, (3, 12, 1)))
    best = machine(new / "bin", "python3.12", python_facts(new, (3, 12, 9)))
    chosen = runtimes.interpreters_by_name(search(tmp_path, old / "bin", new / "bin"))
    assert chosen["python3.12"].path == best


@pytest.mark.parametrize("names_a_file", [True, False])
def test_named_interpreter_wins_over_all(tmp_path: Path, machine: Say, names_a_file: bool) -> None:
    named, other = tmp_path / "a" / "named", tmp_path / "a" / "other"
    mine = machine(named / "bin", "python3.12", python_facts(named, (3, 12, 1)))
    machine(
        other / "bin", "python3.12", python_facts(other, (3, 12, 9), CONFIG_ARGS="--enable-optimizations")
    )
    extra = (mine if names_a_file else named / "bin",)
    chosen = runtimes.interpreters_by_name(search(tmp_path, other / "bin", extra=extra))
    assert chosen["python3.12"].path == mine


@pytest.mark.parametrize(
    "difference",
    [
        {"implementation": "pypy"},
        {"Py_DEBUG": 1},
        {"Py_GIL_DISABLED": 1},
        {"version": [3, 8, 1]},
        {"version": [3, 16, 0]},
        {"prefix": "/elsewhere/python"},
    ],
)
def test_unfit_interpreter_is_passed_over(tmp_path: Path, machine: Say, difference: dict[str, Any]) -> None:
    prefix = tmp_path / "a" / "py"
    machine(prefix / "bin", "python3.12", python_facts(prefix, (3, 12, 1)) | difference)
    assert runtimes.interpreters_by_name(search(tmp_path, prefix / "bin")) == {}


def test_interpreter_whose_prefix_is_a_home_is_passed_over(
    tmp_path: Path, machine: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / "ada"
    machine(home / "bin", "node", {"version": [22, 1, 0]})
    assert "nodejs22.x" in runtimes.interpreters_by_name(search(tmp_path, home / "bin"))
    monkeypatch.setenv("HOME", str(home))
    assert runtimes.interpreters_by_name(search(tmp_path, home / "bin")) == {}


def test_shims_and_strangers_are_not_interpreters(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    shim = folder / "python3.12"
    ran = tmp_path / "ran"
    shim.write_text(f"#!/bin/sh\ntouch {ran}\n")
    shim.chmod(0o755)
    shutil.copy(TRUE, folder / "node")  # a program, but `--version` answers something else
    assert find_interpreters(Places(folders=(folder,))) == ()
    assert not ran.exists()


def test_interpreter_is_run_once_and_again_when_it_changes(tmp_path: Path, machine: Say) -> None:
    prefix = tmp_path / "a" / "node"
    path = machine(prefix / "bin", "node", {"version": [20, 1, 0]})
    where = search(tmp_path, prefix / "bin")
    assert "nodejs20.x" in runtimes.interpreters_by_name(where)  # remembered: /bin/true was not asked
    os.utime(path, ns=(1, 1))
    assert runtimes.interpreters_by_name(where) == {}
    memory = json.loads((tmp_path / "runtimes" / CACHE_NAME).read_text())
    assert memory["interpreters"][str(path)]["facts"] is None


@pytest.mark.parametrize("content", ["", "[]", '{"format": 99}', '{"format": 1, "interpreters": 3}'])
def test_broken_memory_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "runtimes").mkdir()
    (tmp_path / "runtimes" / CACHE_NAME).write_text(content)
    assert set(runtimes.discover(search(tmp_path))) == set(runtimes.PROVIDED)


def test_interpreter_running_this_is_found_and_true_to_itself() -> None:
    base = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    found = {one.path: one for one in find_interpreters(Places(folders=(base.parent,)))}
    mine = found[base]
    assert mine.language is Language.PYTHON
    assert mine.version == sys.version_info[:3]
    assert mine.is_system == base.is_relative_to("/usr")


def test_standard_folders_name_the_version_managers(tmp_path: Path) -> None:
    expected = [
        tmp_path / "home/.pyenv/versions/3.12.1/bin",
        tmp_path / "home/.local/share/uv/python/cpython-3.13/bin",
        tmp_path / "home/.nvm/versions/node/v22.1.0/bin",
        tmp_path / "opt/python/bin",
    ]
    for folder in expected:
        folder.mkdir(parents=True)
    found = list(standard_folders(path="relative:/first/bin", home=tmp_path / "home", root=tmp_path))
    assert set(expected) <= set(found)
    assert Path("/first/bin") in found
    assert Path("relative") not in found


def test_list_shows_every_name_once(tmp_path: Path, machine: Say) -> None:
    prefix = tmp_path / "opt" / "py"
    machine(prefix / "bin", "python3.12", python_facts(prefix, (3, 12, 4)))
    text = runtimes.main_list(search(tmp_path, prefix / "bin"))
    rows = {line.split()[0]: line for line in text.splitlines()[1:] if line}
    assert set(runtimes.known_names()) <= set(rows)
    assert "not installed" in rows["python3.12"] and str(prefix / "bin/python3.12") in rows["python3.12"]
    assert "not on this machine" in rows["python3.13"]
    assert "ready" in rows["provided.al2"]
    assert text.endswith("Install the missing ones with `squib runtimes install --all`.")


def test_installing_what_is_not_here_says_what_to_do(tmp_path: Path) -> None:
    said: list[str] = []
    assert runtimes.main_install(["python3.12", "java21"], search(tmp_path), say=said.append) == 1
    assert said == [
        "python3.12: python3.12 is not on this machine: install it, "
        "then run `squib runtimes install python3.12`",
        "java21: squib cannot run java21 yet: it runs Python, Node.js and provided runtimes",
    ]
    assert runtimes.main_install([], search(tmp_path), say=said.append) == 2


def test_installed_client_is_not_installed_again(tmp_path: Path, machine: Say) -> None:
    prefix = tmp_path / "opt" / "py"
    machine(prefix / "bin", "python3.12", python_facts(prefix, (3, 12, 4)))
    where = search(tmp_path, prefix / "bin")
    client = mark_installed(tmp_path, "python3.12")
    digest = runtimes.requirements_digest("python3.12")
    (client / ".squib-installed.json").write_text(json.dumps({"name": "python3.12", "requirements": digest}))
    said: list[str] = []
    done = runtimes.install("python3.12", where, say=said.append)
    assert (done.is_new, done.client_dir) == (False, client)
    assert said == ["python3.12: already installed"]


def test_failed_install_leaves_the_old_client_and_nothing_else(
    tmp_path: Path, machine: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    prefix = tmp_path / "opt" / "py"
    machine(prefix / "bin", "python3.12", python_facts(prefix, (3, 12, 4)))
    where = search(tmp_path, prefix / "bin")
    client = mark_installed(tmp_path, "python3.12")  # of another version: its marker names no pins
    before = sorted(path.name for path in where.runtime_dir.iterdir())
    with pytest.raises(RuntimeInstallError, match="No matching distribution found for awslambdaric"):
        runtimes.install("python3.12", where, say=lambda line: None)
    assert sorted(path.name for path in where.runtime_dir.iterdir()) == sorted([*before, ".lock"])
    assert (client / ".squib-installed.json").read_text() == "{}"


def test_pins_exist_for_every_python_and_name_no_address() -> None:
    for name in runtimes.known_names():
        if name.startswith("python"):
            text = runtimes.requirements_file(name).read_text()
            assert "awslambdaric==" in text and "boto3==" in text and "--hash=sha256:" in text
            assert "://" not in text


def test_installed_clients_import_from_byte_code_that_names_the_inside() -> None:
    ready = [one for one in runtimes.discover(RuntimeSearch()).values() if one.kind is RuntimeKind.PYTHON]
    if not ready:
        pytest.skip("no Python runtime is installed: squib runtimes install --all")
    code = (
        "import sys, marshal; sys.path.insert(0, sys.argv[1]);"
        "import runtime_client, awslambdaric.bootstrap as b;"
        "print(marshal.loads(open(b.__cached__, 'rb').read()[16:]).co_filename)"
    )
    for one in ready:
        done = subprocess.run(
            [str(one.interpreter), "-I", "-S", "-B", "-c", code, str(one.client_dir)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "/var/runtime/awslambdaric/bootstrap.py", one.name


def test_interpreter_version_text() -> None:
    one = Interpreter(
        language=Language.NODEJS, path=Path("/usr/bin/node"), version=(20, 1, 2), prefix=Path("/usr")
    )
    assert one.version_text == "20.1.2"
    assert one.is_system


def test_node_is_told_its_memory() -> None:
    assert runtimes.node_options(128) == ("--max-semi-space-size=6", "--max-old-space-size=116")
    assert runtimes.node_options(10240) == ("--max-semi-space-size=512", "--max-old-space-size=9216")
