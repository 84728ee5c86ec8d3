"""Templates and clones that are hostile: what they may do, and what becomes of those that cheat."""

import asyncio
import platform
import re

import pytest

from harness.clones import ask, run_story
from harness.drivers import Bench
from squib.environment.driver import EndCause, TemplateLost

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(
        platform.machine() != "x86_64", reason="system calls are given by their x86_64 numbers"
    ),
]

REFUSED = ("EPERM", "ENOSYS", "EINVAL")  # the last: of an account that is not in its user namespace
TOOLS = """
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    passed = [ctypes.c_ulong(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *passed)
    return errno.errorcode[ctypes.get_errno()] if result < 0 else "done"
def status(*names):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [lines[name].strip() for name in names]
FORBIDDEN = {
    "clone-user": (56, 0x10000011, 0, 0, 0, 0),
    "clone-mount": (56, 0x00020011, 0, 0, 0, 0),
    "clone-net": (56, 0x40000011, 0, 0, 0, 0),
    "clone-pid": (56, 0x20000011, 0, 0, 0, 0),
    "clone-all-and-user": (56, 0x7C028011, 0, 0, 0, 0),
    "clone-all-and-cgroup": (56, 0x6E028011, 0, 0, 0, 0),
    "clone-all-not-of-parent": (56, 0x6C020011, 0, 0, 0, 0),
    "clone3": (435, 0, 88),
    "unshare-mount": (272, 0x00020000),
    "unshare-user": (272, 0x10000000),
    "unshare-net": (272, 0x40000000),
    "setns": (308, 0, 0),
    "mount": (165, b"none", b"/tmp", b"tmpfs", 0, 0),
    "umount": (166, b"/tmp", 2),
    "fsopen": (430, b"tmpfs", 0),
    "open_tree": (428, 2**64 - 100, b"/", 1),
    "move_mount": (429, 0, b"", 0, b"", 4),
    "mount_setattr": (442, 2**64 - 100, b"/tmp", 0, 0, 0),
    "pivot_root": (155, b"/", b"/"),
    "chroot": (161, b"/tmp"),
    "ptrace": (101, 0, 0, 0, 0),
    "process_vm_writev": (311, 1, 0, 0, 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0),
    "keyctl": (250, 0, 2**64 - 3, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "setuid": (105, 0),
    "setresuid": (117, 0, 0, 0),
    "setgroups": (116, 0, 0),
    "sethostname": (170, b"x", 1),
    "mknod": (133, b"/tmp/null", 0o20666, 259),
    "reboot": (169, 0xFEE1DEAD, 672274793, 0x1234567, 0),
    "io_uring_setup": (425, 8, 0),
    "perf_event_open": (298, 0, 0, 2**64 - 1, 2**64 - 1, 0),
}
def try_all():
    return {name: call(*arguments) for name, arguments in FORBIDDEN.items()}
"""
IN_TEMPLATE = """
IN_TEMPLATE = try_all()
STATUS = status("CapEff", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp", "Uid")
EXECUTED = subprocess.check_output(["/bin/sh", "-c", "grep CapEff /proc/self/status"], text=True)
"""


def test_template_may_do_nothing_but_be_cloned_and_a_clone_not_even_that() -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template(handler="probing.handler")
        clone = await bench.clone(template)
        refused = await ask(clone, "result = IN_TEMPLATE")
        assert {name: answer for name, answer in refused.items() if answer not in REFUSED} == {}
        only_admin = f"{1 << 21:016x}"
        nothing = f"{0:016x}"
        before = await ask(clone, "result = STATUS")
        assert before[:6] == [only_admin, nothing, nothing, nothing, "1", "2"]
        assert await ask(clone, "result = EXECUTED.split()[1]") == nothing
        within = await ask(clone, "result = try_all()")
        assert {name: answer for name, answer in within.items() if answer not in REFUSED} == {}
        fork = "result = call(56, 0x6C028011, 0, 0, 0, 0)"  # the one that templates have
        assert await ask(clone, fork) == "EPERM"
        names = "'CapEff', 'CapPrm', 'CapBnd', 'CapInh', 'CapAmb', 'NoNewPrivs', 'Seccomp'"
        assert await ask(clone, f"result = status({names})") == [nothing] * 5 + ["1", "2"]

    run_story(story, {"probing": TOOLS + IN_TEMPLATE})


def test_clone_neither_sees_nor_reaches_the_others() -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template()
        one, other = await bench.clone(template), await bench.clone(template)
        await ask(other, "result = 1")
        kill = "\n".join(
            (
                "failed = []",
                "for pid in [*range(3, 2000), 0x7fff]:",
                "    if pid != os.getpid():",
                "        try: os.kill(pid, 9); failed.append(pid)",
                "        except ProcessLookupError: pass",
                "import signal",
                "signal.signal(10, signal.SIG_IGN); os.kill(0, 10)",
                "try: os.kill(-1, 10); failed.append(-1)",
                "except ProcessLookupError: pass",
                "result = failed",
            )
        )
        assert await ask(one, kill) == []
        assert await ask(one, "open('/proc/1/mem', 'rb').read(1)") in ("EACCES", "EPERM", "EIO", None)
        assert await ask(one, "result = os.getsid(0) == os.getpgid(0) == os.getpid()") is True
        assert await ask(other, "result = count") == 2
        assert await ask(await bench.clone(template), "result = count") == 1
        assert template.ends.empty() and other.ends.empty()

    run_story(story, {})


