"""Names and addresses of sandbox networks, and the bytes of netlink attributes."""

import errno
import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.environment.isolation import netlink
from squib.environment.isolation.network import NetworkPlan


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2000), st.integers(0, 2000))
def test_no_two_sandboxes_share_an_address(tag: int, other_tag: int, slot: int, other_slot: int) -> None:
    address = NetworkPlan(tag=f"{tag:02x}", outside=True).address(slot)
    other = NetworkPlan(tag=f"{other_tag:02x}", outside=True).address(other_slot)
    assert (address == other) == ((tag, slot) == (other_tag, other_slot))


@given(st.integers(0, 255), st.integers(0, 2000))
def test_addresses_lie_in_the_squibs_network_within_shared_address_space(tag: int, slot: int) -> None:
    plan = NetworkPlan(tag=f"{tag:02x}", outside=True)
    network = ipaddress.ip_network("{}/{}".format(*plan.network()))
    assert ipaddress.ip_address(plan.address(slot)) in network
    assert network.subnet_of(ipaddress.ip_network("100.64.0.0/10"))  # type: ignore[arg-type]  # both are IPv4


@given(st.integers(0, 9999))
def test_interface_names_fit_the_kernels_fifteen_characters(slot: int) -> None:
    assert len(f"{NetworkPlan(tag='ff', outside=True).interface_prefix}{slot}") <= 15


def test_attributes_are_padded_to_four_bytes() -> None:
    assert netlink.attribute(3, b"abcde") == b"\x09\x00\x03\x00abcde\x00\x00\x00"
    assert netlink.text(3, "lo") == b"\x07\x00\x03\x00lo\x00\x00"


def test_nested_attributes_are_marked() -> None:
    assert netlink.nested(1, netlink.attribute(2, b"")) == b"\x08\x00\x01\x80\x04\x00\x02\x00"


def test_attributes_are_read_back() -> None:
    data = netlink.text(1, "squib_0a") + netlink.nested(4, netlink.attribute(2, b"abcde"))
    (first, second) = netlink.attributes(data)
    assert first == (1, b"squib_0a\0")
    assert second[0] == 4 and list(netlink.attributes(second[1])) == [(2, b"abcde")]


def test_messages_of_a_datagram_are_told_apart_and_errors_raised() -> None:
    def message(kind: int, body: bytes) -> bytes:
        return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body + b"\0" * (-len(body) % 4)

    done = message(netlink.NLMSG_DONE, bytes(4))
    fine = message(netlink.NLMSG_ERROR, bytes(4))
    found = list(netlink.read_messages(message(20, b"abcde") + fine + done))
    assert found == [(20, b"abcde"), (netlink.NLMSG_ERROR, bytes(4)), (netlink.NLMSG_DONE, bytes(4))]
    with pytest.raises(PermissionError):
        list(netlink.read_messages(message(netlink.NLMSG_ERROR, struct.pack("=i", -errno.EPERM))))
