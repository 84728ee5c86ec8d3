"""The network: the host, its neighbours and other sandboxes are not there."""

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.machine import eventually
from harness.probe import Probe, deploy_probe
from harness.squib import Squib

UNREACHABLE = {
    *("ECONNREFUSED", "ETIMEDOUT", "TimeoutError", "ENETUNREACH", "EHOSTUNREACH", "EPERM", "EACCES"),
    *("EADDRNOTAVAIL", "EINVAL", "ENODEV"),
}


class Listeners:
    """Servers of the host on every address, TCP and UDP, that note whoever comes."""

    def __init__(self) -> None:
        self.visits: list[Any] = []
        self.tcp = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port: int = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.udp.bind(("::", self.port))
        self.threads = [
            threading.Thread(target=self._tcp, daemon=True),
            threading.Thread(target=self._udp, daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def _tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self.tcp.accept()
                self.visits.append(peer)
                connection.close()

    def _udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.visits.append(self.udp.recvfrom(100))

    def close(self) -> None:
        for listener in (self.tcp, self.udp):
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@pytest.fixture(scope="module")
def host() -> Iterator[Listeners]:
    listeners = Listeners()
    with socket.create_connection(("127.0.0.1", listeners.port)):
        pass
    eventually(lambda: listeners.visits, what="the listeners work")
    listeners.visits.clear()
    yield listeners
    listeners.close()


def host_addresses() -> list[str]:
    """Every address of the host that is not its loopback."""
    try:
        listing = subprocess.run(["ip", "-j", "addr"], check=True, capture_output=True, timeout=10).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    return sorted(
        {
            address["local"]
            for link in json.loads(listing)
            for address in link.get("addr_info", [])
            if link["ifname"] != "lo"
        }
    )


def connect(address: str, port: int) -> str:
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(0.5)
        client.connect(
            (address, port, 0, socket.if_nametoindex("eth0"))
            if address.startswith("fe80")
            else (address, port)
        )
    return "connected"


def send(address: str, port: int) -> str:
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", (address, port))
    return "sent"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.0.0.53",
        "0.0.0.0",
        "::1",
        "169.254.1.1",
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::254",
    ],
)
def test_well_known_addresses_lead_nowhere(probe: Probe, host: Listeners, address: str) -> None:
    assert probe.ask(connect, address, host.port).refused in UNREACHABLE
    assert host.visits == []


def test_cloud_metadata_is_refused(probe: Probe) -> None:
    assert probe.ask(connect, "169.254.169.254", 80).refused in UNREACHABLE


def connect_to_all(targets: list[tuple[str, int]]) -> list[str]:
    import concurrent.futures
    import socket

    def knock(target: tuple[str, int]) -> str | None:
        address, port = target
        scope = socket.if_nametoindex("eth0") if address.startswith("fe80") else 0
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
                client.settimeout(0.5)
                client.connect((address, port, 0, scope) if ":" in address else (address, port))
        except OSError:
            return None
        return f"{address} {port}"

    with concurrent.futures.ThreadPoolExecutor(100) as threads:
        return [reached for reached in threads.map(knock, targets) if reached]


def test_no_address_of_the_host_answers(squib: Squib, probe: Probe, host: Listeners) -> None:
    addresses = host_addresses()
    assert addresses
    squib_port = int(squib.url.rpartition(":")[2])
    assert (
        probe.value(
            connect_to_all, [(address, port) for address in addresses for port in (host.port, squib_port)]
        )
        == []
    )
    for address in addresses[:4]:
        probe.ask(send, address, host.port)
    assert host.visits == []


def test_abstract_sockets_of_the_host_are_not_there(squib: Squib, probe: Probe) -> None:
    def knock(name: str) -> str:
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect("\0" + name)
        return "connected"

    assert squib.tags
    for tag in squib.tags:
        assert probe.ask(knock, f"squib-{tag}").refused == "ECONNREFUSED"


def test_other_sandboxes_are_out_of_reach(squib: Squib, probe: Probe) -> None:
    other = deploy_probe(squib, Timeout=8)

    def address() -> str:
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("198.51.100.1", 9))
            return str(client.getsockname()[0])

    def listen_and_wait() -> list[Any]:
        import socket

        visits = []
        with socket.create_server(("0.0.0.0", 8000)) as server:
            server.settimeout(4)
            try:
                visits.append(server.accept()[1])
            except TimeoutError:
                pass
        return visits

    mine = probe.ask(address)
    if mine.refused is not None:
        pytest.skip("sandboxes have no outside network here")
    theirs = other.value(address)
    assert mine.value != theirs
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(other.value, listen_and_wait)
        for port in (8000, 9001, int(squib.url.rpartition(":")[2])):
            assert probe.ask(connect, theirs, port).refused in UNREACHABLE, port
        assert waiting.result() == []
    other.function.delete()


def test_interfaces_are_its_own(probe: Probe) -> None:
    def interfaces() -> list[str]:
        import socket

        return sorted(name for _, name in socket.if_nameindex())

    def connections() -> int:
        with open("/proc/net/tcp") as file:
            return len([line for line in file if ":2329 " in line.upper() or "01 " in line])

    assert set(probe.value(interfaces)) <= {"lo", "eth0"}
    assert probe.value(connections) < 20
