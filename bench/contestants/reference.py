"""The C reference router in front of the real runtime interface client, and the client's bare ceiling."""

import json
import time
from collections.abc import Sequence

from bench.client import BadAnswer, exchange
from bench.contestants.base import START_LIMIT_S, Cell, ColdAnswer
from bench.contestants.environ import function_environ, plain_environ
from bench.load import Outcome
from bench.process import Memory, Server, idle_memory
from bench.provision import FUNCTIONS, OUT, compiled
from bench.signing import INVOKE_PATH, AccessKey, signed
from squib.environment.runtimes import Runtime

ENVIRONMENTS = 8
UNCHECKED = AccessKey(access_key_id="bench", secret_access_key="bench")


def client_command(runtime: Runtime, handler: str) -> Sequence[str]:
    """How a runtime interface client is started by hand."""
    assert runtime.interpreter is not None and runtime.client_dir is not None
    if runtime.name.startswith("python"):
        return [str(runtime.interpreter), "-S", "-m", "awslambdaric", handler]
    return [str(runtime.interpreter), str(runtime.client_dir / "bootstrap.js")]


class Router:
    """bench/native/router.c with the environments that were started behind it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.environments: list[Server] = []
        self.server = Server(
            [str(compiled("router")), "0", "0"], log=OUT / "logs" / f"{name}.log", environ=plain_environ()
        )
        ready = self.server.wait_for_line(r"^ready (\d+) (\d+)$", START_LIMIT_S)
        self.port, self.runtime_port = int(ready[1]), int(ready[2])

    def start_environment(self, runtime: Runtime, handler: str, **more: str) -> Server:
        """Starts one runtime; does not wait for it."""
        environment = Server(
            client_command(runtime, handler),
            log=OUT / "logs" / f"{self._name}-environment-{len(self.environments)}.log",
            environ=function_environ(
                handler, runtime, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{self.runtime_port}", **more
            ),
            directory=FUNCTIONS,
        )
        self.environments.append(environment)
        return environment

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """One call to the router's own controls."""
        return exchange(self.port, signed(method, self.port, path, body, UNCHECKED)).body

    def wait_idle(self, count: int) -> None:
        """Waits until so many environments ask for work."""
        self.server.wait_until(
            lambda: json.loads(self.ask("GET", "/idle"))["idle"] >= count,
            START_LIMIT_S,
            f"{count} environments",
        )

    def end(self) -> int:
        """Ends the environments and the router."""
        for environment in self.environments:
            environment.kill()
        return self.server.end()


class Reference:
    """Invoke and the Runtime API in one C process: no signature check, no limits, no logs, no isolation."""

    name = "reference"
    max_connections = 1000

    def __init__(self, *, python: Runtime, node: Runtime | None) -> None:
        self.cells = frozenset(
            {Cell.WARM, Cell.THROUGHPUT, Cell.COLD_PYTHON, Cell.PAYLOAD, Cell.DISCONNECT, Cell.MEMORY}
            | ({Cell.COLD_NODE} if node else set())
        )
        self.port = 0
        self._python, self._node = python, node
        self.router: Router | None = None
        self._cold_router: Router | None = None
        self._generation = 0
        self.idle_memory: Memory | None = None

    def start(self) -> None:
        """Starts a router with eight environments, and one without any for cold starts."""
        self.router = Router("reference")
        self.port = self.router.port
        self.idle_memory = idle_memory(self.router.server)
        for _ in range(ENVIRONMENTS):
            self.router.start_environment(self._python, "app.echo")
        self.router.wait_idle(ENVIRONMENTS)
        self._cold_router = Router("reference-cold")

    def stop(self) -> int:
        """Ends both routers."""
        return sum(router.end() for router in (self.router, self._cold_router) if router)

    def serving_memory(self) -> Memory | None:
        """The router is one process: see its idle memory."""
        return None

    def request(self, function: str, event: bytes) -> bytes:
        """An Invoke; the router knows one function only."""
        return signed("POST", self.port, INVOKE_PATH.format(function), event, UNCHECKED)

    def environments(self) -> list[list[int]]:
        """Each is one process."""
        return [[environment.pid] for environment in self.router.environments] if self.router else []

    def cold(self, cell: Cell) -> ColdAnswer:
        """Starts the interpreter by hand and sends the request at once: the cost of a plain process."""
        runtime = self._node if cell is Cell.COLD_NODE else self._python
        assert runtime is not None and self._cold_router is not None
        self._generation += 1
        router, generation = self._cold_router, str(self._generation)
        handler = "index.cold" if cell is Cell.COLD_NODE else "app.cold"
        request = signed("POST", router.port, INVOKE_PATH.format("bench-cold"), b"{}", UNCHECKED)
        started_s = time.perf_counter()
        environment = router.start_environment(runtime, handler, BENCH_GENERATION=generation)
        try:
            answer = exchange(router.port, request, since_s=started_s)
        finally:
            environment.kill()
            router.environments.remove(environment)
        if answer.function_error:
            raise BadAnswer(f"cold start: {answer.body[:200]!r}")
        said = json.loads(answer.body)
        return ColdAnswer(
            elapsed_ms=answer.elapsed_ms,
            count=said["count"],
            generation=said["generation"],
            expected_generation=generation,
        )


class Bare:
    """The runtime interface client alone: the reference's router answers its /next at once, nobody calls."""

    name = "bare"
    cells = frozenset({Cell.WARM, Cell.THROUGHPUT})
    max_connections = ENVIRONMENTS
    port = 0
    idle_memory: Memory | None = None

    def __init__(self, reference: Reference) -> None:
        self._reference = reference

    def start(self) -> None:
        """Nothing to start: it uses the reference's environments, while those have nothing else to do."""

    def stop(self) -> int:
        """Nothing to stop."""
        return 0

    def environments(self) -> list[list[int]]:
        """None of its own."""
        return []

    def serving_memory(self) -> Memory | None:
        """The router is one process: see its idle memory."""
        return None

    def request(self, function: str, event: bytes) -> bytes:
        """Never used: there is no caller."""
        raise BadAnswer("the bare client takes no calls")

    def flood(self, event: bytes, environments: int, seconds: float) -> Outcome:
        """Answers /next at once, with at most so many invocations under way."""
        router = self._reference.router
        assert router is not None
        router.ask("POST", f"/flood/{environments}", event)
        time.sleep(seconds)
        said = json.loads(router.ask("POST", "/rest"))
        router.wait_idle(ENVIRONMENTS)
        return Outcome(**said)
