"""A fork server: the privileged parent of every sandbox of one runtime.

Started by the launcher inside a read-only root of its own, with the runtime interface client imported. It
takes one command, `Blank`: the number of a slot. For each it forks a sandbox:

    fork server (root) -> init (pid 1 of the sandbox) -> the runtime (unprivileged, and all it starts)
                                                      -> extensions (the same), where the function has some

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
import json
import os
import signal
import socket
import sys
from typing import NamedTuple, NoReturn

from squib.environment.isolation import confine
from squib.environment.isolation.cgroups import Cgroups
from squib.environment.isolation.python_client import LAYERS_ROOT, STAGE, TASK_ROOT, preload_client
from squib.environment.isolation.sandbox_init import Init, InitOptions, Pipes, Template
from squib.environment.isolation.sandbox_protocol import (
    ASSIGN_LAYOUT,
    BLANK,
    BLANK_LAYOUT,
    BLANK_MAGIC,
    NO_LAYERS,
    READY,
    REPORT,
    Assign,
)

TMP_FLAGS = confine.MS_NOSUID | confine.MS_NODEV
FIRST_PID_OF_TEMPLATE = 300


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
    control socket, output pipe, telemetry pipe. Its parent is the launcher, with which it ends: while it is
    frozen it does not see that squib's socket is closed."""
    namespaces = confine.CLONE_NEWNS | confine.CLONE_NEWPID | confine.CLONE_NEWIPC | confine.CLONE_NEWUTS
    if confine.clone(namespaces | confine.CLONE_PARENT) == 0:
        run_init(slot, fds, cgroups, options)


def run_init(slot: int, fds: list[int], cgroups: Cgroups | None, options: Options) -> NoReturn:
    """Pid 1 of the sandbox, from its first instruction to its end."""
    netns, control_fd, output, telemetry = fds
    try:
        confine.die_with_parent()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the launcher ignores it
        bases = list(cgroups.bases.values()) if cgroups is not None else []
        enter_sandbox(slot, netns, cgroups)
        confine.close_all_but([control_fd, output, telemetry, *bases])
        confine.prctl(confine.PR_SET_DUMPABLE, 0)
        control = socket.socket(fileno=control_fd)
        control.sendall(REPORT.pack(BLANK, 0))
        message, passed, _, _ = socket.recv_fds(control, ASSIGN_LAYOUT.size + 1, 2)
        if not message:
            os._exit(0)
        assign = Assign.decode(message)
        environment, *more = passed
        if len(more) != bool(assign.extensions) + assign.is_template:
            raise ValueError("not an assignment")
        furnish(slot, assign, cgroups)
        uid = 0 if options.single_user else options.uid_base + slot
        extension_output, template = more, None
        if assign.is_template:
            if options.single_user or cgroups is None:
                raise ValueError("templates need root and cgroups")
            extension_output, template = [], Template(more[0], confine.make_user_namespace(uid))
            pass_over_pids()
        confine.close_all_but([control_fd, output, telemetry, *passed, *(template or ())])
        if not options.single_user:
            kept = (confine.CAP_SETUID, confine.CAP_SETGID, confine.CAP_KILL, confine.CAP_SETPCAP)
            confine.drop_bounding_set(kept)
            confine.set_capabilities(kept)
        pipes = Pipes(output, telemetry, *extension_output)
        init_options = InitOptions(
            file_descriptors=options.file_descriptors,
            single_user=options.single_user,
            preload=options.preload,
            has_cgroups=bool(options.cgroup_fds),
        )
        Init(control, pipes, environment, uid, assign, init_options, template).run()
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


def pass_over_pids() -> None:
    """The next process gets a number that those of clones do not begin with: libraries tell by it that they
    are in a fork."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(FIRST_PID_OF_TEMPLATE - 1))


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


def main() -> None:
    """`zygote.py OPTIONS`, a JSON object of Options."""
    options = Options(**json.loads(sys.argv[1]))
    confine.die_with_parent()
    serve(options)


if __name__ == "__main__":
    main()
