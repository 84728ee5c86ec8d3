"""`python -m bench.control_plane`: what squib's control plane takes on a store of many functions.

Makes a data directory of FUNCTIONS functions with VERSIONS published versions each, every version with an
archive of its own, starts squib on it a few times, and measures single calls on a connection each.
"""

import asyncio
import base64
import hashlib
import io
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.client import BadAnswer, exchange
from bench.contestants.environ import plain_environ
from bench.process import Server
from bench.provision import OUT
from bench.signing import REGION, AccessKey, signed
from squib.clock import SystemClock
from squib.model.function import (
    FUNCTIONS as FUNCTION_KIND,
)
from squib.model.function import (
    LAST_NUMBERS,
    CodeRef,
    FunctionKey,
    FunctionRecord,
    FunctionVersion,
    LastNumber,
    LastUpdateStatus,
    LoggingConfig,
    Published,
    State,
    version_key,
)
from squib.model.function import (
    VERSIONS as VERSION_KIND,
)
from squib.model.secret import SecretMap
from squib.model.units import AccountId, ArchiveDigest, EpochMs, Region
from squib.store.base import Transaction
from squib.store.sqlite import StoreOptions, open_store

FUNCTIONS: Final = 10_000
VERSIONS: Final = 3
STARTS: Final = 3
CALLS: Final = 200
CREATES: Final = 20
ZIP_BYTES: Final = 1_000_000
TARGETS_MS: Final = {
    "start": 2_000,
    "ListFunctions, a page of 50": 50,
    "GetFunction": 5,
    "CreateFunction, zip of 1 MB": 60,
}

ACCOUNT: Final = AccountId("000000000000")
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/bench"
PATH: Final = "/2015-03-31/functions"


def main() -> int:
    """Measures and prints; 0 when every target is met."""
    data_dir = Path(tempfile.mkdtemp(prefix="squib-bench-"))
    data_dir.chmod(0o755)
    OUT.mkdir(exist_ok=True)
    (OUT / "logs").mkdir(exist_ok=True)
    try:
        started_s = time.perf_counter()
        asyncio.run(provision(data_dir))
        made = FUNCTIONS * (VERSIONS + 1)
        print(f"{made} versions written in {time.perf_counter() - started_s:.1f} s", flush=True)
        measured = measure(data_dir)
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
    print(f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}")
    is_met = True
    for name, values in measured.items():
        middle, target = statistics.median(values), TARGETS_MS[name]
        is_met = is_met and middle < target
        print(
            f"{name}: median {middle:.1f} ms, {min(values):.1f}..{max(values):.1f}, "
            f"{middle / target:.2f} of the target of {target} ms"
        )
    return 0 if is_met else 1


async def provision(data_dir: Path) -> None:
    """Writes functions as they are once all of them are active."""
    async with await open_store(StoreOptions(data_dir=data_dir), SystemClock()) as store:
        for start in range(0, FUNCTIONS, 500):
            records = [function(data_dir, number) for number in range(start, start + 500)]

            def put(
                transaction: Transaction,
                records: Sequence[tuple[FunctionRecord, Sequence[FunctionVersion]]] = records,
            ) -> None:
                for record, versions in records:
                    transaction.put(FUNCTION_KIND, record.key, record)
                    transaction.put(LAST_NUMBERS, record.key, LastNumber(len(versions)))
                    for version in versions:
                        transaction.put(VERSION_KIND, version_key(record.key, version.version), version)

            await store.write(put)


