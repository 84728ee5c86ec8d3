"""Environments as ordinary processes, for machines that allow nothing better. Isolates nothing, and says so.

Functions run as squib's own user, see its files and network, and share its memory and processor. What is
kept: one process group each, the Runtime API on a port of its own, limits on descriptors and core dumps.
Running out of memory cannot be told from other kills.
"""

import asyncio
import logging
import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from squib.environment.driver import (
    NO_CLONES,
    NO_EXTENSIONS,
    End,
    EndCause,
    LogSource,
    RuntimeUnavailable,
    Sandbox,
    SandboxSpec,
    Wiring,
)
from squib.environment.drivers.log_pipes import MAX_PIPE_BYTES, PIPE_BYTES, READ_BYTES, LogPipes
from squib.environment.runtimes import Runtime, RuntimeKind
from squib.environment.tracing.trace_daemon import bound
from squib.environment.variables import xray_variables
from squib.model.errors import PlatformError
from squib.model.limits import FILE_DESCRIPTORS
from squib.model.units import EnvironmentId

_log: Final = logging.getLogger("squib.environment")
_END_TIMEOUT_S: Final = 10.0
_CREDENTIALS: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_BOOTSTRAP: Final = Path(__file__).parents[1] / "guest" / "python" / "bootstrap.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainOptions:
    """`code_dir` holds unpacked code by digest; `work_dir` gets one folder for each environment."""

    code_dir: Path
    work_dir: Path


class PlainDriver:
    """Implements driver.SandboxDriver."""

    name = "plain"
    starts_extensions = False
    clones = False

    def __init__(
        self, runtimes: Mapping[str, Runtime], unavailable: Mapping[str, str], options: PlainOptions
    ) -> None:
        """`unavailable`: what to say of known runtimes that can't run here, by name."""
        self._runtimes, self._unavailable, self._options = runtimes, unavailable, options
        self._sandboxes: set[PlainSandbox] = set()
        shutil.rmtree(options.work_dir, ignore_errors=True)
        options.work_dir.mkdir(parents=True)
        _log.warning("functions are NOT isolated: they run as plain processes of this user")

    def memory_bytes(self) -> int | None:
        """See driver.SandboxDriver."""
        return None

    async def prepare(self, runtime: str) -> None:
        """See driver.SandboxDriver."""
        found = self._find(runtime)
        for path in filter(None, (found.interpreter, found.client_dir)):
            if not os.access(path, os.X_OK):  # root found it, but no longer runs it
                raise RuntimeUnavailable(
                    f"{runtime} is at {path}, which is closed to squib's account (uid {os.getuid()}): "
                    "install it where every account may read and execute it, such as below /usr or /opt, "
                    "start squib as an account that may (--user), or use --isolation sandbox"
                )

    def _find(self, runtime: str) -> Runtime:
        if runtime not in self._runtimes:
            reason = self._unavailable.get(runtime, f"squib does not know the runtime {runtime}")
            raise RuntimeUnavailable(reason)
        return self._runtimes[runtime]

    async def create(self, spec: SandboxSpec, wiring: Wiring) -> "PlainSandbox":
        """See driver.SandboxDriver."""
        runtime = self._find(spec.runtime)
        if spec.extensions:
            raise RuntimeUnavailable(NO_EXTENSIONS)
        code = self._options.code_dir / spec.code
        if not code.is_dir():
            raise PlatformError("the function's code is not on this node")
        opt = None if spec.opt is None else self._options.code_dir / spec.opt
        if opt is not None and not opt.is_dir():
            raise PlatformError("the function's layers are not on this node")
        work = self._options.work_dir / spec.environment_id
        work.mkdir()
        sandbox = PlainSandbox(self, spec, wiring, runtime, code, opt, work)
        self._sandboxes.add(sandbox)
        try:
            await sandbox.open()
        except OSError as error:
            await sandbox.destroy()
            raise PlatformError(f"no process could be started: {error}") from error
        except BaseException:
            await sandbox.destroy()
            raise
        return sandbox

    async def clone(self, template: Sandbox, environment_id: EnvironmentId, wiring: Wiring) -> "PlainSandbox":
        """See driver.SandboxDriver."""
        raise PlatformError(NO_CLONES)

    def forget(self, sandbox: "PlainSandbox") -> None:
        """The sandbox is no more."""
        self._sandboxes.discard(sandbox)

    async def close(self) -> None:
        """See driver.SandboxDriver."""
        for sandbox in list(self._sandboxes):
            await sandbox.destroy()
        shutil.rmtree(self._options.work_dir, ignore_errors=True)


