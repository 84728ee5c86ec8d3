"""MiniStack, used through its Lambda API. It speaks to its Python workers over pipes, not the Runtime API."""

import os
from pathlib import Path

from bench.client import free_port, is_listening
from bench.contestants.base import START_LIMIT_S, Cell, ColdAnswer
from bench.contestants.environ import plain_environ
from bench.contestants.lambda_api import LambdaApi
from bench.process import Memory, Server, idle_memory
from bench.provision import OUT, ministack
from bench.signing import AccessKey
from squib.environment.runtimes import Runtime


class MiniStack:
    """Its server, run from an environment made with the interpreter that the other contestants use."""

    name = "ministack"
    max_connections = 1000

    def __init__(self, *, python: Runtime, node: Runtime | None) -> None:
        self.cells = frozenset(Cell) - (frozenset() if node else {Cell.COLD_NODE})
        self.port = 0
        self._python, self._node = python, node
        self._server: Server | None = None
        self._api: LambdaApi | None = None
        self.idle_memory: Memory | None = None

    def start(self) -> None:
        """Starts it and creates the functions."""
        assert self._python.interpreter is not None
        program = ministack(self._python.interpreter)
        self.port = free_port()
        path = [str(program.parent)]
        if self._node and self._node.interpreter:
            path.append(str(self._node.interpreter.parent))
        self._server = Server(
            [str(program)],
            log=OUT / "logs" / "ministack.log",
            environ={
                **plain_environ(),
                "PATH": os.pathsep.join([*path, os.environ.get("PATH", "/usr/bin:/bin")]),
                "GATEWAY_PORT": str(self.port),
                "BIND_HOST": "127.0.0.1",
            },
            directory=Path(program.parent),
        )
        self._server.wait_until(lambda: is_listening(self.port), START_LIMIT_S, "a listener")
        self.idle_memory = idle_memory(self._server)
        self._api = LambdaApi(self.port, AccessKey(access_key_id="test", secret_access_key="test"))
        self._api.create_all(self._python.name, self._node.name if self._node else None)

    def stop(self) -> int:
        """Ends it."""
        return self._server.end() if self._server else 0

    def serving_memory(self) -> Memory | None:
        """Its workers are like any other of its processes."""
        return None

    def request(self, function: str, event: bytes) -> bytes:
        """A signed Invoke."""
        assert self._api is not None
        return self._api.request(function, event)

    def environments(self) -> list[list[int]]:
        """Those of new functions, each invoked once."""
        assert self._api is not None
        return self._api.environments(self._python.name)

    def cold(self, cell: Cell) -> ColdAnswer:
        """One cold start after a configuration update."""
        assert self._api is not None
        return self._api.cold(cell)

    def refresh(self, function: str) -> str:
        """Makes the function's environments stale."""
        assert self._api is not None
        return self._api.refresh(function)
