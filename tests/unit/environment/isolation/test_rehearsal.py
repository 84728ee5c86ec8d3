"""The rehearsal of an invocation with stand-ins for AWS's client: what is called, and that nothing stays."""

import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from squib.environment.isolation.rehearsal import rehearse


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules of the names of AWS's, that note what is asked of them."""
    bootstrap: Any = ModuleType("awslambdaric.bootstrap")
    module: Any = ModuleType("awslambdaric.lambda_runtime_client")
    native, handled = object(), []

    class LambdaRuntimeClient:
        def __init__(self, address: str) -> None:
            self.address = address

        def wait_next_invocation(self) -> Any:
            body, headers = module.runtime_client.next()
            names = ("invoke_id", "content_type", "client_context", "cognito_identity", "tenant_id")
            more = ("invoked_function_arn", "deadline_time_in_ms", "invocation_id")
            return SimpleNamespace(event_body=body, headers=headers, **dict.fromkeys((*names, *more)))

    def handle_event_request(client: Any, handler: Any, *given: Any) -> None:
        handled.append(handler(given[1], None))
        module.runtime_client.post_invocation_result("id", b"", "application/json", None)

    module.LambdaRuntimeClient, module.runtime_client = LambdaRuntimeClient, native
    bootstrap.handle_event_request = handle_event_request
    monkeypatch.setitem(sys.modules, bootstrap.__name__, bootstrap)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return SimpleNamespace(bootstrap=bootstrap, module=module, native=native, handled=handled)


def test_each_round_goes_the_whole_way_and_the_native_client_is_put_back(client: Any) -> None:
    rehearse(3)
    assert len(client.handled) == 3 and b"key" in client.handled[0]
    assert client.module.runtime_client is client.native


def test_a_client_that_works_otherwise_is_left_alone(client: Any) -> None:
    client.bootstrap.handle_event_request = lambda one: None
    rehearse(1)
    del client.module.LambdaRuntimeClient
    rehearse(1)
    assert client.module.runtime_client is client.native


FORK = """
import os
from pathlib import Path
from squib.environment.isolation.rehearsal import map_programs

def mapped_kib():
    total_kib, is_program = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *more = line.split()
        if not name.endswith(":"):
            is_program = more[0] == "r-xp"
        elif is_program and name == "Rss:":
            total_kib += int(more[0])
    return total_kib

if os.fork() == 0:
    before_kib = mapped_kib()
    map_programs()
    print(before_kib, mapped_kib(), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_fork_finds_what_is_loaded_in_its_page_tables() -> None:
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) < (5, 14):
        pytest.skip("the kernel cannot be asked for it")
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True
    )
    before_kib, after_kib = map(int, done.stdout.split())
    assert before_kib + 1000 < after_kib
