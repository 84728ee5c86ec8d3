"""What is said when squib can't listen where it should."""

import socket

import pytest

from squib import preparation
from squib.model.errors import PlatformError


def test_a_port_in_use_asks_for_another_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError, match=rf"can't listen on 127\.0\.0\.1:{port}: .*another --port"):
            preparation._listen("127.0.0.1", port)


def test_an_address_that_is_not_this_machines_asks_for_another_host() -> None:
    with pytest.raises(PlatformError, match=r"can't listen on 203\.0\.113\.1:0: .*another --host"):
        preparation._listen("203.0.113.1", 0)