class PlainSandbox:
    """Implements driver.Sandbox."""

    def __init__(
        self,
        driver: PlainDriver,
        spec: SandboxSpec,
        wiring: Wiring,
        runtime: Runtime,
        code: Path,
        opt: Path | None,
        work: Path,
    ) -> None:
        self._driver, self._spec, self._wiring, self._runtime = driver, spec, wiring, runtime
        self._code, self._opt, self._work = code, opt, work
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._traces: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = self._status = -1
        self._output = self._telemetry = -1
        self._pipes = LogPipes()
        self._peak_bytes = 0
        self._is_frozen = False
        self._is_destroyed = False
        self._ended = asyncio.Event()

    async def open(self) -> None:
        """Opens the Runtime API and starts the first runtime."""
        listener = socket.create_server(("127.0.0.1", 0))
        if self._spec.is_traced:
            self._traces = bound(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0)
        self._server = await self._loop.create_server(self._wiring.runtime_api, sock=listener)
        await self._start(listener.getsockname()[1])

    async def _start(self, port: int) -> None:
        output, output_end = os.pipe2(os.O_CLOEXEC)
        telemetry, telemetry_end = os.pipe2(os.O_CLOEXEC)
        for fd in (output, telemetry):
            os.set_blocking(fd, False)
        self._output, self._telemetry = output, telemetry
        self._pipes.add(output, LogSource.OUTPUT)
        self._pipes.add(telemetry, LogSource.TELEMETRY)
        self._ended.clear()
        if self._process is None:
            self._wiring.on_start()
        try:
            self._process = await asyncio.to_thread(
                subprocess.Popen,
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output_end,
                stderr=output_end,
                pass_fds=(telemetry_end,),
                env=self._variables(port, telemetry_end),
                cwd=self._code,
                start_new_session=True,
            )
        finally:
            os.close(output_end)
            os.close(telemetry_end)
        pid = self._process.pid
        self._pidfd = os.pidfd_open(pid)
        self._status = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FILE_DESCRIPTORS, FILE_DESCRIPTORS))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        self._loop.add_reader(self._pidfd, self._on_exit)
        self._loop.add_reader(output, self._read, output, LogSource.OUTPUT)
        self._loop.add_reader(telemetry, self._read, telemetry, LogSource.TELEMETRY)

    def _command(self) -> list[str]:
        command, wrapper = self._unwrapped_command(), self._spec.wrapper
        if wrapper is None:
            return command
        if self._runtime.kind is RuntimeKind.PYTHON:
            command = [command[0], str(_BOOTSTRAP)]
        return [wrapper, *command]

    def _unwrapped_command(self) -> list[str]:
        runtime = self._runtime
        if runtime.kind is RuntimeKind.PROVIDED:
            bootstrap = self._code / "bootstrap"
            if self._opt is not None and not bootstrap.exists():
                bootstrap = self._opt / "bootstrap"
            return [str(bootstrap)]
        assert runtime.interpreter is not None and runtime.client_dir is not None
        if runtime.kind is RuntimeKind.NODEJS:
            return [str(runtime.interpreter), str(runtime.client_dir / "bootstrap.js")]
        return [str(runtime.interpreter), "-S", "-m", "awslambdaric", self._spec.handler]

    def _variables(self, port: int, telemetry: int) -> dict[str, str]:
        given, runtime = self._spec.variables, self._runtime
        variables = {
            **given,
            **({} if self._traces is None else xray_variables(self._traces.getsockname()[1])),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "_LAMBDA_TELEMETRY_LOG_FD": str(telemetry),
            "LAMBDA_TASK_ROOT": str(self._code),
            "LAMBDA_RUNTIME_DIR": str(runtime.client_dir or ""),
            "LANG": "C.UTF-8",
            "PATH": ":".join([os.environ.get("PATH", os.defpath), *self._in_layers("bin")]),
            "TMPDIR": str(self._work),
            "LD_LIBRARY_PATH": ":".join(
                [*map(str, runtime.library_dirs), f"{self._code}/lib", *self._in_layers("lib")]
            ),
        }
        if _CREDENTIALS in given:
            variables[_CREDENTIALS] = given[_CREDENTIALS].replace(":9001/", f":{port}/")
        if runtime.kind is RuntimeKind.PYTHON:
            layers = self._in_layers(f"python/lib/{runtime.name}/site-packages", "python")
            own = given.get("PYTHONPATH", "").replace("/var/runtime", "").strip(":")
            parts = (str(self._code), *layers, *self._moved(own), str(runtime.client_dir))
            variables["PYTHONPATH"] = ":".join(parts)
        elif "NODE_PATH" in given:
            variables["NODE_PATH"] = ":".join(self._moved(given["NODE_PATH"]))
        return variables

    def _in_layers(self, *folders: str) -> list[str]:
        """Folders of the function's layers: there is no /opt here, so variables name where they lie."""
        return [] if self._opt is None else [f"{self._opt}/{folder}" for folder in folders]

    def _moved(self, paths: str) -> list[str]:
        """The parts of a path variable, those below /opt turned into where the layers lie."""
        parts = [part for part in paths.split(":") if part]
        below = [part.removeprefix("/opt/") if part.startswith("/opt/") else None for part in parts]
        moved = (
            [part] if folder is None else self._in_layers(folder)
            for part, folder in zip(parts, below, strict=True)
        )
        return [part for some in moved for part in some]

    # --- what comes out

    def _read(self, fd: int, source: LogSource) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._wiring.on_log(source, data)
        else:
            self._loop.remove_reader(fd)

    def drain_logs(self) -> None:
        """See driver.Sandbox."""
        self._drain(PIPE_BYTES)

    def _drain(self, limit_bytes: int) -> None:
        self._pipes.drain(limit_bytes, self._wiring.on_log)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        assert self._process is not None
        self._signal(signal.SIGKILL)  # what it started goes with it; a zombie still keeps the group's id
        status = self._process.wait()
        self._drain(MAX_PIPE_BYTES)  # what it started in another group may go on writing
        self._close_fds()
        self._is_frozen = False
        self._ended.set()
        if not self._is_destroyed:
            cause = EndCause.SIGNALED if status < 0 else EndCause.EXITED
            self._wiring.on_end(End(cause=cause, status=abs(status)))

    def _close_fds(self) -> None:
        self._pipes.clear()
        for fd in (self._output, self._telemetry):
            if fd >= 0:
                self._loop.remove_reader(fd)
                os.close(fd)
        for fd in (self._pidfd, self._status):
            if fd >= 0:
                os.close(fd)
        self._output = self._telemetry = self._pidfd = self._status = -1

    # --- control

    def _signal(self, number: int) -> None:
        """To the whole process group."""
        if self._process is not None and not self._ended.is_set():
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                pass

    def freeze(self) -> None:
        """See driver.Sandbox."""
        if not self._is_frozen and not self._ended.is_set():
            self._is_frozen = True
            self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """See driver.Sandbox."""
        if self._is_frozen:
            self._is_frozen = False
            self._signal(signal.SIGCONT)

    def memory_peak_bytes(self) -> int:
        """See driver.Sandbox. Of the runtime's own process only."""
        if self._status >= 0:
            try:
                text = os.pread(self._status, 4096, 0)
            except OSError:  # it ends just now
                return self._peak_bytes
            at = text.find(b"VmHWM:")
            if at >= 0:
                self._peak_bytes = max(self._peak_bytes, int(text[at + 6 :].split(None, 1)[0]) * 1024)
        return self._peak_bytes

    def begin_runtime(self) -> None:
        """See driver.Sandbox. There are no extensions here that a runtime would wait for."""

    def terminate_runtime(self) -> None:
        """See driver.Sandbox."""
        if self._process is not None and not self._ended.is_set():
            self._process.send_signal(signal.SIGTERM)

    def kill_runtime(self) -> None:
        """See driver.Sandbox."""
        self._signal(signal.SIGKILL)

    async def open_socket(self) -> socket.socket:
        """See driver.Sandbox. Its network is the host's."""
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        return made

    async def trace_socket(self) -> socket.socket:
        """See driver.Sandbox."""
        if self._traces is None:
            raise OSError("the sandbox is not traced")
        return self._traces.dup()

    async def restart(self) -> None:
        """See driver.Sandbox."""
        await self.kill()
        assert self._server is not None
        try:
            await self._start(self._server.sockets[0].getsockname()[1])
        except OSError as error:
            raise PlatformError(f"no process could be started: {error}") from error

    async def kill(self) -> None:
        """See driver.Sandbox."""
        if self._process is None or self._ended.is_set():
            return
        self._signal(signal.SIGKILL)
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._ended.wait()
        except TimeoutError as error:
            raise PlatformError("a function's process does not end") from error

    async def destroy(self) -> None:
        """See driver.Sandbox."""
        if self._is_destroyed:
            return
        self._is_destroyed = True
        await self.kill()
        self._close_fds()
        if self._server is not None:
            self._server.close()
        if self._traces is not None:
            self._traces.close()
        self._driver.forget(self)
        await asyncio.to_thread(shutil.rmtree, self._work, True)
