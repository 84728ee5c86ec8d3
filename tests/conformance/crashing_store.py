"""Run as a process to be killed: writes to a store and says on stdout what has been acknowledged.

Arguments: data directory, round. Lines: `function NAME`, `blob DIGEST`, `logged COUNT`.
"""

import asyncio
import sys
from pathlib import Path

from squib.clock import SystemClock
from squib.model.function import (
    FUNCTIONS,
    CodeRef,
    FunctionKey,
    FunctionRecord,
    FunctionVersion,
    LoggingConfig,
    State,
)
from squib.model.log import LogGroupKey
from squib.model.units import AccountId, ArchiveDigest, EpochMs, Region
from squib.store.base import Transaction
from squib.store.sqlite import SqliteStore, StoreOptions, open_store

ACCOUNT = AccountId("000000000000")
REGION = Region("us-east-1")
GROUP = LogGroupKey(ACCOUNT, REGION, "/aws/lambda/f")


def record(name: str) -> FunctionRecord:
    """A function that has nothing but its name."""
    version = FunctionVersion(
        key=FunctionKey(ACCOUNT, REGION, name),
        created_at_ms=EpochMs(1),
        modified_at_ms=EpochMs(1),
        revision_id="r",
        content_id="r",
        runtime="python3.11",
        handler="m.h",
        role_arn="arn:aws:iam::000000000000:role/r",
        code=CodeRef(digest=ArchiveDigest("0" * 64), size_bytes=1),
        logging=LoggingConfig(log_group=GROUP.name),
        state=State.ACTIVE,
    )
    return FunctionRecord(declared=version)


async def write_functions(store: SqliteStore, prefix: str) -> None:
    """Without end."""
    number = 0
    while True:
        name = f"{prefix}-{number}"

        def put(transaction: Transaction, name: str = name) -> None:
            transaction.put(FUNCTIONS, record(name).key, record(name))

        await store.write(put)
        print(f"function {name}", flush=True)
        number += 1


async def write_logs(store: SqliteStore, stream: str) -> None:
    """Without end: events 0, 1, 2, ... in one stream, and blobs beside them."""
    writer = store.logs.open_stream(GROUP, stream, now_ms=EpochMs(1))
    count = 0
    while True:
        for _ in range(7):
            writer.append(EpochMs(1_000_000 + count // 3), f"event {count}")
            count += 1
        await store.logs.flush()
        print(f"logged {count}", flush=True)
        digest = await store.blobs.put(f"{stream} {count}".encode())
        print(f"blob {digest}", flush=True)


async def main(data_dir: Path, number: str) -> None:
    options = StoreOptions(data_dir=data_dir, log_segment_bytes=2_000)
    async with await open_store(options, SystemClock()) as store, asyncio.TaskGroup() as group:
        for task in range(6):
            group.create_task(write_functions(store, f"{number}-{task}"))
        group.create_task(write_logs(store, f"stream {number}"))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
