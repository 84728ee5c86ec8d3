"""Starts a squib of one's own, and stops it whatever happens."""

import ctypes
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SQUIB = str(Path(sys.executable).with_name("squib"))
READY = "squib ready on "
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 45
PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """squib did not start; the message ends with what it logged."""


@dataclass(frozen=True)
class Server:
    """A squib that takes requests."""

    url: str
    data_dir: Path
    environment: Mapping[str, str]
    """What `squib env` prints."""


@contextmanager
def running(arguments: Sequence[str] = ()) -> Iterator[Server]:
    """A squib on a free port, with a data directory that is removed afterwards. Raises ServerError."""
    # libc is loaded here: between fork and exec only the call itself is safe.
    prctl = ctypes.CDLL(None).prctl
    folder = Path(tempfile.mkdtemp(prefix="squib-demo-"))
    folder.chmod(0o711)  # squib gives up root and must still reach its data
    data_dir, log = folder / "data", folder / "squib.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SQUIB_", "AWS_"))}
    command = [SQUIB, "serve", "--config", os.devnull, "--port", "0", "--data-dir", str(data_dir), *arguments]
    try:
        with log.open("wb") as log_file:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env=clean,
                start_new_session=True,  # Ctrl-C is for us; we stop squib in good order
                preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        try:
            url = _wait_until_ready(process, log)
            output = subprocess.run(
                [SQUIB, "env", "--config", os.devnull, "--data-dir", str(data_dir)],
                env=clean,
                capture_output=True,
                text=True,
                check=False,
            )
            if output.returncode:
                raise ServerError(output.stderr.strip())
            exports = (shlex.split(line) for line in output.stdout.splitlines())
            yield Server(url, data_dir, dict(words[1].split("=", 1) for words in exports if len(words) == 2))
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            print(f"could not remove {folder}", file=sys.stderr)


def _wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    assert process.stdout is not None
    received = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            break
        chunk = os.read(process.stdout.fileno(), 65_536)
        if not chunk:
            raise ServerError(f"squib ended with exit code {process.wait()}:\n{_tail(log)}")
        received += chunk
        for line in received.decode(errors="replace").splitlines(keepends=True):
            if line.startswith(READY) and line.endswith("\n"):
                return line.removeprefix(READY).strip()
    raise ServerError(f"squib was not ready within {START_TIMEOUT_S} s:\n{_tail(log)}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            print(f"squib did not stop within {STOP_TIMEOUT_S} s: killing it", file=sys.stderr)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    finally:
        signal.signal(signal.SIGINT, old)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])
