"""File systems for the /tmp of sandboxes, of fixed size, on loop devices over sparse, nameless files."""

import errno
import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

from squib.environment.isolation import confine

DEFAULT_TMP_MIB = 512
RESERVE_BYTES = 1 << 30  # squib's choice: what files of /tmp, made sparse, must leave free on the disk
MAX_TEMPLATES = 16  # sizes of /tmp that are kept ready to be copied: each is a descriptor and a few MiB

MAX_KEPT_TMP_BYTES = 128 << 20  # squib's choice: what each clone of a template is given a copy of

_FIFREEZE, _FITHAW = 0xC004_5877, 0xC004_5878
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
            images.make(DEFAULT_TMP_MIB).close()
        except (OSError, subprocess.SubprocessError):
            return False
        return True

    def make(self, size_mib: int) -> "TmpImage":
        """An empty file system that has `size_mib` MiB to give, mode 1777."""
        template = self._templates.get(size_mib)
        if template is None:
            if len(self._templates) >= MAX_TEMPLATES:
                os.close(self._templates.pop(next(iter(self._templates))))
            template = self._templates[size_mib] = self._template(size_mib)
        return self.copy(template)

    def copy(self, source: int) -> "TmpImage":
        """A file system as it is in the image `source`."""
        image = self.copy_file(source)
        try:
            return TmpImage(image, *_attach(image))
        except BaseException:
            os.close(image)
            raise

    def copy_file(self, source: int) -> int:
        """A copy of an image, without a device."""
        image = os.open(self._directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            _copy_sparse(source, image)
        except BaseException:
            os.close(image)
            raise
        return image

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


class TmpImage:
    """One file system: its image and its loop device, which ends when this is closed and no mount is left."""

    def __init__(self, image: int, device: int, number: int) -> None:
        self._image, self._device, self.number = image, device, number

    def mount(self) -> int:
        """A descriptor of it, mounted nowhere yet."""
        name = os.readlink(f"/proc/self/fd/{self._device}")
        return confine.detached_mount("ext4", {"source": name}, confine.MS_NOSUID | confine.MS_NODEV)

    def keep(self, images: TmpImages) -> int | None:
        """A copy of the image as it is now, whoever writes to it; None when there is nothing in it. Raises
        OSError, also when more is in it than squib copies for each clone."""
        mounted = self.mount()
        try:
            folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mounted)
            try:
                if not os.listdir(folder):
                    return None
                fcntl.ioctl(folder, _FIFREEZE, 0)
                try:
                    if os.fstat(self._image).st_blocks * 512 > MAX_KEPT_TMP_BYTES:
                        limit = f"{MAX_KEPT_TMP_BYTES >> 20} MiB"
                        raise OSError(errno.EFBIG, f"initialization has written more than {limit} to /tmp")
                    return images.copy_file(self._image)
                finally:
                    fcntl.ioctl(folder, _FITHAW, 0)
            finally:
                os.close(folder)
        finally:
            os.close(mounted)

    def close(self) -> None:
        """Gives it up."""
        os.close(self._device)
        os.close(self._image)


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
