"""An in-process sandbox for tests: a scripted runtime that speaks the Runtime API over in-memory transports.

No process, no socket, no time of its own: what the script says happens on the event loop, in order.
"""

import asyncio
import json
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import msgspec

from squib.environment.driver import (
    End,
    EndCause,
    LogSource,
    Sandbox,
    SandboxSpec,
    TemplateLost,
    Wiring,
)
from squib.environment.drivers.fake_script import (
    Call,
    Exit,
    Fail,
    FailInit,
    FailRestore,
    FakeEvent,
    FakeScript,
    Next,
    NextEvent,
    Print,
    Register,
    Respond,
    Snapshot,
    Step,
    Wait,
)
from squib.environment.drivers.fake_transport import FakeTransport
from squib.model.units import EnvironmentId

_API = "/2018-06-01/runtime"
_REGISTER = "/2020-01-01/extension/register"
_NEXT_EVENT = "/2020-01-01/extension/event/next"


class FakeDriver:
    """Implements driver.SandboxDriver. `sandboxes` are those not destroyed; `specs` all asked for."""

    name = "fake"
    starts_extensions = True

    def __init__(self, script: FakeScript | None = None) -> None:
        self.script = script or FakeScript()
        self.sandboxes: list[FakeSandbox] = []
        self.specs: list[SandboxSpec] = []
        self.clone_count = 0
        """Of all that were asked for."""

    @property
    def clones(self) -> bool:
        """See driver.SandboxDriver."""
        return self.script.clones

    @property
    def templates(self) -> "list[FakeSandbox]":
        """Those of the sandboxes that can be cloned."""
        return [sandbox for sandbox in self.sandboxes if sandbox.has_snapshot]

    def memory_bytes(self) -> int | None:
        """See driver.SandboxDriver."""
        return self.script.memory_bytes * len(self.sandboxes)

    async def prepare(self, runtime: str) -> None:
        """See driver.SandboxDriver."""

    async def create(self, spec: SandboxSpec, wiring: Wiring) -> "FakeSandbox":
        """See driver.SandboxDriver."""
        self.specs.append(spec)
        if self.script.create_delay_s:
            await asyncio.sleep(self.script.create_delay_s)
        if self.script.create_error is not None:
            raise self.script.create_error
        sandbox = FakeSandbox(self, spec, wiring)
        self.sandboxes.append(sandbox)
        sandbox.start()
        return sandbox

    async def clone(self, template: Sandbox, environment_id: EnvironmentId, wiring: Wiring) -> "FakeSandbox":
        """See driver.SandboxDriver."""
        self.clone_count += 1
        count = self.clone_count
        if self.script.clone_delay_s:
            await asyncio.sleep(self.script.clone_delay_s)
        if template not in self.templates:
            raise TemplateLost("the template is gone")
        if self.script.clone_error is not None:
            raise self.script.clone_error
        assert isinstance(template, FakeSandbox)
        spec = msgspec.structs.replace(template.spec, environment_id=environment_id, is_template=False)
        sandbox = FakeSandbox(self, spec, wiring)
        self.sandboxes.append(sandbox)
        sandbox.go_on(self.script.on_clone(count))
        return sandbox

    async def close(self) -> None:
        """See driver.SandboxDriver."""
        for sandbox in list(self.sandboxes):
            await sandbox.destroy()