def function(data_dir: Path, number: int) -> tuple[FunctionRecord, Sequence[FunctionVersion]]:
    """A function and its published versions; their archives lie where the store keeps them."""
    name = f"bench-{number:05d}"
    latest = FunctionVersion(
        key=FunctionKey(ACCOUNT, Region(REGION), name),
        created_at_ms=EpochMs(0),
        modified_at_ms=EpochMs(0),
        revision_id=f"r-{number}",
        content_id=f"c-{number}",
        runtime="python3.11",
        handler="app.handler",
        role_arn=ROLE,
        code=archive(data_dir, f"{number} $LATEST"),
        environment_variables=SecretMap({"STAGE": "production", "TABLE": f"table-{number}"}),
        logging=LoggingConfig(log_group=f"/aws/lambda/{name}"),
        state=State.ACTIVE,
        last_update_status=LastUpdateStatus.SUCCESSFUL,
    )
    versions = [
        msgspec.structs.replace(
            latest,
            version=str(version),
            content_id=f"c-{number}-{version}",
            code=archive(data_dir, f"{number} {version}"),
        )
        for version in range(1, VERSIONS + 1)
    ]
    published = Published(number=str(VERSIONS), description="")
    return FunctionRecord(declared=latest, active=latest, published=published), versions


def archive(data_dir: Path, text: str) -> CodeRef:
    """A small archive with this text in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("app.py", f"# {text}\ndef handler(event, context):\n    return event\n")
    content = buffer.getvalue()
    digest = ArchiveDigest(hashlib.sha256(content).hexdigest())
    folder = data_dir / "blobs" / digest[:2]
    folder.mkdir(exist_ok=True)
    (folder / f"{digest}.zip").write_bytes(content)
    return CodeRef(digest=digest, size_bytes=len(content))


def measure(data_dir: Path) -> dict[str, list[float]]:
    """Milliseconds of each start and call."""
    found: dict[str, list[float]] = {name: [] for name in TARGETS_MS}
    for start in range(STARTS):
        server, port, elapsed_ms = started(data_dir)
        found["start"].append(elapsed_ms)
        try:
            if start == STARTS - 1:
                calls(data_dir, port, found)
        finally:
            server.end()
    return found


def started(data_dir: Path) -> tuple[Server, int, float]:
    """squib on the data directory, its port, and how long it took until it was ready."""
    command = [
        str(Path(sys.executable).parent / "squib"),
        "serve",
        "--port",
        "0",
        "--data-dir",
        str(data_dir),
    ]
    since_s = time.perf_counter()
    server = Server(command, log=OUT / "logs" / "control-plane.log", environ=plain_environ())
    ready = server.wait_for_line(r"squib ready on http://[^\s:]+:(\d+)", 120)
    return server, int(ready[1]), (time.perf_counter() - since_s) * 1000


def calls(data_dir: Path, port: int, found: dict[str, list[float]]) -> None:
    """Calls one after the other, each on a connection of its own."""
    stored = json.loads((data_dir / "credentials.json").read_text())["accounts"][ACCOUNT]
    key = AccessKey(access_key_id=stored["access_key_id"], secret_access_key=stored["secret_access_key"])

    def call(method: str, path: str, body: bytes = b"") -> float:
        answer = exchange(port, signed(method, port, path, body, key))
        if answer.status not in (200, 201):
            raise BadAnswer(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer.elapsed_ms

    for number in range(CALLS):
        name = f"bench-{number * (FUNCTIONS // CALLS):05d}"
        found["GetFunction"].append(call("GET", f"{PATH}/{name}"))
        found["ListFunctions, a page of 50"].append(call("GET", f"{PATH}/"))
    for body in creates():
        found["CreateFunction, zip of 1 MB"].append(call("POST", PATH, body))


def creates() -> Iterator[bytes]:
    """Requests to create functions whose archives nobody has yet."""
    for number in range(CREATES):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as package:
            package.writestr("app.py", "def handler(event, context):\n    return event\n")
            package.writestr("data.bin", os.urandom(ZIP_BYTES))
        code = base64.b64encode(buffer.getvalue()).decode()
        yield json.dumps(
            {
                "FunctionName": f"new-{number}",
                "Runtime": "python3.11",
                "Handler": "app.handler",
                "Role": ROLE,
                "Code": {"ZipFile": code},
            }
        ).encode()


if __name__ == "__main__":
    sys.exit(main())
