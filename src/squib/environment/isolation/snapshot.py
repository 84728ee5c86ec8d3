"""A template, from inside: where its snapshot is taken, and how its clones go on.

Runs in the process of the function, after its code has run: nothing here is trusted by anybody. What a clone
must be is found out from outside (clone_checks.py). Standard library only, Python 3.9 syntax.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import stat
import sys
from typing import Any, NamedTuple, NoReturn

from squib.environment.isolation import confine, fork_safety
from squib.environment.isolation.sandbox_protocol import (
    CLONE_ENDED,
    CLONE_WORD,
    FORKED,
    GO_ON,
    MAX_REFUSAL_BYTES,
    PLACED,
    PRESENT,
    REFUSAL,
    SIGNAL,
    SNAPSHOT,
)


class Own(NamedTuple):
    """Descriptors of the platform: the template's socket, the telemetry pipe."""

    orders: int
    telemetry: int


def install(own: Own) -> None:
    """From now on the runtime interface client takes the snapshot where it would ask for the restore."""
    client: Any = sys.modules["awslambdaric.lambda_runtime_client"].LambdaRuntimeClient
    client.restore_next = lambda _: take(own)


def take(own: Own) -> None:
    """Takes the snapshot, and makes clones as it is told to. Returns in clones only."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    gc.collect()
    outputs = [1, 2, *same_as(1, {own.orders, own.telemetry})]
    plan = examine({0, own.orders, own.telemetry, *outputs})
    orders = socket.socket(fileno=own.orders)
    if plan.refusal is not None:
        orders.send(REFUSAL + plan.refusal.encode()[:MAX_REFUSAL_BYTES])
        orders.recv(1)  # nothing will come
        os._exit(0)
    for number in plan.shut:
        with socket.socket(fileno=os.dup(number)) as connection, contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    template_pid = os.getpid()
    gc.freeze()
    orders.send(SNAPSHOT)
    while True:
        message, fds, _, _ = socket.recv_fds(orders, 16, 3)
        if not message:
            os._exit(0)
        if confine.clone_template() == 0:
            break
        for fd in fds:
            os.close(fd)
    with fatal_errors():
        output, telemetry, life_fd = fds
        for number in outputs:
            os.dup2(output, number)
        os.dup2(telemetry, own.telemetry)
        orders.close()
        os.close(output)
        os.close(telemetry)
        gate = begin_clone(socket.socket(fileno=life_fd))
        renew(plan, template_pid)
        draw_chance_anew()
        gate.send(FORKED)
        if gate.recv(1) != GO_ON:
            os._exit(0)
        gate.close()


def examine(own: set[int]) -> fork_safety.Plan:
    """What stands against clones, and what is to be done with open descriptors."""
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    found = [describe(number) for number in numbers if number not in own and is_open(number)]
    has_children = True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        has_children = False
    with open("/proc/self/maps", errors="replace") as file:
        maps = file.read().splitlines()
    with open("/proc/self/mounts", errors="replace") as file:
        is_in_memory = fork_safety.is_in_memory(file, "/tmp")
    return fork_safety.plan(
        found,
        threads=len(os.listdir("/proc/self/task")),
        has_children=has_children,
        maps=maps,
        in_memory=os.listdir("/tmp") if is_in_memory else (),
    )


def is_open(number: int) -> bool:
    """The descriptor that listed the others is closed by now."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def describe(number: int) -> fork_safety.Descriptor:
    """What the kernel says of a descriptor."""
    mode = os.fstat(number).st_mode
    target = os.readlink(f"/proc/self/fd/{number}")
    facts = None
    if stat.S_ISSOCK(mode):
        with socket.socket(fileno=os.dup(number)) as one:
            listens = bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            facts = fork_safety.SocketFacts(one.family, one.type, listens, peer(one) is not None)
    return fork_safety.Descriptor(number, target, stat.S_ISREG(mode), stat.S_ISDIR(mode), facts)


def peer(one: socket.socket) -> Any:
    """Whom a socket is connected to; None: nobody."""
    try:
        return one.getpeername()
    except OSError:
        return None