def test_limits_of_a_clone_are_its_own() -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template()
        one, other = await bench.clone(template), await bench.clone(template)
        bomb = "\n".join(
            (
                "import threading",
                "threading.stack_size(65536)",
                "made, gate = 0, threading.Event()",
                "try:",
                "    while made < 3000:",
                "        threading.Thread(target=gate.wait, daemon=True).start()",
                "        made += 1",
                "except RuntimeError: pass",
                "result = made",
            )
        )
        assert 900 < await ask(one, bomb) < 1100
        assert await ask(other, "result = subprocess.call(['/bin/true'])") == 0
        await one.sandbox.kill()
        await other.ready.get()
        other.send(b'{"do": "x = bytearray(400 << 20)"}')
        assert (await other.ends.get()).cause is EndCause.OUT_OF_MEMORY
        assert await ask(await bench.clone(template), "result = count") == 1

    run_story(story, {})


CHEATS = {
    "says nothing": ("makes no clones", "time.sleep(999)"),
    "closes": ("makes no clones", "life.close(); [os.close(fd) for fd in fds]; time.sleep(999)"),
    "ends": ("makes no clones|has ended", "os._exit(0)"),
    "sends noise": ("makes no clones", "[life.send(b'E' * 5) for _ in range(3)]; time.sleep(999)"),
    "sends no process": (
        "no descriptor of a process",
        "socket.send_fds(life, [WORD], [os.open('/proc', 0)])",
    ),
    "sends a pipe": ("no descriptor of a process", "socket.send_fds(life, [WORD], [os.pipe()[0]])"),
    "sends itself": ("has capabilities", "present(life, os.getpid())"),
    "sends its init": ("another account", "present(life, 1)"),
    "sends a plain fork": (
        "not the first of a pid namespace",
        "pid = os.fork()\nif not pid: os.setsid(); drop(); time.sleep(999)\n"
        "time.sleep(0.2); present(life, pid)",
    ),
    "keeps its capability": (
        "has capabilities",
        "if not clone(): os.setsid(); present(life, 1); go(life)",
    ),
    "stays in the session": (
        "in the session of another",
        "if not clone(): drop(); present(life, 1); go(life)",
    ),
    "has threads": (
        "several threads",
        "if not clone():\n    os.setsid(); drop()\n"
        "    threading.Thread(target=time.sleep, args=(999,)).start(); present(life, 1); go(life)",
    ),
    "leaves a process behind": (
        "left processes behind",
        "if not clone():\n    os.setsid(); drop()\n"
        "    if not os.fork(): time.sleep(999)\n"
        "    present(life, 1); go(life)",
    ),
    "sends one from a namespace below": (
        "not the first of a pid namespace",
        "if not clone():\n"
        "    if not os.fork():\n"
        "        if not clone(): os.setsid(); drop(); present(life, 1); go(life)\n"
        "    time.sleep(999)",
    ),
    "has many processes": (
        "too many processes",
        "for _ in range(70 if 'many' not in globals() else 0):\n"
        "    if not os.fork(): time.sleep(999)\n"
        "globals()['many'] = True\n"
        "if not clone(): os.setsid(); drop(); present(life, 1); go(life)",
    ),
    "sends a clone again": (
        "not in the template's cgroup|makes no clones|has capabilities|session",
        "if 'first' in globals(): present(life, first)\n"
        "else:\n"
        "    globals()['first'] = clone()\n"
        "    if not first: os.setsid(); drop(); present(life, 1); go(life)",
    ),
}
"""Name -> the reason why it is refused, and what a template does instead of being cloned honestly."""
CHEATING = """
import sys, threading
WORD = b"P" + bytes(4)
def present(life, pid):
    socket.send_fds(life, [WORD], [libc.syscall(434, pid, 0)])
def clone():
    return ctypes.PyDLL(None).syscall(56, ctypes.c_ulong(0x6C028011), None, None, None, None)
def drop():
    class Header(ctypes.Structure): _fields_ = [("v", ctypes.c_uint32), ("p", ctypes.c_int)]
    assert libc.syscall(126, ctypes.byref(Header(0x20080522, 0)), (ctypes.c_uint32 * 6)()) == 0
def go(life):
    life.recv(9); life.send(b"F" + bytes(4)); time.sleep(999)
def lie(self):
    orders = next(socket.socket(fileno=fd) for fd in range(3, 64) if is_orders(fd))
    orders.setblocking(True)
    orders.send(b"S")
    while True:
        message, fds, _, _ = socket.recv_fds(orders, 16, 3)
        if not message: os._exit(0)
        life, fds = socket.socket(fileno=fds[2]), fds[:2]
        exec(CHEAT, globals(), {"life": life, "fds": fds})
def is_orders(fd):
    try: one = socket.socket(fileno=os.dup(fd))
    except OSError: return False
    return one.family == socket.AF_UNIX and one.type == socket.SOCK_SEQPACKET
import squib.environment.isolation.snapshot as snapshot
snapshot.take = lie
"""


@pytest.mark.parametrize("name", CHEATS)
def test_template_that_cheats_is_refused_and_ended_and_nobody_else_notices(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    reason, cheat = CHEATS[name]

    async def story(bench: Bench) -> None:
        honest = await bench.template()
        bystander = await bench.clone(honest)
        template = await bench.start(handler="cheating.handler", is_template=True)
        assert await template.snapshots.get() is None
        with pytest.raises(TemplateLost) as lost:
            async with asyncio.timeout(20):
                for _ in range(4):
                    await bench.clone(template)
        async with asyncio.timeout(10):
            await template.ends.get()
            while not re.search(
                reason, f"{lost.value}\n{caplog.text}"
            ):  # its end may be told before the reason
                await asyncio.sleep(0.01)
        await template.sandbox.destroy()
        assert await ask(bystander, "result = count") == 1
        assert await ask(await bench.clone(honest), "result = count") == 1

    run_story(story, {"cheating": f"{TOOLS}{CHEATING}CHEAT = {cheat!r}\n"})
