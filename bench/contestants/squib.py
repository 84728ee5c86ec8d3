"""squib, started and used as a user would."""

import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from bench.contestants.base import START_LIMIT_S, Cell, ColdAnswer
from bench.contestants.environ import plain_environ
from bench.contestants.lambda_api import LambdaApi
from bench.process import Memory, Server, idle_memory, memory, outside_environments
from bench.provision import OUT
from bench.signing import AccessKey


class Squib:
    """`squib serve` with a data directory of its own, removed at the end."""

    name = "squib"
    max_connections = 1000

    def __init__(self, *, python: str, node: str | None, arguments: str) -> None:
        self.cells = frozenset(Cell) - (frozenset() if node else {Cell.COLD_NODE})
        self.port = 0
        self.key = AccessKey(access_key_id="", secret_access_key="")
        self._runtimes = (python, node)
        self._arguments = shlex.split(arguments)
        self._data: Path | None = None
        self._server: Server | None = None
        self._api: LambdaApi | None = None
        self.idle_memory: Memory | None = None

    def start(self) -> None:
        """Starts it and creates the functions."""
        self._data = Path(tempfile.mkdtemp(prefix="squib-bench-"))
        self._data.chmod(0o755)
        command = [
            str(Path(sys.executable).parent / "squib"),
            "serve",
            "--port",
            "0",
            "--data-dir",
            str(self._data),
        ]
        self._server = Server(
            [*command, *self._arguments], log=OUT / "logs" / "squib.log", environ=plain_environ()
        )
        ready = self._server.wait_for_line(r"squib ready on http://[^\s:]+:(\d+)", START_LIMIT_S)
        self.port = int(ready[1])
        accounts = json.loads((self._data / "credentials.json").read_text())["accounts"]
        key = accounts["000000000000"]
        self.key = AccessKey(access_key_id=key["access_key_id"], secret_access_key=key["secret_access_key"])
        self._api = LambdaApi(self.port, self.key)
        self.idle_memory = idle_memory(self._server)
        self._api.create_role()
        self._api.create_all(*self._runtimes)

    @property
    def data_dir(self) -> Path:
        """Its data directory; it must have been started."""
        assert self._data is not None
        return self._data

    @property
    def api(self) -> LambdaApi:
        """Its Lambda API; it must have been started."""
        assert self._api is not None
        return self._api

    def stop(self) -> int:
        """Ends it and removes its data."""
        server, self._server = self._server, None
        left = server.end() if server else 0
        if self._data:
            shutil.rmtree(self._data, ignore_errors=True)
        return left

    def processes(self) -> list[int]:
        """All of them that live now."""
        assert self._server is not None
        return self._server.processes()

    def serving_memory(self) -> Memory | None:
        """Daemon, launcher, fork servers and the sandboxes kept ready; None without isolation."""
        assert self._server is not None
        processes = self._server.processes()
        outside = outside_environments(processes)
        return memory(outside) if len(outside) < len(processes) else None

    def request(self, function: str, event: bytes) -> bytes:
        """A signed Invoke."""
        return self.api.request(function, event)

    def environments(self) -> list[list[int]]:
        """Those of new functions, each invoked once."""
        return self.api.environments(self._runtimes[0])

    def cold(self, cell: Cell) -> ColdAnswer:
        """One cold start after a configuration update."""
        return self.api.cold(cell)

    def refresh(self, function: str) -> str:
        """Makes the function's environments stale."""
        return self.api.refresh(function)
