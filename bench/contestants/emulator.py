"""AWS's runtime interface emulator: one function, one invocation at a time, no signature check."""

import json

from bench.client import BadAnswer, exchange, free_port, is_listening
from bench.contestants.base import ECHO, START_LIMIT_S, Cell, ColdAnswer
from bench.contestants.environ import function_environ
from bench.contestants.reference import UNCHECKED, client_command
from bench.process import Memory, Server, idle_memory
from bench.provision import FUNCTIONS, OUT, emulator
from bench.signing import INVOKE_PATH, signed
from squib.environment.runtimes import Runtime


class Emulator:
    """The emulator in front of the real runtime interface client."""

    name = "emulator"
    max_connections = 1

    def __init__(self, *, python: Runtime, node: Runtime | None) -> None:
        cold_node = {Cell.COLD_NODE} if node else set()
        self.cells = frozenset(
            {Cell.WARM, Cell.COLD_PYTHON, Cell.PAYLOAD, Cell.DISCONNECT, Cell.MEMORY} | cold_node
        )
        self.port = 0
        self._python, self._node = python, node
        self._server: Server | None = None
        self._generation = 0
        self.idle_memory: Memory | None = None

    def start(self) -> None:
        """Starts it; it starts the function with the first invocation."""
        self._server, self.port = self._launch(self._python, "app.echo", "emulator")
        self.idle_memory = idle_memory(self._server)

    def stop(self) -> int:
        """Ends it."""
        return self._server.end() if self._server else 0

    def serving_memory(self) -> Memory | None:
        """The emulator is one process: see its idle memory."""
        return None

    def request(self, function: str, event: bytes) -> bytes:
        """An Invoke; every function has the same name here."""
        return signed("POST", self.port, INVOKE_PATH.format("function"), event, UNCHECKED)

    def environments(self) -> list[list[int]]:
        """What runs below the emulator once the function was invoked."""
        assert self._server is not None
        exchange(self.port, self.request(ECHO, b"{}"))
        return [self._server.processes()[1:]]

    def cold(self, cell: Cell) -> ColdAnswer:
        """A new emulator that already listens; its first request starts the function."""
        runtime = self._node if cell is Cell.COLD_NODE else self._python
        assert runtime is not None
        self._generation += 1
        generation = str(self._generation)
        handler = "index.cold" if cell is Cell.COLD_NODE else "app.cold"
        server, port = self._launch(runtime, handler, "emulator-cold", BENCH_GENERATION=generation)
        try:
            answer = exchange(port, signed("POST", port, INVOKE_PATH.format("function"), b"{}", UNCHECKED))
        finally:
            server.end()
        if answer.status != 200:
            raise BadAnswer(f"cold start: {answer.status} {answer.body[:200]!r}")
        said = json.loads(answer.body)
        return ColdAnswer(
            elapsed_ms=answer.elapsed_ms,
            count=said["count"],
            generation=said["generation"],
            expected_generation=generation,
        )

    def _launch(self, runtime: Runtime, handler: str, log: str, **more: str) -> tuple[Server, int]:
        port, runtime_port = free_port(), free_port()
        addresses = [
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{runtime_port}",
        ]
        server = Server(
            [str(emulator()), *addresses, *client_command(runtime, handler), handler],
            log=OUT / "logs" / f"{log}.log",
            environ=function_environ(handler, runtime, AWS_LAMBDA_FUNCTION_TIMEOUT="30", **more),
            directory=FUNCTIONS,
        )
        server.wait_until(lambda: is_listening(port), START_LIMIT_S, "a listener")
        return server, port
