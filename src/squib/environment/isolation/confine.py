"""The kernel's isolation, as functions: namespaces, mounts, capabilities, seccomp, limits.

Runs in two places: in squib's own privileged processes, and inside fork servers under whatever Python a
function's runtime has. So: standard library only, Python 3.9 syntax, and nothing else of squib is imported.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
from collections.abc import Iterable, Mapping

CLONE_NEWNS = 0x0002_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000
CLONE_PARENT = 0x8000
CLONE_OF_TEMPLATE = (
    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_PARENT | signal.SIGCHLD
)
"""The only way to new namespaces that a template has: all at once, as a child of its own parent."""

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
SECCOMP_MODE_FILTER = 2

CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP = 0, 1, 3, 5, 6, 7, 8
CAP_SYS_ADMIN, CAP_LAST = 21, 63

_libc = ctypes.CDLL(None, use_errno=True)
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)  # a raw clone must not lose the interpreter lock

_MACHINE = os.uname().machine
_SYSCALLS = {
    "x86_64": {"clone": 56, "pivot_root": 155, "capset": 126},
    "aarch64": {"clone": 220, "pivot_root": 41, "capset": 91},
}[_MACHINE] | {  # the same everywhere
    "pidfd_send_signal": 424,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "mount_setattr": 442,
}


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def unshare(flags: int) -> None:
    """Moves the calling thread into new namespaces."""
    _check(_libc.unshare(flags), f"unshare({flags:#x})")


def setns(fd: int, kind: int) -> None:
    """Moves the calling thread into the namespace behind `fd`, of the CLONE_NEW* kind `kind`."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str | None, target: str, fs: str | None = None, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        _bytes(source), _bytes(target), _bytes(fs), ctypes.c_ulong(flags), _bytes(data) if data else None
    )
    _check(result, f"mount {source or ''} on {target}")


def bind_read_only(source: str, target: str, *, flags: int = MS_NOSUID | MS_NODEV) -> None:
    """Shows `source` at `target`, which must exist, without a way to write to it."""
    mount(source, target, None, MS_BIND | MS_REC)
    # A user namespace may add restrictions to what it inherited, never take one away.
    inherited = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | flags | inherited)
    _restrict_below(target, MS_RDONLY | flags)


def _restrict_below(target: str, flags: int) -> None:
    """The same for what is mounted below `target`, which a remount leaves as it was. Linux 5.12 and later."""
    attributes = ctypes.create_string_buffer(struct.pack("=QQQQ", flags, 0, 0, 0), 32)  # struct mount_attr
    at_working_directory, recursive, size = ctypes.c_long(-100), ctypes.c_ulong(0x8000), ctypes.c_ulong(32)
    result = _libc.syscall(
        _SYSCALLS["mount_setattr"], at_working_directory, _bytes(target), recursive, attributes, size
    )
    # EPERM: of a container that knows no such call.
    if result < 0 and ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):
        _check(result, f"mount_setattr {target}")


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(_bytes(target), flags), f"umount {target}")


def detached_mount(fs: str, options: Mapping[str, str], flags: int) -> int:
    """A descriptor of a file system that is mounted nowhere yet; it belongs to the namespaces of the calling
    thread as it would if it were mounted now. `flags`: of MS_NOSUID, MS_NODEV, MS_NOEXEC."""
    set_string, create, cloexec = 1, 6, 1
    context = _check(_libc.syscall(_SYSCALLS["fsopen"], _bytes(fs), cloexec), f"fsopen {fs}")
    try:
        for key, value in options.items():
            result = _libc.syscall(
                _SYSCALLS["fsconfig"], context, set_string, _bytes(key), _bytes(value), ctypes.c_long(0)
            )
            _check(result, f"fsconfig {fs} {key}={value}")
        none = ctypes.c_void_p(None)
        result = _libc.syscall(_SYSCALLS["fsconfig"], context, create, none, none, ctypes.c_long(0))
        _check(result, f"fsconfig {fs}")
        return _check(_libc.syscall(_SYSCALLS["fsmount"], context, cloexec, ctypes.c_ulong(flags)), "fsmount")
    finally:
        os.close(context)


