"""The Lambda API of a contestant: functions are created, updated and invoked by signed calls."""

import base64
import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from bench.client import BadAnswer, exchange
from bench.contestants.base import ECHO, PYTHON_ENVIRONMENTS, SLEEP, Cell, ColdAnswer
from bench.process import SETTLE_S, sandbox_processes
from bench.provision import FUNCTIONS
from bench.signing import INVOKE_PATH, AccessKey, signed

ROLE_NAME: Final = "bench"
ROLE: Final = f"arn:aws:iam::000000000000:role/{ROLE_NAME}"
LOG_POLICY: Final = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
POLL_S: Final = 0.005
ACTIVE_LIMIT_S: Final = 30.0
COLD: Final = {Cell.COLD_PYTHON: "bench-cold", Cell.COLD_NODE: "bench-cold-node"}


def _archive(source: Path) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(source, source.name)
    return base64.b64encode(packed.getvalue()).decode()


class LambdaApi:
    """Calls to one endpoint on 127.0.0.1."""

    def __init__(self, port: int, key: AccessKey) -> None:
        self._port = port
        self._key = key
        self._generation = 0

    def request(self, function: str, event: bytes) -> bytes:
        """A signed Invoke."""
        return signed("POST", self._port, INVOKE_PATH.format(function), event, self._key)

    def create_role(self) -> None:
        """Makes the role that every function of the benchmark has, which may write its logs."""
        for parameters in (
            {"Action": "CreateRole", "RoleName": ROLE_NAME, "AssumeRolePolicyDocument": json.dumps(TRUST)},
            {"Action": "AttachRolePolicy", "RoleName": ROLE_NAME, "PolicyArn": LOG_POLICY},
        ):
            body = urlencode({**parameters, "Version": "2010-05-08"}).encode()
            request = signed(
                "POST",
                self._port,
                "/",
                body,
                self._key,
                service="iam",
                content_type="application/x-www-form-urlencoded",
            )
            answer = exchange(self._port, request)
            if answer.status >= 300:
                raise BadAnswer(f"{parameters['Action']}: {answer.status} {answer.body[:300]!r}")

    def create_all(self, python: str, node: str | None) -> None:
        """Creates the benchmark's functions and waits until they are Active."""
        self.create(ECHO, python, "app.echo")
        self.create(SLEEP, python, "app.sleep")
        self.create(COLD[Cell.COLD_PYTHON], python, "app.cold")
        if node:
            self.create(COLD[Cell.COLD_NODE], node, "index.cold")

    def create(self, function: str, runtime: str, handler: str) -> None:
        """Creates one function and waits until it is Active."""
        source = FUNCTIONS / ("app.py" if handler.startswith("app.") else "index.js")
        self._call(
            "POST",
            "/2015-03-31/functions",
            {
                "FunctionName": function,
                "Runtime": runtime,
                "Handler": handler,
                "Role": ROLE,
                "Code": {"ZipFile": _archive(source)},
                "Timeout": 30,
                "MemorySize": 128,
                "Environment": {"Variables": {"BENCH_GENERATION": "0"}},
            },
        )
        self._wait_active(function)

    def reserve(self, function: str, executions: int | None) -> None:
        """Sets the function's reserved concurrency, or takes it away."""
        path = f"/2017-10-31/functions/{function}/concurrency"
        body = (
            b"" if executions is None else json.dumps({"ReservedConcurrentExecutions": executions}).encode()
        )
        method = "DELETE" if executions is None else "PUT"
        answer = exchange(self._port, signed(method, self._port, path, body, self._key))
        if answer.status >= 300:
            raise BadAnswer(f"{method} {path}: {answer.status} {answer.body[:300]!r}")

    def handle(self, function: str, handler: str) -> None:
        """Gives the function another handler, and waits until that is Active."""
        self._call("PUT", f"/2015-03-31/functions/{function}/configuration", {"Handler": handler})
        self._wait_active(function)

    def delete(self, function: str) -> None:
        """Deletes one function."""
        answer = exchange(
            self._port,
            signed("DELETE", self._port, f"/2015-03-31/functions/{function}", b"", self._key),
        )
        if answer.status >= 300:
            raise BadAnswer(f"DeleteFunction: {answer.status} {answer.body[:300]!r}")

    def refresh(self, function: str) -> str:
        """Writes a new configuration, so that no environment of before may answer; returns its generation."""
        self._generation += 1
        generation = str(self._generation)
        self._call(
            "PUT",
            f"/2015-03-31/functions/{function}/configuration",
            {"Environment": {"Variables": {"BENCH_GENERATION": generation}}},
        )
        self._wait_active(function)
        return generation

    def publish(self, function: str) -> str:
        """Publishes a version; gives its number once that can be invoked."""
        version: str = self._call("POST", f"/2015-03-31/functions/{function}/versions", {})["Version"]
        self._wait_active(f"{function}%3A{version}")
        return version

    def cold(self, cell: Cell) -> ColdAnswer:
        """One cold start after a configuration update."""
        function = COLD[cell]
        generation = self.refresh(function)
        answer = exchange(self._port, self.request(function, b"{}"))
        if answer.status != 200 or answer.function_error:
            raise BadAnswer(f"cold start: {answer.status} {answer.body[:200]!r}")
        said = json.loads(answer.body)
        return ColdAnswer(
            elapsed_ms=answer.elapsed_ms,
            count=said["count"],
            generation=said["generation"],
            expected_generation=generation,
        )

    def environments(self, runtime: str) -> list[list[int]]:
        """Creates functions, invokes each once, and finds the processes that answered."""
        found = []
        for number in range(PYTHON_ENVIRONMENTS):
            function = f"bench-whoami-{number}"
            self.create(function, runtime, "app.whoami")
            answer = exchange(self._port, self.request(function, b"{}"))
            if answer.status != 200 or answer.function_error:
                raise BadAnswer(f"{function}: {answer.status} {answer.body[:200]!r}")
            said = json.loads(answer.body)
            found.append(sandbox_processes(said["namespace"], said["pid"]))
        time.sleep(SETTLE_S)
        return found

    def _call(self, method: str, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        body = json.dumps(document).encode() if document is not None else b""
        answer = exchange(self._port, signed(method, self._port, path, body, self._key))
        if answer.status >= 300:
            raise BadAnswer(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        said: dict[str, Any] = json.loads(answer.body)
        return said

    def _wait_active(self, function: str) -> None:
        end_s = time.monotonic() + ACTIVE_LIMIT_S
        while time.monotonic() < end_s:
            said = self._call("GET", f"/2015-03-31/functions/{function}/configuration")
            state, update = said.get("State", "Active"), said.get("LastUpdateStatus", "Successful")
            if state == "Active" and update == "Successful":
                return
            if "Failed" in (state, update):
                raise BadAnswer(
                    f"{function}: {said.get('StateReason') or said.get('LastUpdateStatusReason')}"
                )
            time.sleep(POLL_S)
        raise BadAnswer(f"{function} is not Active after {ACTIVE_LIMIT_S:.0f} s")
