"""What the daemon, a fork server and a sandbox's init say to each other: sizes, letters, bounds.

Standard library only, Python 3.9 syntax: fork servers run under whatever interpreter their runtime has.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

READY = b"ready"
MAX_MEMORY_BYTES = 64 << 30
BLANK_LAYOUT = struct.Struct("=4sI")
BLANK_MAGIC = b"BLK1"
ASSIGN_LAYOUT = struct.Struct("=4sQIIIQ32s32sI?")
ASSIGN_MAGIC = b"ASN3"
NO_LAYERS = bytes(32)
# Control socket, squib -> init.
RESTART, KILL, FREEZE, THAW = b"R", b"K", b"F", b"T"
BEGIN, TERMINATE, KILL_RUNTIME = b"G", b"Q", b"X"  # of the runtime alone, where there are extensions
SOCKET = b"C"  # wants a TCP socket of the sandbox's network, and is given one that is not connected
# Control socket, init -> squib: the letter, then a number.
BLANK, STARTED, ENDED, NOT_STARTED = b"B", b"S", b"E", b"N"
# Of extensions; where one is meant, its index is in the upper half of the number.
EXTENSIONS_STARTED, EXTENSION_ENDED, EXTENSION_NOT_STARTED = b"s", b"e", b"n"
KILLED = b"K"  # nothing but init runs
REPORT = struct.Struct("=cq")
# The daemon and a template, on a socket of their own. A clone is ordered with three descriptors: for output,
# for telemetry, and for its own conversation with the daemon.
MAKE_CLONE = b"C"
SNAPSHOT, REFUSAL = b"S", b"R"  # it can be cloned from now on; it can't, and why
MAX_REFUSAL_BYTES = 1000
# The daemon and a clone: the clone says that it is there, with a descriptor of its process; is told that it
# has its place, forks the runtime there and says so; waits to be told to go on; then come signals for the
# runtime, and its end as waitpid gives it.
PRESENT, PLACED, FORKED, GO_ON, SIGNAL, CLONE_ENDED = b"P", b"L", b"F", b"G", b"Q", b"E"
CLONE_WORD = struct.Struct("=ci")
RUNTIME = -1  # the index of the runtime among init's children
MAX_EXTENSIONS = 10


class Assign(NamedTuple):
    """Makes a blank sandbox somebody's. With it comes a descriptor: the runtime's environment (JSON in a
    memory file); and a second one, for what extensions write, when there are some, or, of a template, the
    socket on which it takes orders."""

    memory_bytes: int
    processes: int
    cpu_shares: int
    cpu_quota_us: int
    tmp_bytes: int
    code: bytes
    opt: bytes
    """NO_LAYERS: nothing shows at /opt."""
    extensions: int = 0
    """How many are to be started before the runtime. Their names are read without privileges."""
    is_template: bool = False
    """The runtime may clone itself. Not together with extensions."""

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
            or assign.extensions > MAX_EXTENSIONS
            or (assign.is_template and assign.extensions)
        ):
            raise ValueError("out of bounds")
        return assign