def same_as(number: int, other_than: set[int]) -> list[int]:
    """Duplicates of a descriptor of a pipe."""
    wanted = os.fstat(number)
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            if (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino):
                found.append(int(name))
    return [one for one in found if one not in other_than]


# --- the clone


def begin_clone(life: socket.socket) -> socket.socket:
    """The first process of a clone gives up what it has more than others, and waits until squib has made a
    place for it; its child is the runtime, in which alone this returns: with a socket on which it says that
    it is ready, and is told to go on."""
    os.setsid()
    confine.set_capabilities()
    process = confine.pidfd_open(os.getpid())
    socket.send_fds(life, [CLONE_WORD.pack(PRESENT, 0)], [process])
    os.close(process)
    if life.recv(CLONE_WORD.size)[:1] != PLACED:
        os._exit(0)
    gate, inner_gate = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    runtime = confine.fork_quietly()
    if runtime:
        inner_gate.close()
        attend(life, gate, runtime)
    life.close()
    gate.close()
    os.setsid()
    return inner_gate


def attend(life: socket.socket, gate: socket.socket, runtime: int) -> NoReturn:
    """Reaps, and passes words on, until the runtime ends, which is told. All of the clone ends with it."""
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {signal.SIGCHLD})
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(life, select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    poll.register(gate, select.POLLIN)
    while True:
        with contextlib.suppress(BlockingIOError):
            os.read(wake_read, 512)
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == runtime:
                life.send(CLONE_WORD.pack(CLONE_ENDED, status))
                os._exit(0)
            if pid == 0:
                break
        for fd, _ in poll.poll():
            if fd == gate.fileno():
                if gate.recv(1) == FORKED:
                    life.send(CLONE_WORD.pack(FORKED, runtime))
                else:  # the runtime has gone on
                    poll.unregister(gate)
            elif fd == life.fileno():
                word = life.recv(CLONE_WORD.size)
                if not word:
                    os._exit(0)
                letter, number = CLONE_WORD.unpack(word)
                if letter == GO_ON:
                    gate.send(GO_ON)
                elif letter == SIGNAL:
                    os.kill(runtime, number)


@contextlib.contextmanager
def fatal_errors() -> Any:
    """Ends the runtime by an error here, and says why: its client would take it for one of the function's
    hooks."""
    try:
        yield
    except BaseException as error:
        os.write(2, f"the snapshot can't be restored: {type(error).__name__}: {error}\n".encode())
        os._exit(1)


def renew(plan: fork_safety.Plan, template_pid: int) -> None:
    """Gives this clone files and sockets of its own where it has those of the template."""
    for number in plan.reopen:
        flags = fcntl_flags(number)
        path = fork_safety.inside_path(os.readlink(f"/proc/self/fd/{number}"), template_pid)
        is_seekable = stat.S_ISREG(os.fstat(number).st_mode)
        fresh = os.open(path, flags)
        if is_seekable:
            with contextlib.suppress(OSError):
                os.lseek(fresh, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
        replace(number, fresh)
    for number in plan.renew:
        with socket.socket(fileno=os.dup(number)) as old:
            fresh_socket = socket.socket(old.family, old.type, old.proto)
            far, timeout = peer(old), os.get_blocking(number)
        fresh_socket.setblocking(timeout)
        if far is not None:
            fresh_socket.connect(far)
        replace(number, fresh_socket.detach())
    os.chdir(os.getcwd())  # by its path, as it shows here


def fcntl_flags(number: int) -> int:
    """How a file was opened, as os.open wants it."""
    with open(f"/proc/self/fdinfo/{number}") as file:
        flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
    return flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC) | os.O_CLOEXEC


def replace(number: int, fresh: int) -> None:
    """Puts one descriptor in the place of another."""
    os.dup2(fresh, number, inheritable=os.get_inheritable(number))
    os.close(fresh)


def draw_chance_anew() -> None:
    """Generators of random numbers that a fork does not tell: clones would all draw the same. Python's own is
    told."""
    if "ssl" in sys.modules:
        sys.modules["ssl"].RAND_add(os.urandom(32), 32.0)
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