class FakeSandbox:
    """Implements driver.Sandbox. `calls` names what was asked of it, in order."""

    def __init__(self, driver: FakeDriver, spec: SandboxSpec, wiring: Wiring) -> None:
        self.spec = spec
        self.calls: list[str] = []
        self.answers: list[tuple[int, bytes]] = []
        """What the Runtime API answered to posts."""
        self._driver, self._wiring = driver, wiring
        self._start_count = 0
        self._runtime: FakeRuntime | None = None
        self.extensions: dict[int, FakeRuntime] = {}
        self._unread: list[tuple[LogSource, bytes]] = []
        self.has_snapshot = False
        """It is a template that can be cloned."""

    @property
    def is_running(self) -> bool:
        """It has a runtime."""
        return self._runtime is not None

    def start(self) -> None:
        """Starts extensions, or a runtime."""
        self._wiring.on_start()
        self._start_count += 1
        for index, name in enumerate(self.spec.extensions):
            extension = FakeRuntime(self, self._driver.script, self._wiring.runtime_api, name)
            self.extensions[index] = extension
            extension.perform(self._driver.script.on_extension(name))
        if not self.spec.extensions:
            self._start_runtime()

    def go_on(self, steps: Iterable[Step]) -> None:
        """Comes out of a snapshot and does these."""
        self._wiring.on_start()
        self._runtime = FakeRuntime(self, self._driver.script, self._wiring.runtime_api)
        self._runtime.perform(steps)

    def snapshot(self, refusal: str | None) -> None:
        """The runtime has stopped where one is taken."""
        self.has_snapshot = refusal is None
        self._wiring.on_snapshot(refusal)

    def _start_runtime(self) -> None:
        self._runtime = FakeRuntime(self, self._driver.script, self._wiring.runtime_api)
        self._runtime.perform(self._driver.script.on_start(self._start_count))

    def begin_runtime(self) -> None:
        """See driver.Sandbox."""
        self.calls.append("begin_runtime")
        self._start_runtime()

    def terminate_runtime(self) -> None:
        """See driver.Sandbox."""
        self.calls.append("terminate_runtime")
        if self._runtime is not None:
            self._runtime.interrupt(self._driver.script.on_terminate())

    def kill_runtime(self) -> None:
        """See driver.Sandbox."""
        self.calls.append("kill_runtime")
        self.end(End(cause=EndCause.SIGNALED, status=9))

    async def open_socket(self) -> socket.socket:
        """See driver.Sandbox. There is no network."""
        raise OSError("a scripted sandbox has no network")

    async def trace_socket(self) -> socket.socket:
        """See driver.Sandbox."""
        raise OSError("a scripted sandbox has no network")

    def ended(self, process: "FakeRuntime", end: End) -> None:
        """The process of a script says that it ends."""
        if process is self._runtime:
            self.end(end)
            return
        for index, extension in list(self.extensions.items()):
            if extension is process:
                del self.extensions[index]
                extension.close()
                self.drain_logs()
                self._wiring.on_extension_end(index, end)

    def _end_extensions(self) -> None:
        for extension in self.extensions.values():
            extension.close()
        self.extensions.clear()

    def print(self, data: bytes, source: LogSource = LogSource.OUTPUT) -> None:
        """Fills the pipe."""
        self._unread.append((source, data))

    def end(self, end: End) -> None:
        """The runtime's process ends."""
        runtime, self._runtime = self._runtime, None
        self.has_snapshot = False
        if runtime is None:
            return
        runtime.close()
        self.drain_logs()
        self._wiring.on_end(end)

    def freeze(self) -> None:
        """See driver.Sandbox."""
        self.calls.append("freeze")

    def thaw(self) -> None:
        """See driver.Sandbox."""
        self.calls.append("thaw")

    def drain_logs(self) -> None:
        """See driver.Sandbox."""
        unread, self._unread = self._unread, []
        for source, data in unread:
            self._wiring.on_log(source, data)

    def memory_peak_bytes(self) -> int:
        """See driver.Sandbox."""
        return self._driver.script.memory_peak_bytes

    async def restart(self) -> None:
        """See driver.Sandbox."""
        self.calls.append("restart")
        self.end(End(cause=EndCause.SIGNALED, status=9))
        self._end_extensions()
        self.start()

    async def kill(self) -> None:
        """See driver.Sandbox."""
        self.calls.append("kill")
        self.end(End(cause=EndCause.SIGNALED, status=9))
        self._end_extensions()

    async def destroy(self) -> None:
        """See driver.Sandbox."""
        if "destroy" in self.calls:
            return
        self.calls.append("destroy")
        self.has_snapshot = False
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None
        self._end_extensions()
        self._driver.sandboxes.remove(self)


