"""`make demo`: starts squib, deploys two functions with boto3, invokes them cold and warm, stops everything.

Exit code 0 when every function that this machine can run gave the right answer.
"""

import base64
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import png
import server

from squib.environment.runtimes import RuntimeSearch, discover, unavailable_reason

EXAMPLES = Path(__file__).resolve().parent.parent
ROLE_NAME = "demo"
ROLE = f"arn:aws:iam::000000000000:role/{ROLE_NAME}"
LAMBDA_TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
WARM_CALLS = 20


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Example:
    """One function, what it is asked, and what it must answer."""

    name: str
    title: str
    runtime: str
    handler: str
    archive: Callable[[], bytes]
    event: dict[str, Any]
    check: Callable[[dict[str, Any]], str]
    """Says in a line what came back; raises DemoError when it is wrong."""


@dataclass(frozen=True)
class Measured:
    """One function's times, as the client sees them."""

    title: str
    runtime: str
    cold_ms: float
    init_ms: str
    warm_ms: float


def main() -> int:
    """Runs the demo; gives its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        examples = list(_examples())
        say("starting squib")
        with server.running(sys.argv[1:]) as squib:
            say(f"squib is ready on {squib.url}")
            _make_role(_client(squib, "iam"))
            client = _client(squib)
            _print_table([_run(client, example) for example in examples])
        say("stopped squib and removed its data: done")
    except (DemoError, server.ServerError, botocore.exceptions.BotoCoreError) as error:
        print(f"\ndemo failed: {error}", file=sys.stderr)
        return 1
    except botocore.exceptions.ClientError as error:
        print(f"\ndemo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


def say(text: str) -> None:
    """One line of progress."""
    print(f"* {text}", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


# --- the functions


def _examples() -> Iterator[Example]:
    search = RuntimeSearch()
    ready = discover(search)
    own = f"python3.{sys.version_info.minor}"
    pythons = sorted((name for name in ready if name.startswith("python")), key=_version)
    nodes = sorted((name for name in ready if name.startswith("nodejs")), key=_version)
    if not pythons:
        raise DemoError(f"no Python runtime is ready. {unavailable_reason(own, search)}")
    runtime = own if own in pythons else pythons[-1]
    yield Example(
        name="demo-thumbnail",
        title="thumbnail (Pillow)",
        runtime=runtime,
        handler="handler.handler",
        archive=lambda: _thumbnail_archive(runtime.removeprefix("python")),
        event={"image": base64.b64encode(png.sample(640, 480)).decode(), "width": 96},
        check=_check_thumbnail,
    )
    if not nodes:
        say(f"no Node.js function in this demo: {unavailable_reason('nodejs22.x', search)}")
        return
    yield Example(
        name="demo-hello",
        title="hello (Node.js)",
        runtime=nodes[-1],
        handler="index.handler",
        archive=lambda: _zip({"index.mjs": (EXAMPLES / "node-hello/index.mjs").read_bytes()}),
        event={"name": "squib"},
        check=_check_hello,
    )


def _version(runtime: str) -> tuple[int, ...]:
    return tuple(int(part) for part in runtime.strip("pythondejsx.").split("."))


def _thumbnail_archive(version: str) -> bytes:
    """The function's zip: its code, and Pillow built for Python `version`, as pip gets it."""
    say(f"building the zip: handler and Pillow for Python {version}")
    with tempfile.TemporaryDirectory(prefix="squib-demo-zip-") as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "install"]
        target = ["--target", folder, "--python-version", version, "--implementation", "cp"]
        pinned = [
            "--only-binary",
            ":all:",
            "--require-hashes",
            "-r",
            str(EXAMPLES / "thumbnail/requirements.txt"),
        ]
        built = subprocess.run([*pip, *target, *pinned], capture_output=True, text=True, check=False)
        if built.returncode:
            raise DemoError(
                f"pip could not get Pillow for Python {version}; is its package index in reach?\n"
                f"{built.stderr}"
            )
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in Path(folder).rglob("*")
            if path.is_file()
        }
    return _zip(files | {"handler.py": (EXAMPLES / "thumbnail/handler.py").read_bytes()})


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def _check_thumbnail(answer: dict[str, Any]) -> str:
    got = png.decode(base64.b64decode(answer["image"]))
    expected = png.decode((EXAMPLES / "thumbnail/expected.png").read_bytes())
    if got != expected:
        different = sum(a != b for a, b in zip(got[2], expected[2], strict=False))
        raise DemoError(f"the thumbnail is not the expected picture: {got[:2]}, {different} bytes differ")
    return f"a thumbnail of {got[0]} x {got[1]} pixels, every pixel as expected"


