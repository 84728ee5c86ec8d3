"""Compiled policies of resources: dropped when their own is written, however the resource was asked about."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest

from squib.access.resources import ResourceBook
from squib.clock import SystemClock
from squib.model.alias import qualified_key
from squib.model.function import CodeRef, FunctionKey
from squib.model.layer import LAYER_VERSIONS, LayerKey, LayerStatement, LayerVersion
from squib.model.queue import QUEUES, Queue, QueueKey
from squib.model.resource_policy import RESOURCE_POLICIES, ResourcePolicy
from squib.model.units import AccountId, ArchiveDigest, EpochMs, Region
from squib.store.base import Store
from squib.store.sqlite import StoreOptions, open_store

OWN: Final = AccountId("000000000000")
REGION: Final = Region("us-east-1")
FUNCTION: Final = FunctionKey(OWN, REGION, "f")
QUEUE: Final = QueueKey(OWN, REGION, "q")
LAYER: Final = LayerKey(OWN, REGION, "l")
DOCUMENT: Final = {
    "Version": "2012-10-17",
    "Id": "default",
    "Statement": [{"Sid": "s", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}


def run(tmp_path: Path, check: Callable[[Store, ResourceBook], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with await open_store(StoreOptions(data_dir=tmp_path), SystemClock()) as store:
            await check(store, ResourceBook(store))

    asyncio.run(main())


async def open_function(store: Store, function: FunctionKey, qualifier: str | None = None) -> None:
    policy = ResourcePolicy(function=function, qualifier=qualifier, revision_id="r", document=DOCUMENT)
    key = qualified_key(function, qualifier)
    await store.write(lambda transaction: transaction.put(RESOURCE_POLICIES, key, policy))


async def close_function(store: Store, function: FunctionKey, qualifier: str | None = None) -> None:
    key = qualified_key(function, qualifier)
    await store.write(lambda transaction: transaction.delete(RESOURCE_POLICIES, key))


async def put_queue(store: Store, key: QueueKey, policy: str = "", tags: Any = None) -> None:
    queue = Queue(
        key=key,
        queue_id=1,
        secret=b"",
        created_at_ms=EpochMs(1),
        modified_at_ms=EpochMs(1),
        policy=policy,
        tags=tags or {},
    )
    await store.write(lambda transaction: transaction.put(QUEUES, key, queue))


async def put_layer(store: Store, *principals: str) -> None:
    version = LayerVersion(
        layer=LAYER,
        number=1,
        created_at_ms=EpochMs(1),
        content=CodeRef(digest=ArchiveDigest("0" * 64), size_bytes=1),
        statements=[LayerStatement(statement_id="s", principal=principal) for principal in principals],
    )
    await store.write(lambda transaction: transaction.put(LAYER_VERSIONS, version.key, version))


def test_a_write_drops_what_it_concerns_and_nothing_else(tmp_path: Path) -> None:
    async def check(store: Store, book: ResourceBook) -> None:
        other = FunctionKey(OWN, REGION, "g")
        for function in (FUNCTION, other):
            await open_function(store, function)
        kept, before = book.of(other.arn()), book.of(FUNCTION.arn())
        assert kept is not None and before is not None
        await open_function(store, FUNCTION, "live")
        await put_queue(store, QUEUE)
        await put_layer(store, "*")
        assert book.of(FUNCTION.arn()) is before
        await open_function(store, FUNCTION)
        assert book.of(FUNCTION.arn()) is not before and book.of(other.arn()) is kept

    run(tmp_path, check)


@pytest.mark.parametrize("qualifier", [None, "live"])
def test_what_is_closed_is_closed_under_every_spelling(tmp_path: Path, qualifier: str | None) -> None:
    async def check(store: Store, book: ResourceBook) -> None:
        spellings = [FUNCTION.arn(qualifier), FUNCTION.arn(qualifier).replace("arn:aws:", "arn:aws-cn:")]
        if qualifier is None:
            spellings.append(FUNCTION.arn("$LATEST"))
        assert [book.of(arn) for arn in spellings] == [None] * len(spellings)
        await open_function(store, FUNCTION, qualifier)
        opened = [book.of(arn) for arn in spellings]
        assert opened[0] is not None
        await close_function(store, FUNCTION, qualifier)
        assert [book.of(arn) for arn in spellings] == [None] * len(spellings)

    run(tmp_path, check)


def test_queues_and_layers_are_opened_and_closed_at_once(tmp_path: Path) -> None:
    async def check(store: Store, book: ResourceBook) -> None:
        arns = (QUEUE.arn, f"{LAYER.arn}:1")
        assert [book.of(arn) for arn in arns] == [None, None]
        await put_queue(store, QUEUE, json.dumps(DOCUMENT))
        await put_layer(store, "*")
        assert None not in [book.of(arn) for arn in arns]
        await put_queue(store, QUEUE)
        await put_layer(store)
        assert [book.of(arn) for arn in arns] == [None, None]
        await put_queue(store, QUEUE, "{}")
        policy = book.of(QUEUE.arn)
        assert policy is not None and policy.statements[0].ref.sid == "UnreadableDocument"

    run(tmp_path, check)
