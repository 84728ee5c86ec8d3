"""Slots: the prepared places that sandboxes are put into, made ahead of need by the launcher.

Slot N is an account (uid base + N), a network namespace, a cgroup and a /tmp of its own. The namespace is
kept from one use to the next; cgroup, /tmp and listening sockets are new each time.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path

from squib.environment import confine
from squib.environment.cgroups import Cgroups
from squib.environment.network import NetworkPlan, SlotNetwork

RUNTIME_API_PORT = 9001
DEFAULT_TMP_MIB = 512
RESERVE_BYTES = 1 << 30  # squib's choice: what files of /tmp, made sparse, must leave free on the disk
MAX_TEMPLATES = 16  # sizes of /tmp that are kept ready to be copied: each is a descriptor and a few MiB

_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE, _LOOP_CLR_FD = 0x4C82, 0x4C0A, 0x4C01
_LO_FLAGS_AUTOCLEAR = 4
_LOOP_INFO = struct.Struct("=QQQQQIIII64s64s32sQQ")


class TmpImages:
    """File systems of fixed size for /tmp: ext4 on a loop device over an unlinked file.

    Not tmpfs, whose pages would count against the function's memory, which on Lambda they do not."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._templates: dict[int, int] = {}

    @staticmethod
    def supported(directory: Path) -> bool:
        """True when this machine can make one, tried for real."""
        if shutil.which("mkfs.ext4") is None or not os.path.exists("/dev/loop-control"):
            return False
        try:
            images = TmpImages(directory)
            os.close(images.make(DEFAULT_TMP_MIB)[0])
        except (OSError, subprocess.SubprocessError):
            return False
        return True

    def make(self, size_mib: int) -> tuple[int, int]:
        """(descriptor, device number) of a loop device with an empty file system that has `size_mib` MiB to
        give, mode 1777. The device ends when the descriptor and every mount of it are gone."""
        template = self._templates.get(size_mib)
        if template is None:
            if len(self._templates) >= MAX_TEMPLATES:
                os.close(self._templates.pop(next(iter(self._templates))))
            template = self._templates[size_mib] = self._template(size_mib)
        image = os.open(self._directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            _copy_sparse(template, image)
            return _attach(image)
        finally:
            os.close(image)

    def _template(self, size_mib: int) -> int:
        path = self._directory / f".tmp-{size_mib}-{os.getpid()}.ext4"
        try:
            with path.open("wb") as file:
                file.truncate((size_mib + size_mib // 32 + 16) << 20)  # room for ext4's own tables
            options = (
                "-q -F -m 0 -O ^has_journal,^resize_inode -E lazy_itable_init=1,nodiscard,root_owner=0:0"
            )
            subprocess.run(
                ["mkfs.ext4", *options.split(), str(path)],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=60,
            )
            image = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except subprocess.SubprocessError as error:
            raise OSError(errno.EIO, f"mkfs.ext4 failed: {error}") from error
        finally:
            path.unlink(missing_ok=True)
        device, _ = _attach(image)
        mountpoint = self._directory / f".tmp-mount-{os.getpid()}"
        mountpoint.mkdir(exist_ok=True)
        try:
            name = os.readlink(f"/proc/self/fd/{device}")
            confine.mount(name, str(mountpoint), "ext4", confine.MS_NOSUID | confine.MS_NODEV)
            try:
                (mountpoint / "lost+found").rmdir()
                mountpoint.chmod(0o1777)
            finally:
                confine.umount(str(mountpoint))
        finally:
            os.close(device)
            mountpoint.rmdir()
        return image

    def check_reserve(self) -> None:
        """Raises OSError when the disk is so full that nobody may begin to fill another /tmp: under
        `RESERVE_BYTES`, or a twentieth of a small disk. What runs already may write on."""
        disk = os.statvfs(self._directory)
        if disk.f_bavail * disk.f_frsize < min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 20):
            raise OSError(errno.ENOSPC, "the disk of the data directory is nearly full: no room for a /tmp")

    def close(self) -> None:
        """Gives the templates up."""
        for fd in self._templates.values():
            os.close(fd)
        self._templates.clear()


def _copy_sparse(source: int, target: int) -> None:
    size = os.fstat(source).st_size
    os.truncate(target, size)
    position = 0
    while True:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data past here
                return
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        while start < end:
            block = os.pread(source, min(end - start, 1 << 20), start)
            start += os.pwrite(target, block, start)
        position = end


def _attach(image: int) -> tuple[int, int]:
    info = _LOOP_INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, b"squib", b"", b"", 0, 0)
    config = struct.pack("=II", image, 0) + info + bytes(64)
    with open("/dev/loop-control", "rb") as control:
        for _ in range(100):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # somebody else was quicker
                    raise
                continue
            return device, os.fstat(device).st_rdev
    raise OSError(errno.EBUSY, "no free loop device")


class Slot:
    """One slot. `prepare` before each use, `retire` after it until it says that nothing is left."""

    def __init__(
        self,
        number: int,
        *,
        plan: NetworkPlan,
        cgroups: Cgroups | None,
        images: TmpImages | None,
        nodes: Path,
        owner_uid: int,
        endpoint_port: int,
    ) -> None:
        self.number = number
        self._cgroups, self._images, self._nodes, self._owner_uid = cgroups, images, nodes, owner_uid
        self._ports = (RUNTIME_API_PORT, endpoint_port)
        self._tmp: tuple[int, int] | None = None
        self._plan = plan
        self.network = SlotNetwork(plan, number)

    @property
    def _node(self) -> Path:
        return self._nodes / str(self.number)

    def prepare(self) -> list[socket.socket]:
        """Makes it ready for one sandbox; returns the listeners of the Runtime API and of the endpoint.
        Raises OSError."""
        if self._cgroups is not None:
            self._cgroups.create(self.number, owner_uid=self._owner_uid)
        self.resize_tmp(DEFAULT_TMP_MIB)
        return self.network.listen(*self._ports)

    def resize_tmp(self, size_mib: int) -> None:
        """Replaces /tmp by an empty one of another size. Raises OSError."""
        if self._images is None:
            return
        self._images.check_reserve()
        self._drop_tmp()
        self._tmp = self._images.make(size_mib)
        os.mknod(self._node, 0o600 | 0o060000, self._tmp[1])

    def _drop_tmp(self) -> None:
        if self._tmp is not None:
            self._node.unlink(missing_ok=True)
            os.close(self._tmp[0])
            self._tmp = None

    def retire(self) -> bool:
        """Kills what is in it; True when all is gone, else call again."""
        if self._cgroups is not None:
            if not self._cgroups.kill(self.number):
                return False
            if not self._cgroups.remove(self.number):
                return False
        else:  # nobody tells when its last process has ended: the next one gets a network of its own
            self.network.close()
            self.network = SlotNetwork(self._plan, self.number)
        self._drop_tmp()
        return True

    def close(self) -> None:
        """Gives everything up."""
        with contextlib.suppress(OSError):
            self._drop_tmp()
        self.network.close()
