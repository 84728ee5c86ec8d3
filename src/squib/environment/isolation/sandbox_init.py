"""Pid 1 of a sandbox: starts the runtime and extensions, reaps, obeys the daemon. What the function's owner
wrote is first read in the processes it forks, after their privileges are gone.

Standard library only, Python 3.9 syntax.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NamedTuple, NoReturn

from squib.environment.isolation import confine, snapshot
from squib.environment.isolation.python_client import RUNTIME_API, TASK_ROOT, run_client, with_own_paths
from squib.environment.isolation.sandbox_protocol import (
    BEGIN,
    ENDED,
    EXTENSION_ENDED,
    EXTENSION_NOT_STARTED,
    EXTENSIONS_STARTED,
    FREEZE,
    KILL_RUNTIME,
    KILLED,
    NOT_STARTED,
    REPORT,
    RESTART,
    RUNTIME,
    SOCKET,
    STARTED,
    TERMINATE,
    THAW,
    Assign,
)

# The launcher ignores some, init handles one: neither is to be passed on to functions and what they start.
INHERITED_SIGNALS = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
OUT_OF_MEMORY_SCORE = "900"  # the kernel takes the runtime, not init, when the sandbox is out of memory


class InitOptions(NamedTuple):
    """What a sandbox's init needs to know of its fork server."""

    file_descriptors: int
    single_user: bool
    preload: bool
    has_cgroups: bool


class Pipes(NamedTuple):
    """Where processes write to; `extensions` -1 when there are none."""

    output: int
    telemetry: int
    extensions: int = -1


class Template(NamedTuple):
    """What a template has and other runtimes have not: the socket on which it takes orders, and a user
    namespace with one account, its own."""

    orders: int
    user_namespace: int


class Init:
    """Pid 1: starts the runtime and extensions, reaps, obeys."""

    def __init__(
        self,
        control: socket.socket,
        pipes: Pipes,
        environment: int,
        uid: int,
        assign: Assign,
        options: InitOptions,
        template: Template | None = None,
    ) -> None:
        self.memory_bytes, self.extensions = assign.memory_bytes, assign.extensions
        self.control, self.pipes, self.environment = control, pipes, environment
        self.uid, self.options, self.template = uid, options, template
        self.runtime = 0
        self.children: dict[int, tuple[int, int]] = {}
        """pid -> index, and a pipe on which the process tells that it can't start."""
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> NoReturn:
        """Until squib closes the control socket."""
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.start()
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.wake_read, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self.wake_read:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.wake_read, 512)
                    self.reap()
                    continue
                command = self.control.recv(16)
                if not command:
                    os._exit(0)  # the kernel kills the rest of the namespace
                if command in (FREEZE, THAW):  # where there is no freezer
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(-1, signal.SIGSTOP if command == FREEZE else signal.SIGCONT)
                    continue
                self.obey(command)

    def obey(self, command: bytes) -> None:
        """Carries out a command."""
        if command == SOCKET:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
                socket.send_fds(self.control, [REPORT.pack(SOCKET, 0)], [made.fileno()])
        elif command == BEGIN:
            self.start_runtime()
        elif command in (TERMINATE, KILL_RUNTIME):
            if self.runtime:
                os.kill(self.runtime, signal.SIGTERM if command == TERMINATE else signal.SIGKILL)
        elif self.template is None:  # a template's clones are among the processes here
            self.end_everything()
            if command == RESTART:
                self.start()
            else:
                self.control.sendall(REPORT.pack(KILLED, 0))

    def start(self) -> None:
        """Starts the extensions, or the runtime when there are none: else it waits for BEGIN."""
        if not self.extensions:
            self.start_runtime()
            return
        for index in range(self.extensions):
            self.fork(index)
        self.control.sendall(REPORT.pack(EXTENSIONS_STARTED, 0))

    def start_runtime(self) -> None:
        """Starts the runtime."""
        self.runtime = self.fork(RUNTIME)
        for fd in self.template or ():  # a template starts once; its end is to show on its socket
            os.close(fd)
        self.control.sendall(REPORT.pack(STARTED, resident_bytes(self.runtime)))

    def fork(self, index: int) -> int:
        """Forks the runtime or an extension; returns its pid."""
        refusal_read, refusal_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            run_process(self, index, refusal_write)
        os.close(refusal_write)
        self.children[pid] = (index, refusal_read)
        return pid

    def reap(self) -> None:
        """Collects the dead; the runtime's end takes everything else with it, unless there are extensions,
        and is told, as is an extension's."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.children:
                self.tell_end(pid, status)

    def tell_end(self, pid: int, status: int) -> None:
        """A child is dead: squib hears how it ended."""
        index, refusal_read = self.children.pop(pid)
        refusal = b""
        with contextlib.suppress(BlockingIOError):
            refusal = os.read(refusal_read, 1)
        os.close(refusal_read)
        number = refusal[0] if refusal else status
        if index == RUNTIME:
            self.runtime = 0
            if not self.extensions and self.template is None:  # nothing of it stays
                self.kill_others()
            self.control.sendall(REPORT.pack(NOT_STARTED if refusal else ENDED, number))
        else:
            letter = EXTENSION_NOT_STARTED if refusal else EXTENSION_ENDED
            self.control.sendall(REPORT.pack(letter, index << 32 | number))

    def end_everything(self) -> None:
        """Kills all but init and tells the runtime's end, if it was alive."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        if self.runtime:
            _, status = os.waitpid(self.runtime, 0)
            self.tell_end(self.runtime, status)
        self.kill_others()
        for _, refusal_read in self.children.values():
            os.close(refusal_read)
        self.children.clear()

    def kill_others(self) -> None:
        """No process of the old runtime survives it. One signal reaches all, since a process that has got
        it can't fork; the orphans among them become this one's children."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)


def resident_bytes(pid: int) -> int:
    """Memory a process holds, pages shared with its parents included."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * 4096
    return 0


