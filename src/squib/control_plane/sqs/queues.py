"""Queues: making, finding, emptying and deleting them, and their tags."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from squib.control_plane.sqs.attributes import changed, differing, update
from squib.control_plane.sqs.calls import NOTHING, Sqs, queue_key, queue_of, queue_url, required
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.queue import FIFO_SUFFIX, QUEUES, Queue, QueueKey
from squib.model.queue_errors import (
    InvalidAttributeName,
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    QueueParameterInvalid,
)
from squib.model.queue_limits import DELETED_NAME_MS, MAX_QUEUE_NAME, MAX_QUEUE_TAGS, PURGE_INTERVAL_MS
from squib.store.base import Reader, Transaction

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_SECRET_BYTES: Final = 16


async def create_queue(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """CreateQueue: a queue of this name and these attributes, whether or not it was there before."""
    given: Mapping[str, str] = call.input.get("Attributes") or {}
    tags: Mapping[str, str] = call.input.get("tags") or {}
    key = QueueKey(call.account_id, call.region, required(call.input, "QueueName"))
    _check_name(key, given)
    _check_tags(tags, key)
    deleted_at_ms = sqs.deleted_at_ms.get(key)
    if deleted_at_ms is not None and call.received_at_ms - deleted_at_ms < DELETED_NAME_MS:
        raise QueueDeletedRecently()
    bare = Queue(
        key=key,
        queue_id=sqs.queues.number(),
        secret=sqs.entropy.token(_SECRET_BYTES),
        created_at_ms=call.received_at_ms,
        modified_at_ms=call.received_at_ms,
        tags=tags,
    )
    wanted = changed(bare, given, sqs.store.memory, operation=call.operation, peek=sqs.definitions.peek)

    def decide(transaction: Transaction) -> None:
        existing = transaction.get(QUEUES, key)
        if existing is None:
            transaction.put(QUEUES, key, wanted)
        elif (other := differing(existing, wanted, given)) is not None:
            raise QueueNameExists(other)

    await sqs.store.write(decide)
    return OperationResult(output={"QueueUrl": queue_url(call, key)})


async def get_queue_url(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """GetQueueUrl, also of another account's queue."""
    owner = call.input.get("QueueOwnerAWSAccountId") or call.account_id
    key = QueueKey(call.account_id, call.region, required(call.input, "QueueName"))
    if owner != call.account_id or sqs.definitions.peek(key) is None:
        raise QueueDoesNotExist()
    return OperationResult(output={"QueueUrl": queue_url(call, key)})


async def delete_queue(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """DeleteQueue: with its messages; its name cannot be used again for a minute."""
    key = queue_key(call)
    if not await sqs.queues.delete_queue(key):
        raise QueueDoesNotExist()
    now_ms = call.received_at_ms
    for name in [name for name, at_ms in sqs.deleted_at_ms.items() if now_ms - at_ms >= DELETED_NAME_MS]:
        del sqs.deleted_at_ms[name]
    sqs.deleted_at_ms[key] = now_ms
    return NOTHING


async def purge_queue(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """PurgeQueue: what was sent before is gone at once; AWS takes up to a minute."""
    queue = queue_of(sqs, call)
    if call.received_at_ms - queue.purged_at_ms < PURGE_INTERVAL_MS:
        raise PurgeQueueInProgress(queue.key.name)
    await sqs.queues.purge(queue.key, now_ms=call.received_at_ms)
    return NOTHING


async def tag_queue(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """TagQueue: adds tags, in place of those of the same keys."""
    key, given = queue_of(sqs, call).key, required(call.input, "Tags")

    def decide(queue: Queue, reader: Reader) -> Queue:
        tags = {**queue.tags, **given}
        _check_tags(tags, key)
        return msgspec.structs.replace(queue, tags=tags)

    await update(sqs, call, key, decide)
    return NOTHING


async def untag_queue(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """UntagQueue: removes the tags of these keys; others are passed over."""
    key, gone = queue_of(sqs, call).key, frozenset(required(call.input, "TagKeys"))

    def decide(queue: Queue, reader: Reader) -> Queue:
        tags = {name: text for name, text in queue.tags.items() if name not in gone}
        return msgspec.structs.replace(queue, tags=tags)

    await update(sqs, call, key, decide)
    return NOTHING


async def list_queue_tags(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """ListQueueTags."""
    tags = dict(queue_of(sqs, call).tags)
    return OperationResult(output={"Tags": tags} if tags else {})


def _check_name(key: QueueKey, given: Mapping[str, str]) -> None:
    """The suffix and the attribute say the same (CreateQueue reference, FifoQueue)."""
    wants_fifo = given.get("FifoQueue")
    if wants_fifo is None or wants_fifo.lower() != "true":
        if _NAME.fullmatch(key.name) is None:
            raise QueueParameterInvalid(
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
            )
        if wants_fifo is not None:
            raise InvalidAttributeName("FifoQueue")
    elif (
        not key.is_fifo
        or len(key.name) > MAX_QUEUE_NAME
        or _NAME.fullmatch(key.name.removesuffix(FIFO_SUFFIX)) is None
    ):
        raise QueueParameterInvalid(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            "must end with .fifo suffix and be 1 to 80 in length"
        )


def _check_tags(tags: Mapping[str, str], key: QueueKey) -> None:
    if len(tags) > MAX_QUEUE_TAGS:
        raise QueueParameterInvalid(f"Too many tags added for queue {key.name}.")
    for name, text in tags.items():
        if not 1 <= len(name) <= 128 or len(text) > 256:
            raise QueueParameterInvalid(f"Tag keys have 1 to 128 characters, values up to 256: {name[:200]}")
        if name.lower().startswith("aws:"):
            raise QueueParameterInvalid(f"Tag keys beginning with aws: are reserved for system use: {name}")
