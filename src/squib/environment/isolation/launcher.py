"""The one process of squib that stays privileged: makes slots and starts fork servers, nothing else.

It takes few commands from squib's daemon, each a small JSON object whose few values are checked here, and
never sees a request, an event or code. When the daemon goes away, however that happens, it ends every
sandbox and removes what it made on the host. Without root it does the same as the root of a user namespace.

Commands: {"op": "zygote", "runtime": NAME}, {"op": "took"}, {"op": "tmp", "slot": N, "mib": M},
{"op": "kill", "slot": N}, {"op": "recycle", "slot": N}; for clones: {"op": "snapshot", "slot": N},
{"op": "clone-slot"}, {"op": "adopt", "slot": N, "template": M} with a descriptor of the process,
{"op": "socket", "slot": N, "udp": BOOL}, {"op": "end", "slot": N}. Answers: {"op": ..., ...} with
descriptors; {"op": "slot", "slot": N} comes by itself whenever fewer than `ready_slots` are ready.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from squib.environment.isolation import cgroup_places, confine, rootfs
from squib.environment.isolation.adoption import NotAClone
from squib.environment.isolation.cgroups import Cgroups
from squib.environment.isolation.claims import (
    claim_tag,
    end_leftovers,
    sweep_dead_firewalls,
    sweep_dead_groups,
)
from squib.environment.isolation.network import NetworkPlan, firewall, remove_firewall
from squib.environment.isolation.slots import Slot
from squib.environment.isolation.tmp_images import TmpImages
from squib.environment.isolation.zygote import Options as ZygoteOptions

MAX_COMMAND_BYTES = 4096
PROBED_UID = 65_534  # any will do
ANSWERED = ("tmp", "snapshot", "clone-slot", "adopt", "socket")  # whoever sends one of these waits
_RETRY_MS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherOptions:
    """What `squib serve` tells the launcher at the start; all of it comes from root's own configuration."""

    control_fd: int
    run_dir: str
    """A directory of root's own, mode 0700: holds /tmp images while they are made, and mount points."""
    code_dir: str
    daemon_uid: int
    uid_base: int
    max_slots: int
    ready_slots: int
    endpoint_port: int
    outside: bool
    rootless: bool
    file_descriptors: int
    roots: Mapping[str, rootfs.RootSpec] = field(default_factory=dict)

    def encode(self) -> str:
        """For the command line of the launcher."""
        return json.dumps(asdict(self))

    @staticmethod
    def decode(text: str) -> "LauncherOptions":
        """The inverse of `encode`."""
        fields = json.loads(text)
        fields["roots"] = {name: rootfs.RootSpec(**spec) for name, spec in fields["roots"].items()}
        return LauncherOptions(**fields)


