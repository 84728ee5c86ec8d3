"""The few rtnetlink and nftables requests that sandbox networks need, as bytes and over one socket each.

Own code where a library exists: the library would cost the launcher 22 MB of memory and a fifth of a second
(docs/dependencies.md), which is more than everything else it does.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType

NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 1, 4, 0x200, 0x400, 0x800
NLM_F_DUMP = 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3  # an acknowledgement is an error of number 0
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLA_F_NESTED = 0x8000

RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 17, 20, 24
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFF_UP = 1


def attribute(kind: int, value: bytes) -> bytes:
    """One netlink attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(inner))


def text(kind: int, value: str) -> bytes:
    """An attribute with a C string."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The kinds and values of attributes that follow each other."""
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        yield kind & ~NLA_F_NESTED, data[4:size]
        data = data[(max(size, 4) + 3) & ~3 :]


def read_messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The kinds and bodies of the messages of one datagram. Raises OSError for an error among them."""
    while len(data) >= 16:
        size, kind, _, _, _ = struct.unpack_from("=IHHII", data)
        body = data[16:size]
        if kind == NLMSG_ERROR and (code := struct.unpack_from("=i", body)[0]):
            raise OSError(-code, os.strerror(-code))
        yield kind, body
        data = data[(max(size, 16) + 3) & ~3 :]


class Netlink:
    """A socket that sends requests and waits for their acknowledgements, in the network namespace in which
    it was made."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the socket up."""
        self._socket.close()

    def message(self, kind: int, body: bytes, flags: int = NLM_F_ACK) -> bytes:
        """One framed request."""
        self._sequence += 1
        return struct.pack("=IHHII", 16 + len(body), kind, flags | NLM_F_REQUEST, self._sequence, 0) + body

    def request(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Sends one request. Raises OSError with the kernel's error."""
        self.send([self.message(kind, body, flags | NLM_F_ACK)], acknowledgements=1)

    def send(self, messages: Sequence[bytes], *, acknowledgements: int) -> None:
        """Sends messages in one datagram and waits for so many acknowledgements."""
        self._socket.send(b"".join(messages))
        while acknowledgements > 0:
            answers = read_messages(self._socket.recv(65536))
            acknowledgements -= sum(kind == NLMSG_ERROR for kind, _ in answers)

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """The bodies of all that there is of a kind. Raises OSError."""
        self._socket.send(self.message(kind, body, NLM_F_DUMP))
        while True:
            for answer, found in read_messages(self._socket.recv(65536)):
                if answer == NLMSG_DONE:
                    return
                yield found

    # --- links, addresses, routes

    def add_veth(self, name: str, peer: str, peer_netns_fd: int, *, mtu: int) -> None:
        """A pair of interfaces: `name` here, up; `peer` in the other namespace, down."""
        link = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        far = (
            link
            + text(IFLA_IFNAME, peer)
            + attribute(IFLA_MTU, struct.pack("=I", mtu))
            + attribute(IFLA_NET_NS_FD, struct.pack("=I", peer_netns_fd))
        )
        body = struct.pack("=BxHiII", 0, 0, 0, IFF_UP, IFF_UP)
        body += text(IFLA_IFNAME, name) + attribute(IFLA_MTU, struct.pack("=I", mtu))
        body += nested(
            IFLA_LINKINFO,
            text(IFLA_INFO_KIND, "veth"),
            nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, far)),
        )
        self.request(RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL)

    def set_up(self, name: str) -> None:
        """Brings an interface up."""
        self.request(RTM_NEWLINK, struct.pack("=BxHiII", 0, 0, 0, IFF_UP, IFF_UP) + text(IFLA_IFNAME, name))

    def delete_link(self, name: str) -> None:
        """Removes an interface; silent when there is none."""
        try:
            self.request(RTM_DELLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + text(IFLA_IFNAME, name))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def add_address(self, name: str, address: str, prefix: int) -> None:
        """Gives an interface an IPv4 address."""
        raw = socket.inet_aton(address)
        body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, 0, socket.if_nametoindex(name))
        body += attribute(2, raw) + attribute(1, raw)  # IFA_LOCAL, IFA_ADDRESS
        self.request(RTM_NEWADDR, body, NLM_F_CREATE | NLM_F_EXCL)

    def add_route(self, destination: str, prefix: int, *, interface_index: int, gateway: str | None) -> None:
        """An IPv4 route through an interface; with a gateway that need not be on its subnet."""
        scope = 0 if gateway else 253  # universe or link
        flags = 4 if gateway else 0  # RTNH_F_ONLINK
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, prefix, 0, 0, 254, 3, scope, 1, flags)
        if prefix:
            body += attribute(1, socket.inet_aton(destination))
        if gateway:
            body += attribute(5, socket.inet_aton(gateway))
        body += attribute(4, struct.pack("=I", interface_index))
        self.request(RTM_NEWROUTE, body, NLM_F_CREATE)


# --- nftables: one table of our own, replaced whole ---------------------------------------------------------

