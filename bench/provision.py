"""What the benchmark runs with: compiled programs, interpreters, and peers fetched into bench/out."""

import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from squib.environment.runtimes import Runtime, RuntimeKind, RuntimeSearch, discover

HERE: Final = Path(__file__).resolve().parent
OUT: Final = HERE / "out"
FUNCTIONS: Final = HERE / "functions"

EMULATOR_WHEEL: Final = "aws-sam-cli==1.170.0"  # the wheel carries the runtime interface emulator's binary
MINISTACK: Final = "ministack==1.5.33"
FETCH_LIMIT_S: Final = 180


class Missing(Exception):
    """Something a contestant needs cannot be had here; the text says what and how to get it."""


def compiled(name: str) -> Path:
    """The program made from bench/native/NAME.c, compiled anew when its source is newer. Raises Missing."""
    source, program = HERE / "native" / f"{name}.c", OUT / name
    newest_s = max(path.stat().st_mtime for path in (source, source.with_name("http.h")))
    if program.exists() and program.stat().st_mtime > newest_s:
        return program
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Missing("no C compiler here (apt-get install gcc)")
    flags = ["-O2", "-Wall", "-Wextra", "-std=gnu11", "-D_GNU_SOURCE"]
    _run([compiler, *flags, "-o", str(program), str(source)])
    return program


def runtime(kind: RuntimeKind, preferred: str) -> Runtime:
    """squib's own choice for `preferred`, else its newest runtime of that kind. Raises Missing."""
    ready = discover(RuntimeSearch())
    names = [name for name, found in ready.items() if found.kind is kind]
    if not names:
        raise Missing(f"no {kind} runtime here (squib runtimes list)")
    return ready[preferred] if preferred in names else ready[names[-1]]


def emulator() -> Path:
    """AWS's runtime interface emulator. Raises Missing."""
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
    if machine is None:
        raise Missing(f"the emulator has no build for {platform.machine()}")
    program = OUT / f"aws-lambda-rie-{machine}"
    if not program.exists():
        folder = OUT / "download"
        _pip(["download", "--no-deps", "--dest", str(folder), EMULATOR_WHEEL])
        wheel = next(folder.glob("aws_sam_cli-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            program.write_bytes(archive.read(f"samcli/local/rapid/{program.name}"))
        program.chmod(0o755)
        shutil.rmtree(folder)
    return program


def ministack(interpreter: Path) -> Path:
    """MiniStack's command, in an environment of its own made with `interpreter`. Raises Missing."""
    home = OUT / f"{MINISTACK}-{interpreter.name}"
    program = home / "bin" / "ministack"
    if not program.exists():
        shutil.rmtree(home, ignore_errors=True)
        _run([str(interpreter), "-m", "venv", "--without-pip", str(home)])
        _pip(["--python", str(home / "bin" / "python"), "install", MINISTACK])
    return program


def _pip(arguments: Sequence[str]) -> None:
    _run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_LIMIT_S, check=False
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise Missing(f"{Path(command[0]).name} failed: {last[0][:300]}")
