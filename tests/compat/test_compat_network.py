"""The outside network: a server in a network namespace of its own, behind a pair of interfaces."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness.squib import Squib

SOURCE = """
import os, urllib.request
def handler(event, context):
    try:
        return urllib.request.urlopen(event, timeout=2).read().decode()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
"""
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from outside, to " + self.client_address[0].encode())
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer((sys.argv[1], 8080), Handler)
print("listening", flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def outside() -> Iterator[str]:
    """URL of a server that only packets through the host's forwarding reach."""
    if os.getuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and `ip` to build a network")
    number = os.getpid() % 200
    namespace, link = f"outside{os.getpid()}", f"outs{os.getpid()}"
    ours, theirs = f"198.18.{number}.1", f"198.18.{number}.2"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)

    ip("netns", "add", namespace)
    server = None
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("addr", "add", f"{ours}/30", "dev", link)
        ip("link", "set", link, "up")
        ip("-n", namespace, "addr", "add", f"{theirs}/30", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "link", "set", "lo", "up")
        server = subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, "-c", SERVER, theirs], stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        assert server.stdout.readline() == b"listening\n"
        yield f"http://{theirs}:8080/"
    finally:
        if server is not None:
            server.kill()
            server.wait(10)
            assert server.stdout is not None
            server.stdout.close()
        subprocess.run(["ip", "link", "del", link], check=False, capture_output=True)
        ip("netns", "del", namespace)


def test_a_function_reaches_the_outside_under_the_hosts_address(squib: Squib, outside: str) -> None:
    function = squib.deploy(SOURCE)
    host = outside.removeprefix("http://").rpartition(".")[0] + ".1"
    assert function.invoke(outside).value == f"from outside, to {host}"


def test_without_a_network_it_reaches_squib_only(outside: str) -> None:
    inside = """
import boto3
def handler(event, context):
    return boto3.client("sts").get_caller_identity()["Account"]
"""
    with Squib("--function-network", "none") as squib:
        function = squib.deploy(SOURCE)
        assert function.invoke(outside).value.startswith("URLError")
        assert squib.deploy(inside, Timeout=20).invoke().value == "000000000000"