class FakeRuntime:
    """One process: performs steps, one HTTP exchange at a time."""

    def __init__(
        self,
        sandbox: FakeSandbox,
        script: FakeScript,
        protocol: Callable[[], asyncio.Protocol],
        name: str = "",
    ) -> None:
        """`name` of an extension; empty for a runtime."""
        self._sandbox, self._script, self._name = sandbox, script, name
        self._identifier = ""
        self._loop = asyncio.get_running_loop()
        self._steps: deque[Step] = deque()
        self._event = FakeEvent({}, b"")
        self._transport = FakeTransport(protocol(), self._on_response)
        self._is_waiting = False  # for an answer, or for time
        self._is_closed = False
        self._asked = ""

    def perform(self, steps: Iterable[Step]) -> None:
        """Does more, after what it does already."""
        self._steps.extend(steps)
        self._loop.call_soon(self._go_on)

    def interrupt(self, steps: Iterable[Step]) -> None:
        """Does this instead of what it does."""
        self._is_waiting = False
        self._steps.clear()
        self.perform(steps)

    def close(self) -> None:
        """The process is gone, its connection with it."""
        if not self._is_closed:
            self._is_closed = True
            self._transport.peer_closed()

    def _go_on(self) -> None:
        while self._steps and not self._is_waiting and not self._is_closed:
            self._do(self._steps.popleft())

    def _do(self, step: Step) -> None:
        request_id = self._event.headers.get("lambda-runtime-aws-request-id", "")
        match step:
            case Next():
                self._ask("GET", f"{_API}/invocation/next")
            case Respond():
                body = self._event.body if step.body is None else step.body
                target = step.request_id or request_id
                self._ask("POST", f"{_API}/invocation/{target}/response", step.headers, body)
            case Fail():
                headers = {"Lambda-Runtime-Function-Error-Type": step.error_type}
                self._ask("POST", f"{_API}/invocation/{request_id}/error", headers, step.body)
            case FailInit():
                headers = {"Lambda-Runtime-Function-Error-Type": step.error_type}
                self._ask("POST", f"{_API}/init/error", headers, step.body)
            case FailRestore():
                headers = {"Lambda-Runtime-Function-Error-Type": step.error_type}
                self._ask("POST", f"{_API}/restore/error", headers, step.body)
            case Snapshot() if self._sandbox.spec.is_template:
                self._steps.clear()
                self._sandbox.snapshot(step.refusal)
            case Snapshot():
                self._ask("GET", f"{_API}/restore/next")
            case Print():
                self._sandbox.print(step.data, step.source)
            case Exit():
                self._sandbox.ended(self, step.end)
            case Call():
                headers = {"Lambda-Extension-Identifier": self._identifier, **step.headers}
                self._ask(step.method, step.path, headers, step.body)
            case Register():
                body = json.dumps({"events": step.events}).encode()
                self._ask("POST", _REGISTER, {"Lambda-Extension-Name": step.name}, body)
            case NextEvent():
                headers = {"Lambda-Extension-Identifier": self._identifier}
                self._ask("GET", _NEXT_EVENT, headers)
            case Wait():
                self._is_waiting = True
                self._loop.call_later(step.seconds, self._waited)

    def _waited(self) -> None:
        self._is_waiting = False
        self._go_on()

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        self._is_waiting = True
        self._asked = path
        fields = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        length = f"Content-Length: {len(body)}\r\n" if method != "GET" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n{fields}{length}\r\n"
        self._transport.deliver(head.encode() + body)

    def _on_response(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if self._is_closed:
            return
        self._is_waiting = False
        self._identifier = headers.get("lambda-extension-identifier", self._identifier)
        if self._asked == _NEXT_EVENT and status == 200:
            self._steps.extend(self._script.on_extension_event(self._name, body))
        elif self._asked == f"{_API}/invocation/next" and status == 200:
            self._event = FakeEvent(headers, body)
            self._steps.extend(self._script.on_event(self._event))
        else:
            self._sandbox.answers.append((status, body))
        self._go_on()
