"""The number that a squib has on its machine, and what those have left that ended without tidying up."""

import contextlib
import os
import socket
import time
import zlib
from pathlib import Path

from squib.environment.isolation.cgroup_places import Place
from squib.environment.isolation.cgroups import Cgroups, open_bases
from squib.environment.isolation.network import NetworkPlan, firewalled_tags, remove_firewall

_RETRY_S = 0.002


def claim_tag(seed: str) -> tuple[socket.socket, str]:
    """A number that no other living squib of this machine has, as two hex digits, and the claim to it.

    The claim is a name in the abstract socket space: it ends with the process, however that ends."""
    first = zlib.crc32(seed.encode()) % 256
    for offset in range(256):
        tag = f"{(first + offset) % 256:02x}"
        claim = claim_exactly(tag)
        if claim is not None:
            return claim, tag
    raise OSError("256 squibs run on this machine already")


def claim_exactly(tag: str) -> socket.socket | None:
    """The claim to one number; None when somebody has it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0squib-{tag}")
    except OSError:
        claim.close()
        return None
    return claim


def end_leftovers(groups: Cgroups) -> None:
    """Ends what an earlier squib with the same number has left."""
    deadline = time.monotonic() + 10
    for slot in groups.slots():
        while not (groups.kill(slot) and groups.remove(slot)) and time.monotonic() < deadline:
            time.sleep(_RETRY_S)


def sweep_dead_groups(place: Place) -> None:
    """Removes the cgroups of squibs whose launcher was killed: the claim to their number is free."""
    for path in place.parents.values():
        for base in Path(path).glob("squib-[0-9a-f][0-9a-f]"):
            claim = claim_exactly(base.name[-2:])
            if claim is None:
                continue
            with claim:
                paths = place.bases(base.name)
                with contextlib.suppress(OSError):
                    groups = open_bases({c: p for c, p in paths.items() if os.path.isdir(p)})
                    end_leftovers(groups)
                    groups.close()
                for leftover in paths.values():
                    with contextlib.suppress(OSError):
                        os.rmdir(leftover)


def sweep_dead_firewalls() -> None:
    """Removes the rules and interfaces of such squibs. They are looked for by themselves: a group that a
    service manager had handed to squib is gone with all that ran in it."""
    for tag in sorted(firewalled_tags()):
        claim = claim_exactly(tag)
        if claim is None:
            continue
        with claim, contextlib.suppress(OSError):
            remove_firewall(NetworkPlan(tag=tag, outside=False))
