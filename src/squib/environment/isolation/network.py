"""The network of sandboxes: one namespace each, a way out through the host, no way to the host.

Every namespace has a loopback of its own, on which squib listens, and, with the outside on, one interface
whose packets the host forwards under its own address. The host's own addresses, link-local ones (cloud
metadata services among them) and other sandboxes are refused by nftables.
"""

import contextlib
import os
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from squib.environment.isolation import confine, netlink

GATEWAY = "169.254.1.1"  # not on any subnet: the host's end of every pair answers for it
METADATA_ADDRESSES = ("100.100.100.200", "192.0.0.192")
"""Where clouds give machines their secrets, beside the link-local address that most use."""
NETWORK_BITS = 18  # a sixteen-thousand-address network for all slots of one squib
_IPV4, _IPV6 = 2, 10  # NFPROTO_*
_OWN_NAME = re.compile(r"squib_?([0-9a-f]{2})(?:-|$)")
_INPUT, _FORWARD, _POSTROUTING = 1, 2, 4  # NF_INET_*


@dataclass(frozen=True)
class NetworkPlan:
    """Names and addresses of one squib's sandboxes. `tag`: four hex digits that tell squibs apart."""

    tag: str
    outside: bool
    mtu: int = 1400

    @property
    def interface_prefix(self) -> str:
        return f"squib{self.tag}-"

    @property
    def table(self) -> str:
        return f"squib_{self.tag}"

    def network(self) -> tuple[str, int]:
        """The subnet of this squib, out of 100.64.0.0/10 (shared address space, RFC 6598)."""
        first = (100 << 24) | (64 << 16)
        number = int(self.tag, 16) % (1 << (NETWORK_BITS - 10))
        return socket.inet_ntoa(struct.pack(">I", first + (number << (32 - NETWORK_BITS)))), NETWORK_BITS

    def address(self, slot: int) -> str:
        """The address of a slot's sandbox."""
        base = struct.unpack(">I", socket.inet_aton(self.network()[0]))[0]
        return socket.inet_ntoa(struct.pack(">I", base + 2 + slot))


def firewall(plan: NetworkPlan) -> None:
    """Installs the rules and turns forwarding on. Raises OSError when the kernel can't."""
    ours = plan.interface_prefix
    anyone = "squib"
    network, bits = plan.network()
    come_in = netlink.interface(netlink.IIFNAME, ours)
    go_back = netlink.interface(netlink.OIFNAME, ours)
    drop, accept = netlink.verdict(netlink.DROP), netlink.verdict(netlink.ACCEPT)
    chains = [
        netlink.Chain("input", "filter", _INPUT, -10, [[*come_in, *drop]]),
        netlink.Chain(
            "forward",
            "filter",
            _FORWARD,
            -10,
            [
                [*come_in, *netlink.interface(netlink.OIFNAME, anyone), *drop],
                [*come_in, *netlink.address(16, "127.0.0.0", 8), *drop],
                [*come_in, *netlink.address(16, "169.254.0.0", 16), *drop],
                *([*come_in, *netlink.address(16, one, 32), *drop] for one in METADATA_ADDRESSES),
                [*come_in, *netlink.address(12, network, bits), *accept],
                [*come_in, *drop],
                [*go_back, *netlink.established(), *accept],
                [*go_back, *drop],
            ],
        ),
        netlink.Chain(
            "postrouting",
            "nat",
            _POSTROUTING,
            100,
            [
                [
                    *netlink.address(12, network, bits),
                    *netlink.interface(netlink.OIFNAME, anyone, other=True),
                    *netlink.masquerade(),
                ]
            ],
        ),
    ]
    netlink.replace_table(_IPV4, plan.table, chains)
    refuse = [
        netlink.Chain("input", "filter", _INPUT, -10, [[*come_in, *drop]]),
        netlink.Chain("forward", "filter", _FORWARD, -10, [[*come_in, *drop], [*go_back, *drop]]),
    ]
    with contextlib.suppress(OSError):  # a kernel without IPv6
        netlink.replace_table(_IPV6, plan.table, refuse)
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    if forwarding.read_text().strip() != "1":
        forwarding.write_text("1")


def firewalled_tags() -> set[str]:
    """Who has firewall rules or interfaces on this machine: the `tag` of each squib's plan."""
    names = [name for _, name in socket.if_nameindex()]
    for family in (_IPV4, _IPV6):
        with contextlib.suppress(OSError):  # a kernel without it
            names += netlink.tables(family)
    return {found[1] for found in map(_OWN_NAME.match, names) if found}


def remove_firewall(plan: NetworkPlan) -> None:
    """Removes the rules and every interface of this squib that is left."""
    for family in (_IPV4, _IPV6):
        with contextlib.suppress(OSError):
            netlink.replace_table(family, plan.table, [])
    with netlink.Netlink(netlink.NETLINK_ROUTE) as link:
        for _, name in socket.if_nameindex():
            if name.startswith(plan.interface_prefix):
                with contextlib.suppress(OSError):
                    link.delete_link(name)


class SlotNetwork:
    """The network namespace of one slot; kept while the slot is used again and again."""

    def __init__(self, plan: NetworkPlan, slot: int, *, made: int | None = None) -> None:
        """Makes it, or furnishes one that was `made` (a descriptor, the caller's). Raises OSError."""
        self._host = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if made is None:
                confine.unshare(confine.CLONE_NEWNET)
            else:
                confine.setns(made, confine.CLONE_NEWNET)
            try:
                self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                inside = netlink.Netlink(netlink.NETLINK_ROUTE)
                confine.loopback_up()
            finally:
                confine.setns(self._host, confine.CLONE_NEWNET)
            with inside:
                if plan.outside:
                    self._connect(plan, slot, inside)
        except BaseException:
            self.close()
            raise

    def _connect(self, plan: NetworkPlan, slot: int, inside: netlink.Netlink) -> None:
        name, address = f"{plan.interface_prefix}{slot}", plan.address(slot)
        with netlink.Netlink(netlink.NETLINK_ROUTE) as host:
            host.delete_link(name)
            host.add_veth(name, "eth0", self.fd, mtu=plan.mtu)
            host.add_address(name, GATEWAY, 32)
            index = socket.if_nametoindex(name)
            host.add_route(address, 32, interface_index=index, gateway=None)
        with self.entered():
            index = socket.if_nametoindex("eth0")
            inside.add_address("eth0", address, 32)
            inside.set_up("eth0")
            inside.add_route("0.0.0.0", 0, interface_index=index, gateway=GATEWAY)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside for the length of the block."""
        confine.setns(self.fd, confine.CLONE_NEWNET)
        try:
            yield
        finally:
            confine.setns(self._host, confine.CLONE_NEWNET)

    def listen(self, *ports: int) -> list[socket.socket]:
        """Listening sockets on the sandbox's own 127.0.0.1; they stay there wherever they are served."""
        sockets = []
        with self.entered():
            for port in ports:
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("127.0.0.1", port))
                listener.listen(64)
                listener.setblocking(False)
                sockets.append(listener)
        return sockets

    def socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A TCP or UDP socket in it, not connected."""
        with self.entered():
            return socket.socket(socket.AF_INET, kind)

    def close(self) -> None:
        """Gives the namespace up; it ends, with its interfaces, when no process is in it."""
        for name in ("fd", "_host"):
            fd = getattr(self, name, -1)
            if fd >= 0:
                os.close(fd)
                setattr(self, name, -1)