_NFT = 10 << 8  # NFNL_SUBSYS_NFTABLES
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = _NFT | 0, _NFT | 1, _NFT | 2, _NFT | 3, _NFT | 6
_BATCH_BEGIN, _BATCH_END = 16, 17
_REGISTER = 1
ACCEPT, DROP = 1, 0
IIFNAME, OIFNAME = 6, 7  # NFT_META_IIFNAME, NFT_META_OIFNAME


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value & 0xFFFF_FFFF))


def _expression(name: str, *data: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *data))  # NFTA_LIST_ELEM { EXPR_NAME, EXPR_DATA }


def _compare(operator: int, value: bytes) -> bytes:
    return _expression("cmp", _u32(1, _REGISTER), _u32(2, operator), nested(3, attribute(1, value)))


def interface(key: int, prefix: str, *, other: bool = False) -> list[bytes]:
    """The packet comes in (IIFNAME) or goes out (OIFNAME) by an interface whose name starts with `prefix`,
    or, with `other`, does not."""
    return [_expression("meta", _u32(2, key), _u32(1, _REGISTER)), _compare(int(other), prefix.encode())]


def address(offset: int, network: str, prefix: int) -> list[bytes]:
    """The IPv4 source (offset 12) or destination (offset 16) lies in a network."""
    mask = struct.pack(">I", (0xFFFF_FFFF << (32 - prefix)) & 0xFFFF_FFFF)
    return [
        _expression("payload", _u32(1, _REGISTER), _u32(2, 1), _u32(3, offset), _u32(4, 4)),
        _expression(
            "bitwise",
            _u32(1, _REGISTER),
            _u32(2, _REGISTER),
            _u32(3, 4),
            nested(4, attribute(1, mask)),
            nested(5, attribute(1, b"\0\0\0\0")),
        ),
        _compare(0, socket.inet_aton(network)),
    ]


def established() -> list[bytes]:
    """The packet belongs to a connection that exists, or to one related to it."""
    mask = struct.pack("=I", 2 | 4)
    return [
        _expression("ct", _u32(1, _REGISTER), _u32(2, 0)),
        _expression(
            "bitwise",
            _u32(1, _REGISTER),
            _u32(2, _REGISTER),
            _u32(3, 4),
            nested(4, attribute(1, mask)),
            nested(5, attribute(1, b"\0\0\0\0")),
        ),
        _compare(1, b"\0\0\0\0"),
    ]


def verdict(code: int) -> list[bytes]:
    """ACCEPT or DROP."""
    return [_expression("immediate", _u32(1, 0), nested(2, nested(2, _u32(1, code))))]


def masquerade() -> list[bytes]:
    """The packet leaves under the address of the interface it leaves by."""
    return [_expression("masq")]


class Chain:
    """A base chain: where it hooks in, and its rules, each a list of expressions."""

    def __init__(self, name: str, kind: str, hook: int, priority: int, rules: Sequence[list[bytes]]) -> None:
        self.name, self.kind, self.hook, self.priority, self.rules = name, kind, hook, priority, rules


def tables(family: int) -> list[str]:
    """The names of the nftables tables of an address family. Raises OSError."""
    head = struct.pack(">BBH", family, 0, 0)
    with Netlink(NETLINK_NETFILTER) as link:
        return [
            value.rstrip(b"\0").decode()
            for body in link.dump(_GETTABLE, head)
            for kind, value in attributes(body[len(head) :])
            if kind == 1  # NFTA_TABLE_NAME
        ]


def replace_table(family: int, table: str, chains: Sequence[Chain]) -> None:
    """Makes the nftables table of an address family hold exactly these chains, in one transaction; removes
    it when there are none. Raises OSError."""
    head = struct.pack(">BBH", family, 0, 0)
    with Netlink(NETLINK_NETFILTER) as link:
        batch = struct.pack(">BBH", 0, 0, 10)
        messages = [link.message(_BATCH_BEGIN, batch, 0)]
        name = text(1, table)
        # Created first, so that deleting it never fails.
        messages.append(link.message(_NEWTABLE, head + name, NLM_F_CREATE | NLM_F_ACK))
        messages.append(link.message(_DELTABLE, head + name, NLM_F_ACK))
        if chains:
            messages.append(link.message(_NEWTABLE, head + name, NLM_F_CREATE | NLM_F_ACK))
        for chain in chains:
            hook = nested(4, _u32(1, chain.hook), _u32(2, chain.priority))
            body = head + name + text(3, chain.name) + hook + text(7, chain.kind)
            messages.append(link.message(_NEWCHAIN, body, NLM_F_CREATE | NLM_F_ACK))
            for rule in chain.rules:
                body = head + name + text(2, chain.name) + nested(4, *rule)
                messages.append(link.message(_NEWRULE, body, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK))
        acknowledgements = len(messages) - 1
        messages.append(link.message(_BATCH_END, batch, 0))
        link.send(messages, acknowledgements=acknowledgements)
