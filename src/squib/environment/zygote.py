"""A fork server: the privileged parent of every sandbox of one runtime.

Started by the launcher inside a read-only root of its own, with the runtime interface client imported. It
takes one command, `Blank`: the number of a slot. For each it forks a sandbox:

    fork server (root) -> init (pid 1 of the sandbox) -> the runtime (unprivileged, and all it starts)

A blank sandbox has its namespaces, cgroups and /tmp, and waits for `Assign`: limits, and the digests of code
and layers. The slow steps, entering cgroups first of all, are thus done before anybody waits for them. Both
commands are of fixed size with few, checked numbers; nothing that a client or a function wrote is read with
privileges.

Init sets the sandbox up, keeps its namespaces alive while runtimes come and go (so /tmp outlives a crash),
reaps, and ends when squib's end of its control socket closes, which takes every process of the sandbox with
it. What the function wrote is first read in the runtime's process, after its privileges are gone.

Standard library only, Python 3.9 syntax: it runs under whatever interpreter the runtime has.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any, NamedTuple, NoReturn

from squib.environment import confine
from squib.environment.cgroups import Cgroups

STAGE = "/stage"  # what sandboxes are made from; gone inside them
TASK_ROOT = "/var/task"
LAYERS_ROOT = "/opt"
RUNTIME_DIR = "/var/runtime"
RUNTIME_API = "127.0.0.1:9001"
TMP_FLAGS = confine.MS_NOSUID | confine.MS_NODEV
OUT_OF_MEMORY_SCORE = "900"  # the kernel takes the runtime, not init, when the sandbox is out of memory

# None of these may draw random bytes from OpenSSL when imported: it tells a fork by the process id, and the
# runtime's can be the fork server's own, so that all sandboxes would go on with the same ones.
COMMON_MODULES = (
    "base64",
    "datetime",
    "decimal",
    "http.client",
    "logging",
    "random",
    "traceback",
    "urllib.request",
    "uuid",
    "awslambdaric.__main__",
)

READY = b"ready"
MAX_MEMORY_BYTES = 64 << 30
BLANK_LAYOUT = struct.Struct("=4sI")
BLANK_MAGIC = b"BLK1"
ASSIGN_LAYOUT = struct.Struct("=4sQIIIQ32s32s")
ASSIGN_MAGIC = b"ASN2"
NO_LAYERS = bytes(32)
# Control socket, squib -> init.
RESTART, KILL, FREEZE, THAW = b"R", b"K", b"F", b"T"
# Control socket, init -> squib: the letter, then a number.
BLANK, STARTED, ENDED, NOT_STARTED = b"B", b"S", b"E", b"N"
REPORT = struct.Struct("=cq")


class Assign(NamedTuple):
    """Makes a blank sandbox somebody's. With it comes one descriptor: the runtime's environment (JSON in a
    memory file)."""

    memory_bytes: int
    processes: int
    cpu_shares: int
    cpu_quota_us: int
    tmp_bytes: int
    code: bytes
    opt: bytes
    """NO_LAYERS: nothing shows at /opt."""

    def encode(self) -> bytes:
        """As sent over the socket."""
        return ASSIGN_LAYOUT.pack(ASSIGN_MAGIC, *self)

    @staticmethod
    def decode(message: bytes) -> Assign:
        """Raises ValueError for anything that is not exactly a command within bounds."""
        if len(message) != ASSIGN_LAYOUT.size:
            raise ValueError("wrong size")
        magic, *fields = ASSIGN_LAYOUT.unpack(message)
        assign = Assign(*fields)
        if (
            magic != ASSIGN_MAGIC
            or not 0 < assign.memory_bytes <= 64 << 30
            or not 0 < assign.processes <= 65536
        ):
            raise ValueError("out of bounds")
        return assign


class Options(NamedTuple):
    """What the launcher says at the start; `preload` imports the Python runtime interface client."""

    control_fd: int
    cgroup_fds: dict[str, int]
    max_slots: int
    uid_base: int
    single_user: bool
    preload: bool
    file_descriptors: int


def serve(options: Options) -> None:
    """Takes commands until the launcher or squib goes away."""
    control = socket.socket(fileno=options.control_fd)
    cgroups = Cgroups(options.cgroup_fds) if options.cgroup_fds else None
    if options.preload:
        preload_client()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for an init: the kernel reaps it
    control.sendall(READY)
    while True:
        message, fds, _, _ = socket.recv_fds(control, BLANK_LAYOUT.size + 1, 8)
        if not message:
            return
        try:
            if len(message) != BLANK_LAYOUT.size or len(fds) != 4:
                raise ValueError("not a command")
            magic, slot = BLANK_LAYOUT.unpack(message)
            if magic != BLANK_MAGIC or slot >= options.max_slots:
                raise ValueError("out of bounds")
            fork_sandbox(slot, fds, cgroups, options)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"squib fork server: command refused: {error}\n")
        finally:
            for fd in fds:
                os.close(fd)


def fork_sandbox(slot: int, fds: list[int], cgroups: Cgroups | None, options: Options) -> None:
    """Forks the sandbox of a slot; returns in the fork server as soon as it exists. `fds`: network namespace,
    control socket, output pipe, telemetry pipe."""
    namespaces = confine.CLONE_NEWNS | confine.CLONE_NEWPID | confine.CLONE_NEWIPC | confine.CLONE_NEWUTS
    if confine.clone(namespaces) == 0:
        run_init(slot, fds, cgroups, options)


def run_init(slot: int, fds: list[int], cgroups: Cgroups | None, options: Options) -> NoReturn:
    """Pid 1 of the sandbox, from its first instruction to its end."""
    netns, control_fd, output, telemetry = fds
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        bases = list(cgroups.bases.values()) if cgroups is not None else []
        enter_sandbox(slot, netns, cgroups)
        confine.close_all_but([control_fd, output, telemetry, *bases])
        confine.prctl(confine.PR_SET_DUMPABLE, 0)
        control = socket.socket(fileno=control_fd)
        control.sendall(REPORT.pack(BLANK, 0))
        message, passed, _, _ = socket.recv_fds(control, ASSIGN_LAYOUT.size + 1, 1)
        if not message:
            os._exit(0)
        assign = Assign.decode(message)
        (environment,) = passed
        furnish(slot, assign, cgroups)
        confine.close_all_but([control_fd, output, telemetry, environment])
        uid = 0 if options.single_user else options.uid_base + slot
        if not options.single_user:
            kept = (confine.CAP_SETUID, confine.CAP_SETGID, confine.CAP_KILL, confine.CAP_SETPCAP)
            confine.drop_bounding_set(kept)
            confine.set_capabilities(kept)
        Init(control, output, telemetry, environment, uid, assign.memory_bytes, options).run()
    except ConnectionError:  # squib is gone
        os._exit(0)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"squib sandbox: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def enter_sandbox(slot: int, netns: int, cgroups: Cgroups | None) -> None:
    """What does not depend on whose sandbox it will be."""
    if cgroups is not None:
        for fd in cgroups.open_procs(slot):
            os.write(fd, b"0")
            os.close(fd)
    confine.setns(netns, confine.CLONE_NEWNET)
    tmp_device = f"{STAGE}/slots/{slot}"
    if os.path.exists(tmp_device):
        confine.mount(tmp_device, "/tmp", "ext4", TMP_FLAGS)
    confine.mount("proc", "/proc", "proc", TMP_FLAGS | confine.MS_NOEXEC)
    limit_ipc()
    name = b"sandbox"
    ctypes.CDLL(None).sethostname(name, len(name))


def limit_ipc() -> None:
    """Memory in System V objects outlives processes: segments end with the last that has them attached, and
    queues and semaphores stay few. These settings are the namespace's own."""
    for name, value in (("shm_rmid_forced", "1"), ("msgmni", "32"), ("sem", "250 32000 32 128")):
        with contextlib.suppress(OSError), open(f"/proc/sys/kernel/{name}", "w") as file:
            file.write(value)


