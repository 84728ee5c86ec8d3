"""Whether /dev/kvm really runs guests: starts a tiny one and watches the time it takes.

Some hosts hand out a KVM that opens and makes machines but emulates every kernel instruction of an ordinary
guest, a thousand times too slow to boot one. So the guest is a loop in 64-bit kernel mode.
"""

import ctypes
import fcntl
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

DEVICE: Final = Path("/dev/kvm")
GUEST_LIMIT_S: Final = 1.0  # the loop takes about 5 ms on a processor, and over 10 s emulated

_GET_API_VERSION, _CREATE_VM, _GET_VCPU_MMAP_SIZE, _CREATE_VCPU, _RUN = 0xAE00, 0xAE01, 0xAE04, 0xAE41, 0xAE80
_SET_USER_MEMORY_REGION = 0x4020AE46
_SET_REGS, _GET_SREGS, _SET_SREGS = 0x4090AE82, 0x8138AE83, 0x4138AE84
_EXIT_IO, _EXIT_HLT = 2, 5

_MEMORY_BYTES = 1 << 20
_CODE_AT, _TABLES_AT, _STACK_AT = 0x1000, 0x2000, 0x8000
_PORT = 0x10
_ITERATIONS = 10_000_000
_CODE = (
    b"\xb9" + struct.pack("<I", _ITERATIONS)  # mov ecx, iterations
    + b"\xff\xc9"  # again: dec ecx
    + b"\x75\xfc"  # jnz again
    + b"\xe6" + bytes([_PORT])  # out port, al
    + b"\xf4"  # hlt
)  # fmt: skip


def run_guest() -> str:
    """Runs the guest to its end and says so. Raises OSError with the reason. May never return: call it in a
    process that can be killed."""
    machine = os.uname().machine
    if machine != "x86_64":
        raise OSError(f"squib has no test guest for {machine}")
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    version = fcntl.ioctl(device, _GET_API_VERSION, 0)
    if version != 12:
        raise OSError(f"KVM speaks version {version} of its interface, not 12")
    vm = fcntl.ioctl(device, _CREATE_VM, 0)
    memory = mmap.mmap(-1, _MEMORY_BYTES)
    _load(memory)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(vm, _SET_USER_MEMORY_REGION, struct.pack("=IIQQQ", 0, 0, 0, _MEMORY_BYTES, address))
    vcpu = fcntl.ioctl(vm, _CREATE_VCPU, 0)
    state = mmap.mmap(vcpu, fcntl.ioctl(device, _GET_VCPU_MMAP_SIZE, 0))
    _enter_long_mode(vcpu)
    registers = [0] * 18
    registers[6], registers[16], registers[17] = _STACK_AT, _CODE_AT, 2  # rsp, rip, rflags
    fcntl.ioctl(vcpu, _SET_REGS, struct.pack("=18Q", *registers))
    for expected in (_EXIT_IO, _EXIT_HLT):
        fcntl.ioctl(vcpu, _RUN, 0)
        (reason,) = struct.unpack_from("=I", state, 8)
        (port,) = struct.unpack_from("=H", state, 34)
        if reason != expected or (reason == _EXIT_IO and port != _PORT):
            raise OSError(f"a test guest stopped for reason {reason} instead of {expected}")
    return "a test guest ran"


def _load(memory: mmap.mmap) -> None:
    """The code, and page tables that show the first 2 MiB as they are."""
    memory[_CODE_AT : _CODE_AT + len(_CODE)] = _CODE
    present_writable, large_page = 3, 0x83
    entries: Sequence[int] = (
        _TABLES_AT + 0x1000 | present_writable,
        _TABLES_AT + 0x2000 | present_writable,
        large_page,
    )
    for level, entry in enumerate(entries):
        start = _TABLES_AT + level * 0x1000
        memory[start : start + 8] = struct.pack("<Q", entry)


def _enter_long_mode(vcpu: int) -> None:
    """Sets the special registers (struct kvm_sregs) for flat 64-bit kernel mode."""
    special = bytearray(312)
    fcntl.ioctl(vcpu, _GET_SREGS, special)
    segment = (
        "=QIHBBBBBBBBBB"  # base, limit, selector, type, present, dpl, db, s, l, g, avl, unusable, padding
    )
    struct.pack_into(segment, special, 0, 0, 0xFFFF_FFFF, 8, 11, 1, 0, 0, 1, 1, 1, 0, 0, 0)
    for index in range(1, 6):  # ds, es, fs, gs, ss
        struct.pack_into(segment, special, 24 * index, 0, 0xFFFF_FFFF, 16, 3, 1, 0, 1, 1, 0, 1, 0, 0, 0)
    control = list(struct.unpack_from("=7Q", special, 224))  # cr0, cr2, cr3, cr4, cr8, efer, apic base
    control[0], control[2], control[3], control[5] = 0x8005_0033, _TABLES_AT, 0x20, 0x500
    struct.pack_into("=7Q", special, 224, *control)
    fcntl.ioctl(vcpu, _SET_SREGS, bytes(special))