class Launcher:
    """State of the launcher process; single-threaded, one loop."""

    def __init__(self, options: LauncherOptions) -> None:
        self.options = options
        self.control = socket.socket(fileno=options.control_fd)
        self.claim, tag = claim_tag(options.run_dir)
        self.warnings: list[str] = []
        # First: in a process namespace of its own it could not name the daemon, which may have to be moved.
        self.cgroups = self._make_cgroups(f"squib-{tag}")
        if options.rootless:
            become_root_of_nothing()
        confine.unshare(confine.CLONE_NEWNS)
        confine.mount(None, "/", None, confine.MS_REC | confine.MS_PRIVATE)
        if options.rootless:
            confine.mount("proc", "/proc", "proc", confine.MS_NOSUID | confine.MS_NODEV | confine.MS_NOEXEC)
        # By the working directory from here on: whoever owns a folder above can't swap it for another.
        enter_own_directory(options.run_dir)
        self.images = self._find_images(Path())
        self.stage = Path("stage")
        self.stage.mkdir(exist_ok=True)
        confine.mount("tmpfs", str(self.stage), "tmpfs", confine.MS_NOSUID, "size=4m,mode=755")
        for name in ("slots", "code"):
            (self.stage / name).mkdir()
        # Bound now, before a request is read: the daemon's account can put a link in its place later.
        code = os.open(options.code_dir, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        confine.mount(f"/proc/self/fd/{code}", str(self.stage / "code"), None, confine.MS_BIND)
        os.close(code)
        self.plan = self._make_network(tag)
        self.makes_clones = self.cgroups is not None and not options.rootless and can_make_clones()
        self.slots: dict[int, Slot] = {}
        self.free: list[int] = []
        self.retiring: dict[int, float] = {}
        self.ready = 0

    def _find_images(self, directory: Path) -> TmpImages | None:
        if self.options.rootless or not TmpImages.supported(directory):
            self.warnings.append("/tmp of functions is kept in memory (no loop devices or no mkfs.ext4)")
            return None
        return TmpImages(directory)

    def _make_cgroups(self, name: str) -> Cgroups | None:
        place = cgroup_places.this_place()
        if place is None:
            self.warnings.append("no cgroups: memory is limited per process only, CPU and processes are not")
            return None
        try:
            groups = cgroup_places.make_base(place, name)
        except OSError as error:
            self.warnings.append(f"cgroups can't be used ({error}): memory is limited per process only")
            return None
        if place.missing:
            self.warnings.append(
                f"{', '.join(place.missing)} of functions not limited: not handed down by cgroups"
            )
        self.cgroup_paths = place.bases(name)
        end_leftovers(groups)
        sweep_dead_groups(place)
        return groups

    def _make_network(self, tag: str) -> NetworkPlan:
        plan = NetworkPlan(tag=tag, outside=self.options.outside)
        if not self.options.rootless:
            with contextlib.suppress(OSError):
                remove_firewall(plan)
            sweep_dead_firewalls()
        if self.options.outside:
            try:
                firewall(plan)
            except OSError as error:
                self.warnings.append(f"functions can't reach the outside network: {error}")
                return NetworkPlan(tag=tag, outside=False)
        return plan

    def run(self) -> None:
        """Until the daemon goes away."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        try:
            self.answer(
                op="started",
                warnings=self.warnings,
                outside=self.plan.outside,
                cgroups=self.cgroup_paths if self.cgroups is not None else {},
                clones=self.makes_clones,
                tmp="disk" if self.images is not None else "memory",
            )
            while True:
                busy = self.ready < self.options.ready_slots and self._can_add()
                if poll.poll(0 if busy else _RETRY_MS if self.retiring else None):
                    message, fds, _, _ = socket.recv_fds(self.control, MAX_COMMAND_BYTES, 1)
                    if not message:
                        return
                    try:
                        self.obey(message, fds)
                    finally:
                        for fd in fds:
                            os.close(fd)
                    continue
                self.finish_retiring()
                if busy:
                    self.add_slot()
        except ConnectionError:  # the daemon is gone
            return
        finally:
            self.end()

    def obey(self, message: bytes, fds: Sequence[int] = ()) -> None:
        """One command; a bad one is answered, never fatal."""
        command: dict[str, Any] = {}
        try:
            command = json.loads(message)
            match command:
                case {"op": "zygote", "runtime": str(runtime)} if runtime in self.options.roots:
                    self.start_zygote(runtime)
                case {"op": "took"}:
                    self.ready -= 1
                case {"op": "tmp", "slot": int(number), "mib": int(mib)} if self._in_use(number):
                    if not 1 <= mib <= 65_536:
                        raise ValueError("size out of bounds")
                    self.answer(op="tmp", slot=number, error=problem(self.slots[number].resize_tmp, mib))
                case {"op": "kill", "slot": int(number)} if self._in_use(number):
                    if self.cgroups is not None:
                        self.cgroups.kill_inside(number)
                case {"op": "recycle", "slot": int(number)} if self._in_use(number):
                    self.retiring[number] = time.monotonic()
                    self.finish_retiring()
                case {"op": "snapshot", "slot": int(number)} if self._in_use(number):
                    self.answer(op="snapshot", slot=number, error=problem(self.slots[number].take_snapshot))
                case {"op": "clone-slot"}:
                    self.add_clone_slot()
                case {"op": "adopt", "slot": int(number), "template": int(template)} if (
                    self._in_use(number) and self._in_use(template) and number != template and len(fds) == 1
                ):
                    self.adopt(number, template, fds[0])
                case {"op": "socket", "slot": int(number), "udp": bool(is_udp)} if self._in_use(number):
                    network = self.slots[number].network
                    if network is None:
                        raise ValueError("it has no network")
                    kind = socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM
                    with network.socket(kind) as made:
                        self.answer([made.fileno()], op="socket", slot=number, error=None)
                case {"op": "end", "slot": int(number)} if self._in_use(number):
                    self.slots[number].kill()
                case _:
                    raise ValueError("unknown command")
        except (OSError, ValueError, RecursionError) as error:
            self.answer(op="error", error=str(error), command=message.decode(errors="replace")[:200])
            if command.get("op") in ANSWERED:
                self.answer(op=command["op"], slot=command.get("slot"), error=str(error))

    def _in_use(self, number: int) -> bool:
        return number in self.slots and number not in self.free and number not in self.retiring

    def answer(self, fds: Sequence[int] = (), **fields: Any) -> None:
        """Sends one message with descriptors."""
        socket.send_fds(self.control, [json.dumps(fields).encode()], list(fds))

    # --- slots

    def _can_add(self) -> bool:
        return bool(self.free) or len(self.slots) < self.options.max_slots

    def add_slot(self) -> None:
        """Prepares one slot and hands it over."""
        slot = None
        try:
            slot = self._free_slot(has_network=True)
            listeners = slot.prepare()
            network = slot.network
            assert network is not None
        except OSError as error:
            self.answer(op="error", error=f"can't prepare a sandbox: {error}", command="slot")
            if slot is not None:
                self.retiring[slot.number] = time.monotonic()
            time.sleep(0.05)  # out of something: don't spin
            return
        self.ready += 1
        fds = [listener.fileno() for listener in listeners]
        self.answer([*fds, network.fd], op="slot", slot=slot.number)
        for listener in listeners:
            listener.close()

    def _free_slot(self, *, has_network: bool) -> Slot:
        """One to prepare; the networks that there are stay with those that use them, as far as possible."""
        if self.free:
            fitting = [n for n in self.free if (self.slots[n].network is not None) is has_network]
            number = fitting[-1] if fitting else self.free[-1]
            self.free.remove(number)
            return self.slots[number]
        if len(self.slots) >= self.options.max_slots:
            raise OSError("all places for sandboxes are taken")
        slot = self.slots[len(self.slots)] = Slot(
            len(self.slots),
            plan=self.plan,
            cgroups=self.cgroups,
            images=self.images,
            nodes=self.stage / "slots",
            owner_uid=None if self.options.rootless else self.options.daemon_uid,
            endpoint_port=self.options.endpoint_port,
        )
        return slot

    # --- clones

    def add_clone_slot(self) -> None:
        """Prepares a slot for a clone and hands it over, or says why there is none."""
        slot = None
        try:
            slot = self._free_slot(has_network=False)
            slot.prepare_for_clone()
        except OSError as error:
            if slot is not None:
                self.retiring[slot.number] = time.monotonic()
            self.answer(op="clone-slot", number=None, error=str(error))
            return
        self.answer(op="clone-slot", number=slot.number, error=None)

    def adopt(self, number: int, template: int, pidfd: int) -> None:
        """Takes a clone in. A template that offers what is none ends."""
        uid = self.options.uid_base + template
        try:
            listeners, resident_bytes = self.slots[number].adopt(pidfd, self.slots[template], uid)
        except OSError as error:
            is_lost = isinstance(error, NotAClone)
            self.answer(op="adopt", slot=number, error=str(error), lost=is_lost)
            self.slots[number].kill()
            if is_lost and self.cgroups is not None:
                self.cgroups.kill_inside(template)
            return
        fds = [listener.fileno() for listener in listeners]
        self.answer(fds, op="adopt", slot=number, error=None, resident_bytes=resident_bytes)
        for listener in listeners:
            listener.close()

    def finish_retiring(self) -> None:
        """Makes slots whose processes have ended free again."""
        for number in list(self.retiring):
            with contextlib.suppress(OSError):  # such as out of memory: tried again
                if self.slots[number].retire():
                    del self.retiring[number]
                    self.free.append(number)

    # --- fork servers

    def start_zygote(self, runtime: str) -> None:
        """Starts the fork server of a runtime; the daemon gets its end of the command socket, on which the
        fork server says when it is ready."""
        spec = self.options.roots[runtime]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            pid = os.fork()
            if pid == 0:
                self.become_zygote(spec, theirs.fileno())
            self.answer([ours.fileno()], op="zygote", runtime=runtime, pid=pid)

    def become_zygote(self, spec: rootfs.RootSpec, control_fd: int) -> NoReturn:
        """In the new process: its own root, few descriptors, then the runtime's interpreter."""
        try:
            bases = self.cgroups.bases if self.cgroups is not None else {}
            confine.close_all_but([control_fd, *bases.values()])
            confine.unshare(confine.CLONE_NEWNS)
            rootfs.build(
                spec,
                root=self.stage / "root",
                slots=self.stage / "slots",
                code=self.stage / "code",
                uids=range(self.options.uid_base, self.options.uid_base + self.options.max_slots),
            )
            for fd in (control_fd, *bases.values()):
                os.set_inheritable(fd, True)
            options = ZygoteOptions(
                control_fd=control_fd,
                cgroup_fds=dict(bases),
                max_slots=self.options.max_slots,
                uid_base=self.options.uid_base,
                single_user=self.options.rootless,
                preload=spec.preload,
                file_descriptors=self.options.file_descriptors,
            )
            program = "from squib.environment.isolation.zygote import main; main()"
            arguments = [spec.fork_server, "-S", "-c", program, json.dumps(options._asdict())]
            os.execve(spec.fork_server, arguments, dict(spec.variables))
        except BaseException as error:
            sys.stderr.write(f"squib launcher: can't start a fork server: {error}\n")
        finally:
            os._exit(1)

    # --- the end

    def end(self) -> None:
        """Every sandbox ends and nothing stays on the host."""
        deadline = time.monotonic() + 10
        living = set(self.slots) - set(self.free)
        while living and time.monotonic() < deadline:
            living = {number for number in living if not self.slots[number].retire()}
            if living:
                time.sleep(_RETRY_MS / 1000)
        for slot in self.slots.values():
            slot.close()
        if self.images is not None:
            self.images.close()
        if self.cgroups is not None:
            end_leftovers(self.cgroups)
            self.cgroups.close()
            for path in self.cgroup_paths.values():
                with contextlib.suppress(OSError):
                    os.rmdir(path)
        if not self.options.rootless:
            with contextlib.suppress(OSError):
                remove_firewall(self.plan)
        self.claim.close()


def enter_own_directory(path: str) -> None:
    """Makes a folder the working directory. Raises OSError unless it is nobody's but this account's: the one
    above belongs to the daemon's account, which could have made it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionError(f"{path} must belong to this account, mode 0700: remove it")
        os.fchdir(fd)
    finally:
        os.close(fd)


def become_root_of_nothing() -> None:
    """Without root: goes on as root of a user namespace, and as the first process of its process and network
    namespaces. The process that was started waits for it, so that its end is seen."""
    confine.enter_user_namespace()
    confine.unshare(confine.CLONE_NEWPID | confine.CLONE_NEWNET | confine.CLONE_NEWIPC)
    pid = os.fork()
    if pid:
        confine.close_all_but(())
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    confine.die_with_parent()
    confine.loopback_up()


def can_make_clones() -> bool:
    """This machine allows the user namespace that a template needs, and has what takes a clone in."""
    flags = confine.MS_NOSUID | confine.MS_NODEV
    try:
        os.close(confine.make_user_namespace(PROBED_UID))
        os.close(confine.detached_mount("tmpfs", {"size": "4k"}, flags))
        os.close(confine.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def problem(do: Callable[..., None], *arguments: Any) -> str | None:
    """Does something; what stood against it."""
    try:
        do(*arguments)
    except OSError as error:
        return error.strerror or str(error)
    return None


def reap_children() -> None:
    """Fork servers and sandboxes are not waited for."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon decides when to end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def main() -> int:
    """`python -m squib.environment.isolation.launcher OPTIONS`."""
    options = LauncherOptions.decode(sys.argv[1])
    try:
        launcher = Launcher(options)
    except OSError as error:
        control = socket.socket(fileno=options.control_fd)
        control.send(json.dumps({"op": "failed", "error": str(error)}).encode())
        return 1
    reap_children()
    launcher.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