def attach_mount(mount_fd: int, target: str) -> None:
    """Mounts what `detached_mount` made on a folder of the calling thread's mount namespace."""
    both_empty_paths = ctypes.c_ulong(0x4 | 0x40)
    folder = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        result = _libc.syscall(_SYSCALLS["move_mount"], mount_fd, b"", folder, b"", both_empty_paths)
        _check(result, f"move_mount on {target}")
    finally:
        os.close(folder)


def pidfd_open(pid: int) -> int:
    """A descriptor of a process, which stays that of this process."""
    flags = ctypes.c_ulong(0)
    return _check(_libc.syscall(_SYSCALLS["pidfd_open"], ctypes.c_long(pid), flags), "pidfd_open")


def pidfd_send_signal(pidfd: int, number: int) -> None:
    """Signals the process behind a descriptor; 0 asks whether there is one. Raises ProcessLookupError."""
    none, flags = ctypes.c_void_p(None), ctypes.c_ulong(0)
    result = _libc.syscall(_SYSCALLS["pidfd_send_signal"], pidfd, ctypes.c_long(number), none, flags)
    _check(result, "pidfd_send_signal")


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    result = _libc.syscall(_SYSCALLS["pivot_root"], _bytes(new_root), _bytes(put_old))
    _check(result, "pivot_root")


def prctl(option: int, *arguments: int) -> None:
    """prctl(2), for the options that take numbers."""
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _check(_libc.prctl(option, *padded), f"prctl({option})")


def die_with_parent() -> None:
    """SIGKILL for this process when the thread that made it ends. Any change of ids undoes it."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def clone(flags: int) -> int:
    """fork() into new namespaces, or with CLONE_PARENT as a sibling. CPython's own fork hooks run; libc's do
    not, so the child (pid 1 of its namespace) should do no more than set things up and fork the program
    proper with os.fork()."""
    hooks = ctypes.pythonapi
    hooks.PyOS_BeforeFork()
    pid = _raw_clone(flags | signal.SIGCHLD)
    code = ctypes.get_errno()
    if pid == 0:
        hooks.PyOS_AfterFork_Child()
    else:
        hooks.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, f"clone({flags:#x}): {os.strerror(code)}")
    return pid


def _raw_clone(flags: int) -> int:
    result: int = _libc_with_gil.syscall(_SYSCALLS["clone"], ctypes.c_ulong(flags), None, None, None, None)
    return result


def clone_template() -> int:
    """The clone of a template. No hook of anybody runs: the child is for `fork_quietly` and reaping only."""
    return _check(_raw_clone(CLONE_OF_TEMPLATE), "clone")


def fork_quietly() -> int:
    """fork() whose hooks of Python (os.register_at_fork) run before it and in the child, not in the parent,
    which keeps the interpreter's locks for fork and should only wait for the child and end."""
    hooks = ctypes.pythonapi
    hooks.PyOS_BeforeFork()
    pid: int = _libc_with_gil.fork()
    code = ctypes.get_errno()
    if pid == 0:
        hooks.PyOS_AfterFork_Child()
    elif pid < 0:
        hooks.PyOS_AfterFork_Parent()
        raise OSError(code, f"fork: {os.strerror(code)}")
    return pid


def close_all_but(keep: Iterable[int]) -> None:
    """Closes every descriptor above 2 that is not in `keep`."""
    start = 3
    for fd in [*sorted(fd for fd in set(keep) if fd >= 3), 1 << 20]:
        if fd > start:
            os.closerange(start, fd)
        start = fd + 1