def _check_hello(answer: dict[str, Any]) -> str:
    if answer.get("greeting") != "Hello, squib!":
        raise DemoError(f"unexpected answer {answer}")
    return f"{answer['greeting']!r}, call {answer['call']} of this environment"


# --- deploying and invoking


def _client(squib: server.Server, service: str = "lambda") -> Any:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # a profile of the user's must not matter here
    return boto3.session.Session().client(
        service,
        endpoint_url=squib.environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=squib.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=squib.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=squib.environment["AWS_REGION"],
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120, proxies={}),
    )


def _make_role(iam: Any) -> None:
    """What the functions may do: write their logs."""
    iam.create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument=json.dumps(LAMBDA_TRUST))
    iam.attach_role_policy(
        RoleName=ROLE_NAME, PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    )


def _run(client: Any, example: Example) -> Measured:
    archive = example.archive()
    say(f"deploying {example.name} ({example.runtime}, {len(archive) / 1e6:.1f} MB)")
    client.create_function(
        FunctionName=example.name,
        Runtime=example.runtime,
        Role=ROLE,
        Handler=example.handler,
        Code={"ZipFile": archive},
        MemorySize=512,
        Timeout=30,
    )
    client.get_waiter("function_active_v2").wait(
        FunctionName=example.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    cold_ms, summary, cold_report = _invoke(client, example)
    say(f"cold: {summary}")
    print(f"    {cold_report}")
    warm = [_invoke(client, example) for _ in range(WARM_CALLS)]
    say(f"warm: {warm[-1][1]}")
    print(f"    {warm[-1][2]}")
    client.delete_function(FunctionName=example.name)
    init_ms = cold_report.split("Init Duration: ")[1].split()[0] if "Init Duration: " in cold_report else "-"
    return Measured(
        example.title, example.runtime, cold_ms, init_ms, statistics.median(call[0] for call in warm)
    )


def _invoke(client: Any, example: Example) -> tuple[float, str, str]:
    """(milliseconds as the client saw it, what came back, the REPORT line)"""
    started = time.perf_counter()
    response = client.invoke(FunctionName=example.name, Payload=json.dumps(example.event), LogType="Tail")
    payload = response["Payload"].read()
    elapsed_ms = (time.perf_counter() - started) * 1000
    log = base64.b64decode(response["LogResult"]).decode(errors="replace")
    if "FunctionError" in response:
        raise DemoError(f"{example.name} failed: {payload.decode(errors='replace')}\n{log}")
    report = next((line for line in log.splitlines() if line.startswith("REPORT")), None)
    if report is None:
        raise DemoError(f"{example.name}: the log has no REPORT line:\n{log}")
    return elapsed_ms, example.check(json.loads(payload)), " ".join(report.split())


def _print_table(rows: list[Measured]) -> None:
    warm = f"warm (median of {WARM_CALLS})"
    print(f"\n  {'function':<20} {'runtime':<12} {'cold':>10} {'of it init':>12} {warm:>22}")
    for row in rows:
        init = f"{row.init_ms} ms" if row.init_ms != "-" else "-"
        print(
            f"  {row.title:<20} {row.runtime:<12} {row.cold_ms:>7.1f} ms {init:>12} {row.warm_ms:>19.2f} ms"
        )
    print("  as boto3 sees it, request to answer\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