def run_process(init: Init, index: int, refusal: int) -> NoReturn:
    """The process of the runtime or of an extension: gives up everything, then reads what it is to run."""
    try:
        signal.set_wakeup_fd(-1)
        for number in INHERITED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        output = init.pipes.output if index == RUNTIME else init.pipes.extensions
        os.dup2(output, 1)
        os.dup2(output, 2)
        own = [init.pipes.telemetry] if index == RUNTIME else []
        own += init.template or ()
        confine.close_all_but([*own, init.environment, refusal])
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(OUT_OF_MEMORY_SCORE)
        confine.limit_resources(
            file_descriptors=init.options.file_descriptors,
            data_bytes=None if init.options.has_cgroups else init.memory_bytes,
        )
        kept = []
        if init.template is not None:
            os.setgroups([])
            confine.setns(init.template.user_namespace, confine.CLONE_NEWUSER)
            os.close(init.template.user_namespace)
            kept = [
                confine.CAP_SYS_ADMIN
            ]  # of that namespace: the filter leaves it one use, confine.clone_template
        confine.drop_bounding_set()
        if init.template is not None:
            confine.take_ids(init.uid, init.uid)
        elif not init.options.single_user:
            confine.become(init.uid, init.uid)
        confine.set_capabilities(kept)
        confine.no_new_privileges()
        confine.filter_system_calls(is_template=init.template is not None)
        confine.prctl(confine.PR_SET_DUMPABLE, 1)
        work = json.loads(read_all(init.environment))
        os.close(init.environment)
        if index == RUNTIME:
            become_runtime(init, work, refusal)
        else:
            become_extension(work["extensions"], index, refusal)
    except SystemExit as leave:
        code = leave.code
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(1)


def read_all(fd: int) -> bytes:
    """The whole of a memory file, from its start."""
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0)


def become_extension(work: dict[str, Any], index: int, refusal: int) -> NoReturn:
    """Runs one of {"names": [...], "variables": {...}}."""
    program = f"/opt/extensions/{work['names'][index]}"
    os.chdir("/")
    execute([[program]], {**work["variables"], "AWS_LAMBDA_RUNTIME_API": RUNTIME_API}, refusal)


def become_runtime(init: Init, work: dict[str, Any], refusal: int) -> None:
    """Runs what the environment says: {"variables": {...}, "programs": [[path, arguments...], ...] or null,
    "wrapper": path or null, "handler": ...}. Of the programs, the first that there is; null means
    the preloaded Python client."""
    telemetry = init.pipes.telemetry
    variables: dict[str, str] = work["variables"]
    variables["AWS_LAMBDA_RUNTIME_API"] = RUNTIME_API
    variables["_LAMBDA_TELEMETRY_LOG_FD"] = str(telemetry)
    os.set_inheritable(telemetry, True)
    os.chdir(TASK_ROOT)
    programs: list[list[str]] | None = work["programs"]
    if programs is not None or not init.options.preload:
        if not programs:
            raise ValueError("nothing to run")
        wrapper = work["wrapper"]
        if wrapper is not None:
            check_wrapper(wrapper)
            programs = [[wrapper, *program] for program in programs]
        execute(programs, variables, refusal)
    os.close(refusal)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    sys.path[:] = with_own_paths(sys.path, variables.get("PYTHONPATH", ""))
    if init.template is not None:
        snapshot.install(snapshot.Own(init.template.orders, telemetry))
    run_client(work["handler"])


def check_wrapper(path: str) -> None:
    """Ends the process, and says why, when AWS_LAMBDA_EXEC_WRAPPER names no program."""
    if not os.path.isfile(path):
        sys.stderr.write(f"{path}: does not exist\n")
        sys.exit(127)
    if not os.access(path, os.X_OK):
        sys.stderr.write(f"{path}: is not an executable\n")
        sys.exit(126)


def execute(programs: list[list[str]], variables: dict[str, str], refusal: int) -> NoReturn:
    """Replaces the process by the first program that there is; tells init the errno when that can't be."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python itself ignores them
        signal.signal(number, signal.SIG_DFL)
    reason = 1
    for program in programs:
        try:
            os.execve(program[0], program, variables)
        except FileNotFoundError as error:
            reason = error.errno or 1
        except OSError as error:
            reason = error.errno or 1
            break
    os.write(refusal, bytes([reason & 0xFF]))
    os._exit(127)