def loopback_up() -> None:
    """Brings `lo` up in the calling thread's network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        flags = 0x1 | 0x40  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", flags))  # SIOCSIFFLAGS


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapabilitySets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def drop_bounding_set(keep: Iterable[int] = ()) -> None:
    """Removes capabilities for ever from this process and all it starts."""
    kept = set(keep)
    for capability in range(CAP_LAST + 1):
        if capability in kept:
            continue
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:  # past the last one this kernel knows
                return
            raise


def set_capabilities(keep: Iterable[int] = ()) -> None:
    """Leaves the effective and permitted sets with `keep`, the inheritable and ambient ones empty."""
    mask = 0
    for capability in keep:
        mask |= 1 << capability
    try:
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    header = _CapabilityHeader(0x2008_0522, 0)  # _LINUX_CAPABILITY_VERSION_3
    low, high = mask & 0xFFFF_FFFF, mask >> 32
    sets = (_CapabilitySets * 2)(_CapabilitySets(low, low, 0), _CapabilitySets(high, high, 0))
    _check(_libc.syscall(_SYSCALLS["capset"], ctypes.byref(header), sets), "capset")


def become(uid: int, gid: int) -> None:
    """Takes on an account: no supplementary groups, all three ids, no way back, no new privileges."""
    os.setgroups([])
    take_ids(uid, gid)


def take_ids(uid: int, gid: int) -> None:
    """`become` for a process without supplementary groups."""
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def make_user_namespace(uid: int) -> int:
    """A descriptor of a user namespace that is root's and has one account, `uid`, by the same number."""
    told, tell = os.pipe()
    wait, release = os.pipe()
    maker = os.fork()
    if maker == 0:
        try:
            os.close(release)
            unshare(CLONE_NEWUSER)
            os.write(tell, b"x")
            os.read(wait, 1)
        finally:
            os._exit(0)
    try:
        os.close(tell)
        if not os.read(told, 1):
            raise OSError(errno.ENOSPC, "no user namespace can be made")
        for file, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{uid} {uid} 1"),
        ):
            with open(f"/proc/{maker}/{file}", "w") as out:
                out.write(line)
        return os.open(f"/proc/{maker}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for fd in (told, wait, release):
            os.close(fd)
        os.waitpid(maker, 0)


def enter_user_namespace() -> None:
    """Makes an unprivileged process the root of a user namespace of its own, with one account: itself."""
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    for file, line in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{file}", "w") as out:
            out.write(line)


def no_new_privileges() -> None:
    """No program this process runs can gain privileges."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def limit_resources(*, file_descriptors: int, data_bytes: int | None = None) -> None:
    """Resource limits of a function's process. Memory and process counts are the cgroup's; `data_bytes`, for
    machines that allow none, bounds what each process may allocate."""
    if data_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (file_descriptors, file_descriptors))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 * 1024, 64 * 1024))
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))  # what the host allows its own users may be more
    resource.setrlimit(resource.RLIMIT_NICE, (0, 0))


# --- seccomp ------------------------------------------------------------------------------------------------

# System calls no function needs and that reach far into the kernel or past the sandbox: (x86_64, aarch64).
# None where an architecture has no such call. Refused with EPERM.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "syslog": (103, 116),
    "modify_ldt": (154, None),
    "pivot_root": (155, 41),
    "adjtimex": (159, 171),
    "chroot": (161, 51),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "mount": (165, 40),
    "umount2": (166, 39),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "lookup_dcookie": (212, 18),
    "clock_settime": (227, 112),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "migrate_pages": (256, 238),
    "unshare": (272, 97),
    "move_pages": (279, 239),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "clock_adjtime": (305, 266),
    "setns": (308, 268),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "finit_module": (313, 273),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_getfd": (438, 438),
    "mount_setattr": (442, 442),
    "quotactl_fd": (443, 443),
}
# Family -> protocols; None for any. Others, among them VSOCK, ALG and PACKET, don't exist; a protocol that is
# not named would only have the kernel load a module for it.
_ALLOWED_SOCKETS: dict[int, tuple[int, ...] | None] = {
    1: None,  # UNIX
    2: (0, 1, 6, 17),  # INET: default, ICMP, TCP, UDP
    10: (0, 6, 17, 58),  # INET6: default, TCP, UDP, ICMPv6
    16: (0,),  # NETLINK: routes (getifaddrs)
}
_FIRST_UNKNOWN_CALL = 463  # setxattrat, Linux 6.13; later ones have not been looked at
_ARCHITECTURE = {"x86_64": (0xC000_003E, 0, 56, 41), "aarch64": (0xC000_00B7, 1, 220, 198)}
_NAMESPACE_FLAGS = 0x7E02_0000  # every CLONE_NEW* that clone can express

_ALLOW, _KILL, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def seccomp_program(*, is_template: bool = False) -> bytes:
    """The filter as BPF instructions: a deny list, no new namespaces, few kinds of sockets. Templates may
    make clones of themselves, with exactly the flags of CLONE_OF_TEMPLATE."""
    arch, column, clone_number, socket_number = _ARCHITECTURE[_MACHINE]

    def op(code: int, true: int, false: int, value: int) -> bytes:
        return struct.pack("HBBI", code, true, false, value)

    program = [op(_LOAD, 0, 0, 4), op(_JEQ, 1, 0, arch), op(_RETURN, 0, 0, _KILL), op(_LOAD, 0, 0, 0)]
    if _MACHINE == "x86_64":  # the x32 calls are the same kernel by other numbers
        program += [op(_JGE, 0, 1, 0x4000_0000), op(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    # clone3 hides its flags in memory, which a filter can't read: libc falls back to clone.
    program += [op(_JEQ, 0, 1, 435), op(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    clones = [op(_LOAD, 0, 0, 16)]
    if is_template:
        clones += [op(_JEQ, 0, 1, CLONE_OF_TEMPLATE), op(_RETURN, 0, 0, _ALLOW)]
    clones += [
        op(_JSET, 0, 1, _NAMESPACE_FLAGS),
        op(_RETURN, 0, 0, _ERRNO | errno.EPERM),
        op(_RETURN, 0, 0, _ALLOW),
    ]
    program += [op(_JEQ, 0, len(clones), clone_number), *clones]
    sockets = [op(_LOAD, 0, 0, 16)]
    for family, protocols in _ALLOWED_SOCKETS.items():
        if protocols is None:
            sockets += [op(_JEQ, 0, 1, family), op(_RETURN, 0, 0, _ALLOW)]
            continue
        checks = [op(_JEQ, len(protocols) - i, 0, number) for i, number in enumerate(protocols)]
        sockets += [
            op(_JEQ, 0, len(checks) + 3, family),
            op(_LOAD, 0, 0, 32),
            *checks,
            op(_RETURN, 0, 0, _ERRNO | errno.EPROTONOSUPPORT),
            op(_RETURN, 0, 0, _ALLOW),
        ]
    sockets.append(op(_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT))
    program += [op(_JEQ, 0, len(sockets), socket_number), *sockets]
    program += [op(_JGE, 0, 1, _FIRST_UNKNOWN_CALL), op(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    denied = sorted(number for numbers in _DENIED.values() if (number := numbers[column]) is not None)
    for index, number in enumerate(denied):
        program.append(op(_JEQ, len(denied) - index, 0, number))
    program += [op(_RETURN, 0, 0, _ALLOW), op(_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    return b"".join(program)


def filter_system_calls(*, is_template: bool = False) -> None:
    """Installs the filter on this process and all it starts. Needs no_new_privileges or CAP_SYS_ADMIN."""
    program = _PROGRAMS[is_template]
    buffer = ctypes.create_string_buffer(program, len(program))
    filters = _FilterProgram(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    zero = ctypes.c_ulong(0)
    mode = ctypes.c_ulong(SECCOMP_MODE_FILTER)
    result = _libc.prctl(PR_SET_SECCOMP, mode, ctypes.byref(filters), zero, zero)
    _check(result, "seccomp")


_PROGRAMS = {kind: seccomp_program(is_template=kind) for kind in (False, True)}  # made before any fork