def furnish(slot: int, assign: Assign, cgroups: Cgroups | None) -> None:
    """Sets the limits and shows code and layers; everything else of the stage goes."""
    if cgroups is not None:
        cgroups.limit(
            slot,
            memory_bytes=assign.memory_bytes,
            processes=assign.processes,
            cpu_shares=assign.cpu_shares,
            cpu_quota_us=assign.cpu_quota_us,
        )
    if not os.path.exists(f"{STAGE}/slots/{slot}"):
        size = f"size={assign.tmp_bytes},mode=1777,nr_inodes=100k"
        confine.mount("tmpfs", "/tmp", "tmpfs", TMP_FLAGS, size)
    show(assign.code, TASK_ROOT)
    if assign.opt != NO_LAYERS:
        show(assign.opt, LAYERS_ROOT)
    confine.umount(STAGE, confine.MNT_DETACH)


def show(digest: bytes, target: str) -> None:
    """Shows an unpacked tree of the code cache, read-only."""
    tree = os.open(f"{STAGE}/code/{digest.hex()}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    confine.bind_read_only(f"/proc/self/fd/{tree}", target)
    os.close(tree)


class Init:
    """Pid 1: starts the runtime, reaps, obeys."""

    def __init__(
        self,
        control: socket.socket,
        output: int,
        telemetry: int,
        environment: int,
        uid: int,
        memory_bytes: int,
        options: Options,
    ) -> None:
        self.memory_bytes = memory_bytes
        self.control, self.output, self.telemetry, self.environment = control, output, telemetry, environment
        self.uid, self.options = uid, options
        self.runtime = 0
        self.refusal_read = self.refusal_write = -1  # a pipe on which the runtime tells that it can't start
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
                self.end_everything()
                if command == RESTART:
                    self.start()

    def start(self) -> None:
        """Forks the runtime."""
        if self.refusal_read >= 0:
            os.close(self.refusal_read)
        self.refusal_read, self.refusal_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.runtime = os.fork()
        if self.runtime == 0:
            run_runtime(self)
        os.close(self.refusal_write)
        self.control.sendall(REPORT.pack(STARTED, resident_bytes(self.runtime)))

    def reap(self) -> None:
        """Collects the dead; the runtime's end takes everything else with it and is told."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.runtime:
                self.tell_end(status)

    def tell_end(self, status: int) -> None:
        """The runtime is dead: nothing of it stays, and squib hears how it ended."""
        self.runtime = 0
        self.kill_others()
        refusal = b""
        with contextlib.suppress(BlockingIOError):
            refusal = os.read(self.refusal_read, 1)
        letter, number = (NOT_STARTED, refusal[0]) if refusal else (ENDED, status)
        self.control.sendall(REPORT.pack(letter, number))

    def end_everything(self) -> None:
        """Kills all but init and tells the runtime's end, if it was alive."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        if self.runtime:
            _, status = os.waitpid(self.runtime, 0)
            self.tell_end(status)

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


def run_runtime(init: Init) -> NoReturn:
    """The runtime's process: gives up everything, then reads what it is to run."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(init.output, 1)
        os.dup2(init.output, 2)
        confine.close_all_but([init.telemetry, init.environment, init.refusal_write])
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(OUT_OF_MEMORY_SCORE)
        confine.limit_resources(
            file_descriptors=init.options.file_descriptors,
            data_bytes=None if init.options.cgroup_fds else init.memory_bytes,
        )
        if not init.options.single_user:
            confine.drop_bounding_set()
            confine.become(init.uid, init.uid)
        else:
            confine.drop_bounding_set()
        confine.set_capabilities()
        confine.no_new_privileges()
        confine.filter_system_calls()
        confine.prctl(confine.PR_SET_DUMPABLE, 1)
        become_runtime(init)
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


def become_runtime(init: Init) -> None:
    """Runs what the environment says: {"variables": {...}, "programs": [[path, arguments...], ...] or null,
    "handler": ...}. Of the programs, the first that there is; null means the preloaded Python client."""
    work: dict[str, Any] = json.loads(read_all(init.environment))
    os.close(init.environment)
    variables: dict[str, str] = work["variables"]
    variables["AWS_LAMBDA_RUNTIME_API"] = RUNTIME_API
    variables["_LAMBDA_TELEMETRY_LOG_FD"] = str(init.telemetry)
    os.set_inheritable(init.telemetry, True)
    os.chdir(TASK_ROOT)
    programs: list[list[str]] | None = work["programs"]
    if programs is not None or not init.options.preload:
        if not programs:
            raise ValueError("nothing to run")
        execute(programs, variables, init.refusal_write)
    os.close(init.refusal_write)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    sys.path[:] = with_own_paths(sys.path, variables.get("PYTHONPATH", ""))
    run_client(work["handler"])


def execute(programs: list[list[str]], variables: dict[str, str], refusal: int) -> NoReturn:
    """Replaces the process by the first program that there is; tells init the errno when that can't be."""
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


# --- the Python runtime interface client --------------------------------------------------------------------


def python_paths(version: tuple[int, int], standard: list[str]) -> list[str]:
    """sys.path as on Lambda: the function, layers, the runtime's own packages, the standard library."""
    layers = [f"/opt/python/lib/python{version[0]}.{version[1]}/site-packages", "/opt/python"]
    return [TASK_ROOT, *layers, RUNTIME_DIR, *standard]


def with_own_paths(paths: list[str], own: str) -> list[str]:
    """sys.path with what a function's own PYTHONPATH adds: before the runtime's packages, as Python does."""
    more = [path for path in own.split(":") if path and path not in paths]
    at = paths.index(RUNTIME_DIR)
    return [*paths[:at], *more, *paths[at:]]


def preload_client() -> None:
    """Imports the client and what nearly every function imports anyway, once, before any fork."""
    # The native client reads its address once, when imported: the same in every sandbox.
    os.environ["AWS_LAMBDA_RUNTIME_API"] = RUNTIME_API
    standard = [path for path in sys.path if path and not path.startswith(STAGE)]
    sys.path[:] = [RUNTIME_DIR, *standard]
    import site

    site.setquit()
    site.setcopyright()
    site.sethelper()
    for name in COMMON_MODULES:
        importlib.import_module(name)

    sys.path[:] = python_paths((sys.version_info[0], sys.version_info[1]), standard)


def run_client(handler: str) -> None:
    """Hands over to the client, as `python -m awslambdaric HANDLER` would."""
    if "AWS_LAMBDA_LOG_FORMAT" in os.environ or "AWS_LAMBDA_LOG_LEVEL" in os.environ:
        # Both are read when the module is imported, which was before this function's were known.
        importlib.reload(sys.modules["awslambdaric.bootstrap"])
    sys.argv = ["/var/runtime/bootstrap.py", handler]
    sys.modules["__main__"].__dict__.pop("__file__", None)
    main = sys.modules["awslambdaric.__main__"].main
    main(sys.argv)


def main() -> None:
    """`zygote.py OPTIONS`, a JSON object of Options."""
    options = Options(**json.loads(sys.argv[1]))
    confine.die_with_parent()
    serve(options)


if __name__ == "__main__":
    main()
