"""`python -m bench.snap_start`: cold starts of a function whose initialization takes a second, out of a
snapshot and without one, alternating in one run.

Each sample is the time from the request to the answer of one Invoke for which no environment is there; the
one before was ended by its own crash, or by an update. One after the other, nothing else at work.
"""

import io
import os
import platform
import statistics
import time
import zipfile
from collections.abc import Callable
from typing import Any, Final

import boto3
import botocore.config

from bench.client import Answer, BadAnswer, exchange
from bench.contestants.lambda_api import ROLE
from bench.contestants.squib import Squib
from bench.environments import report
from bench.provision import OUT, runtime
from bench.signing import INVOKE_PATH, REGION, signed
from squib.environment.runtimes import RuntimeKind

SAMPLES: Final = 40
PLAIN_SAMPLES: Final = 5
PAUSE_S: Final = 0.2  # what was used up is made ready again, as between calls that are rare
KEPT_MIB: Final = 50
CODE: Final = f"""
import os, time
KEPT = os.urandom(1 << 20) * {KEPT_MIB}
time.sleep(1)
def handler(event, context):
    if event == "exit":
        os._exit(1)
    return len(KEPT)
"""
TARGET_MS: Final = 15


def main() -> int:
    """Measures and prints."""
    (OUT / "logs").mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}")
    python = runtime(RuntimeKind.PYTHON, "python3.11").name
    squib = Squib(python=python, node=None, arguments="")
    squib.start()
    try:
        measure(squib, python)
    finally:
        squib.stop()
    return 0


def measure(squib: Squib, python: str) -> None:
    """Both, and what they have to do with each other."""
    api = client(squib, "lambda")
    create(api, "bench-snap", python, SnapStart={"ApplyOn": "PublishedVersions"})
    create(api, "bench-plain", python)
    api.publish_version(FunctionName="bench-snap")
    shown = settled(api, FunctionName="bench-snap", Qualifier="1")
    if shown["SnapStart"]["OptimizationStatus"] != "On":
        raise BadAnswer(f"no snapshot: {shown.get('StateReason')}")

    def crash() -> None:
        invoke(squib, "bench-snap%3A1", b'"exit"')

    def update() -> None:
        api.update_function_configuration(FunctionName="bench-plain", Description=str(time.time()))
        settled(api, FunctionName="bench-plain")

    plain, restored = [], []
    for number in range(SAMPLES):
        restored.append(cold(squib, "bench-snap%3A1", crash))
        if number % (SAMPLES // PLAIN_SAMPLES) == 0:
            plain.append(cold(squib, "bench-plain", update))
    plain_ms = report("cold start, initialization of a second", plain)
    restored_ms = report(f"the same out of a snapshot of {KEPT_MIB} MB", restored)
    print(f"{plain_ms / restored_ms:.0f} times as fast; {reported(client(squib, 'logs'))}")
    print(f"target: at most {TARGET_MS} ms: {'PASS' if restored_ms <= TARGET_MS else 'MISS'}")


def cold(squib: Squib, name: str, clear: Callable[[], None]) -> float:
    """Milliseconds of one Invoke for which an environment has to be started; `clear` ends it afterwards."""
    answer = invoke(squib, name, b"{}")
    if answer.status != 200 or answer.function_error:
        raise BadAnswer(f"Invoke of {name}: {answer.status} {answer.body[:200]!r}")
    clear()
    time.sleep(PAUSE_S)
    return answer.elapsed_ms


def invoke(squib: Squib, name: str, event: bytes) -> Answer:
    """One Invoke, on a connection that is opened before."""
    return exchange(squib.port, signed("POST", squib.port, INVOKE_PATH.format(name), event, squib.key))


def client(squib: Squib, service: str) -> Any:
    """Of the AWS SDK."""
    session: Any = boto3.session.Session()
    return session.client(
        service,
        endpoint_url=f"http://127.0.0.1:{squib.port}",
        region_name=REGION,
        aws_access_key_id=squib.key.access_key_id,
        aws_secret_access_key=squib.key.secret_access_key,
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )


def create(api: Any, name: str, python: str, **more: Any) -> None:
    """One function, which can be invoked afterwards."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", CODE)
    api.create_function(
        FunctionName=name,
        Runtime=python,
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": packed.getvalue()},
        Timeout=30,
        MemorySize=256,
        **more,
    )
    settled(api, FunctionName=name)


def settled(api: Any, **which: str) -> dict[str, Any]:
    """The function or version as it is shown once it is ready."""
    while True:
        shown: dict[str, Any] = api.get_function_configuration(**which)
        if shown["State"] != "Pending" and shown.get("LastUpdateStatus") != "InProgress":
            return shown
        time.sleep(0.02)


def reported(logs: Any) -> str:
    """What the log says that coming out of the snapshot took."""
    answer = logs.filter_log_events(
        logGroupName="/aws/lambda/bench-snap", filterPattern='"RESTORE_REPORT Restore Duration"'
    )
    taken = [float(event["message"].split("Duration: ")[1].split(" ms")[0]) for event in answer["events"]]
    return f"median Restore Duration {statistics.median(taken):.2f} ms"


if __name__ == "__main__":
    raise SystemExit(main())
