"""What becomes of records of a shard: tried again, cut in two, or given up. Pure: time is an argument.

Lambda developer guide, "Process Kinesis Data Streams records with Lambda", error handling. A batch that fails
blocks its shard. What did not reach the function (throttles, our own failures) takes no retries.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from squib.model.event_source import EventSourceMapping

FOR_EVER: Final = -1


class Discard(StrEnum):
    """Why records are given up: `condition` of the record that a failure destination gets."""

    RETRIES = "RetryAttemptsExhausted"
    AGE = "RecordAgeExceeded"


class ShardRules(NamedTuple):
    """What a mapping says about failures."""

    max_retries: int = FOR_EVER
    max_age_ms: int = FOR_EVER
    bisects: bool = False

    @classmethod
    def of(cls, mapping: EventSourceMapping) -> "ShardRules":
        """Those of a mapping's settings."""
        retries, age_s = mapping.max_retry_attempts, mapping.max_record_age_s
        return cls(
            FOR_EVER if retries is None else retries,
            FOR_EVER if age_s is None or age_s == FOR_EVER else age_s * 1000,
            bool(mapping.bisects_batch_on_error),
        )


class Batch(NamedTuple):
    """Consecutive records that are sent together."""

    size: int
    failures: int = 0
    """How often exactly these have failed."""


class Aftermath(NamedTuple):
    """After a failure: the first `done` records are done, the next `discarded` are given up, the rest is sent
    as these batches, in order."""

    done: int
    discarded: int
    again: tuple[Batch, ...]


def after_failure(batch: Batch, rules: ShardRules, *, failed_at: int) -> Aftermath:
    """`failed_at` is the first record that has failed, as the function reports; 0 without a report.

    Cutting a batch takes no retries; one record that fails alone does."""
    left = batch.size - failed_at
    if failed_at:  # it has got further: what is left begins to fail now
        rest = after_failure(Batch(left), rules, failed_at=0)
        return rest._replace(done=failed_at)
    if rules.bisects and left > 1:
        half = left // 2
        return Aftermath(0, 0, (Batch(half), Batch(left - half)))
    failures = batch.failures + 1
    if rules.max_retries != FOR_EVER and failures > rules.max_retries:
        return Aftermath(0, left, ())
    return Aftermath(0, 0, (Batch(left, failures),))


def expired_count(arrived_at_ms: Sequence[float], rules: ShardRules, *, now_ms: float) -> int:
    """How many records at the front are too old."""
    if rules.max_age_ms == FOR_EVER:
        return 0
    count = 0
    for at_ms in arrived_at_ms:
        if now_ms - at_ms <= rules.max_age_ms:
            break
        count += 1
    return count


def lane(partition_key: str, lanes: int) -> int:
    """Which of a shard's concurrent batches a record belongs to: all of one key to the same."""
    if lanes == 1:
        return 0
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()[:4]) % lanes
