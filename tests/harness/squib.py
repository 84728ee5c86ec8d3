"""A squib of a test's own: the real command in a process, and clients of the AWS SDK for it."""

import copy
import itertools
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import boto3
import botocore.config

from harness import machine
from harness.functions import ROLE, Function, Source, source_files, zip_of
from harness.machine import Process

ROOT: Final = Path(__file__).resolve().parents[2]
LAUNCHER: Final = "squib.environment.isolation.launcher"
COMMAND: Final = (sys.executable, "-m", "squib")
READY: Final = re.compile(r"squib ready on (http://\S+)")
START_TIMEOUT_S: Final = 30.0 * machine.PATIENCE
FUNCTION_TIMEOUT_S: Final = min(900, round(10 * machine.PATIENCE))
LAMBDA_TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
PYTHON: Final = "python3.11"
_numbers = itertools.count(1)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer squib or AWS tools."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SQUIB_", "PYTHON"))
    }
    quiet = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null"}
    return {**kept, **quiet, "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "SQUIB_CONFIG": "", **more}


def new_data_dir(user: int | None = None) -> Path:
    """An empty directory that only its owner can enter, as mkdtemp makes it."""
    path = Path(tempfile.mkdtemp(prefix="squib-test-"))
    if user is not None:
        os.chown(path, user, user)
    return path


def unique_name(prefix: str = "fn") -> str:
    """A name that no other test uses on the same squib."""
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


class DidNotStart(AssertionError):
    """squib ended, or said nothing for too long; holds its output and exit code."""

    def __init__(self, message: str, output: str, code: int | None) -> None:
        super().__init__(f"{message}; exit code {code}; it said:\n{output}")
        self.output, self.code = output, code


class Squib:
    """One running `squib serve`. As a context manager it is stopped, and its data removed, at the end."""

    def __init__(
        self,
        *arguments: str,
        data_dir: Path | None = None,
        user: int | None = None,
        variables: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """Does not start it. `user`: the uid that runs the command, instead of this process's own. `prefix`:
        a command that executes the one after it, in the same process."""
        self.owns_data = data_dir is None
        self.data_dir = data_dir or new_data_dir(user)
        self.arguments: Sequence[str] = arguments
        self.user, self.prefix = user, prefix
        self.variables = dict(variables or {})
        self.url = ""
        self.account_id: str | None = None
        self.tags: set[str] = set()
        self.seen: dict[int, Process] = {}
        """Every process it has been seen to have, for the search for leftovers."""
        self._output: list[str] = []
        self._clients: dict[tuple[str, str], Any] = {}
        self._process: subprocess.Popen[str] | None = None
        self._follower: threading.Thread | None = None
        self._has_role = False

    # --- starting

    def start(self) -> "Squib":
        """Starts it and waits until it is ready. Raises DidNotStart."""
        lines = self._spawn()
        while True:
            try:
                line = lines.get(timeout=START_TIMEOUT_S)
            except queue.Empty:
                self.process.kill()
                self.process.wait(10 * machine.PATIENCE)
                raise DidNotStart("squib is not ready in time", self.output, None) from None
            if line is None:
                raise DidNotStart(
                    "squib did not start", self.output, self.process.wait(10 * machine.PATIENCE)
                )
            if found := READY.search(line):
                self.url = found[1]
                break
        self._clients.clear()
        self.processes()
        if not self._has_role:
            self.role(ROLE.rpartition("/")[2], managed=("service-role/AWSLambdaBasicExecutionRole",))
            self._has_role = True
        return self

    def _spawn(self) -> "queue.Queue[str | None]":
        command = [
            *self.prefix,
            *COMMAND,
            "serve",
            "--port",
            "0",
            "--data-dir",
            str(self.data_dir),
            *self.arguments,
        ]
        self._output.clear()
        home = {} if self.user is None else {"HOME": "/nonexistent"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=clean_environment(**home, **self.variables),
            cwd="/",
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
        )
        lines: queue.Queue[str | None] = queue.Queue()
        self._follower = threading.Thread(target=self._follow, args=(self._process, lines), daemon=True)
        self._follower.start()
        return lines

    def _follow(self, process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._output.append(line)
            lines.put(line)
        process.stdout.close()
        lines.put(None)

    @property
    def output(self) -> str:
        """What it has said since its last start; all of it when it has ended."""
        if self._follower is not None and self.process.poll() is not None:
            self._follower.join(5)
        return "".join(self._output)

    @property
    def process(self) -> "subprocess.Popen[str]":
        """The daemon's process."""
        assert self._process is not None, "not started"
        return self._process

    # --- its processes

    def processes(self) -> list[Process]:
        """Its processes of now, launcher, fork servers and functions included, without the daemon itself."""
        found = machine.descendants(self.process.pid)
        self.seen.update({process.pid: process for process in found})
        launcher = next((process for process in found if LAUNCHER in process.command), None)
        if launcher is not None and (tag := machine.claimed_tag(launcher.pid)):
            self.tags.add(tag)
        return found

    def launcher(self) -> Process:
        """The privileged process."""
        (found,) = [
            process
            for process in self.processes()
            if LAUNCHER in process.command and process.parent == self.process.pid
        ]
        return found

    def fork_servers(self) -> list[Process]:
        """The fork servers, one for each runtime in use; sandboxes have process namespaces of their own."""
        launcher = self.launcher()
        children = [process for process in self.processes() if process.parent == launcher.pid]
        namespace = machine.pid_namespace(launcher)
        return [process for process in children if machine.pid_namespace(process) == namespace]

    # --- stopping

    def stop(self, *, within_s: float = 40.0) -> int:
        """Asks it to end; gives its exit code."""
        self.processes()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s * machine.PATIENCE)

    def kill(self, *, launcher_too: bool = False) -> None:
        """SIGKILL for the daemon, or for it and its launcher and fork servers at once."""
        victims = self.fork_servers() if launcher_too else []
        self.processes()
        os.kill(self.process.pid, signal.SIGKILL)
        if launcher_too:
            for victim in [
                *(process for process in self.seen.values() if "launcher" in process.command),
                *victims,
            ]:
                if victim.is_alive():
                    os.kill(victim.pid, signal.SIGKILL)
        self.process.wait(10 * machine.PATIENCE)

    def assert_nothing_left(self) -> None:
        """After its end: nothing of it is on the machine but its durable files."""
        machine.assert_nothing_left(self.data_dir, self.tags, self.seen.values())

    def __enter__(self) -> "Squib":
        try:
            return self.start()
        except BaseException:
            self._forget()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process.poll() is None:
                try:
                    code = self.stop()
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    raise AssertionError(f"squib did not stop; it said:\n{self.output}") from error
                assert code == 0, f"exit code {code}; it said:\n{self.output}"
                self.assert_nothing_left()
        finally:
            self._forget()

    def _forget(self) -> None:
        if self.owns_data:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    # --- clients

    def root_key(self) -> tuple[str, str]:
        """Access key id and secret of the account's root."""
        stored = json.loads((self.data_dir / "credentials.json").read_text())
        key = stored["accounts"][self.account_id or stored["default_account_id"]]
        return key["access_key_id"], key["secret_access_key"]

    def of_account(self, account_id: str) -> "Squib":
        """The same squib for another account's root, until it is started again. The account is made when it
        is not there."""
        self.command("account", "create", "--data-dir", str(self.data_dir), account_id)
        other = copy.copy(self)
        other.account_id, other._clients = account_id, {}
        return other

    def client(self, service: str = "lambda", region: str = "eu-west-1", **more: Any) -> Any:
        """A client of the AWS SDK, signing with the root key; retries nothing."""
        known = self._clients.get((service, region))
        if known is not None and not more:
            return known
        key_id, secret = self.root_key()
        settings = more.pop("config", None)
        config = botocore.config.Config(
            retries={"total_max_attempts": 1},
            read_timeout=60 * machine.PATIENCE,
            connect_timeout=5 * machine.PATIENCE,
            max_pool_connections=64,
        )
        parameters = {
            "endpoint_url": self.url,
            "aws_access_key_id": key_id,
            "aws_secret_access_key": secret,
            **more,
        }
        merged = config.merge(settings) if settings is not None else config
        session: Any = boto3.session.Session()
        client = session.client(service, region_name=region, config=merged, **parameters)
        if not more and settings is None:
            self._clients[service, region] = client
        return client

    def role(
        self,
        name: str,
        *,
        path: str = "/",
        managed: Sequence[str] = (),
        allow: Sequence[Mapping[str, object]] = (),
    ) -> str:
        """A role that Lambda may assume; gives its ARN. `managed`: AWS's policies, as `aws:policy/...`;
        `allow`: statements. One that is there already stays as it is."""
        iam = self.client("iam", "us-east-1")
        try:
            answer = iam.create_role(
                RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(LAMBDA_TRUST)
            )
        except iam.exceptions.EntityAlreadyExistsException:
            return str(iam.get_role(RoleName=name)["Role"]["Arn"])
        for policy in managed:
            iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
        if allow:
            statements = [{"Effect": "Allow", **statement} for statement in allow]
            document = {"Version": "2012-10-17", "Statement": statements}
            iam.put_role_policy(RoleName=name, PolicyName="test", PolicyDocument=json.dumps(document))
        return str(answer["Role"]["Arn"])

    def create(
        self,
        source: Source,
        *,
        name: str | None = None,
        runtime: str = PYTHON,
        region: str = "eu-west-1",
        variables: Mapping[str, str] | None = None,
        **configuration: Any,
    ) -> Function:
        """Creates a function and does not wait. A `source` text is the module `app` with `handler` in it."""
        client = self.client("lambda", region)
        if variables is not None:
            configuration["Environment"] = {"Variables": dict(variables)}
        parameters = {
            "Handler": "app.handler",
            "Timeout": FUNCTION_TIMEOUT_S,
            "MemorySize": 256,
            "Role": ROLE,
            **configuration,
        }
        answer = client.create_function(
            FunctionName=name or unique_name(),
            Runtime=runtime,
            Code={"ZipFile": zip_of(source_files(source, runtime))},
            **parameters,
        )
        return Function(client, answer["FunctionName"], answer["FunctionArn"])

    def deploy(self, source: Source, **more: Any) -> Function:
        """Creates a function and waits until it can be invoked."""
        function = self.create(source, **more)
        function.wait_active()
        return function

    def command(
        self, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Runs another squib command on the same data directory."""
        return subprocess.run(
            [*COMMAND, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=30 * machine.PATIENCE,
            env=clean_environment(**(variables or {})),
        )
