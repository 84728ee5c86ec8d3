"""Records that are given up: told to the mapping's failure destination, if it has one.

What is to be told is on disk before the shard goes on, and is brought where it belongs as endings of
asynchronous events are: again and again for hours, each failure counted and logged.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from squib.clock import Clock, Entropy
from squib.event_sources.conditions import Conditions
from squib.event_sources.sender import Sent
from squib.event_sources.stream_access import StreamRecord
from squib.invoke.records import timestamp
from squib.model.async_event import AcceptedEvent, Condition, Ending, Target, TargetKind
from squib.model.errors import InvalidParameterValue
from squib.model.event_source import EventSourceMapping, SourceKind
from squib.model.function import FunctionVersion
from squib.model.invocation import FunctionFailed
from squib.model.units import EpochMs
from squib.scheduler.shards import Discard

_ACTIONS: Final = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "s3": "s3:PutObject"}
_INFO: Final = {SourceKind.KINESIS: "KinesisBatchInfo", SourceKind.DYNAMODB: "DDBStreamBatchInfo"}
_CONDITIONS: Final = {
    Discard.RETRIES: Condition.RETRIES_EXHAUSTED,
    Discard.AGE: Condition.EVENT_AGE_EXCEEDED,
}

_log: Final = logging.getLogger("squib.event_sources")


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive records of a shard that are given up."""

    shard_id: str
    records: Sequence[StreamRecord]
    why: Discard
    attempts: int
    sent: Sent | None
    """The last invocation with them, if there was one."""


HandIn: TypeAlias = Callable[[AcceptedEvent, bytes, Ending], "asyncio.Future[None]"]
"""See `invoke.telling.Teller.hand_in`."""


class Discards:
    """Tells what was given up."""

    def __init__(self, hand_in: HandIn, conditions: Conditions, clock: Clock, entropy: Entropy) -> None:
        self._hand_in, self._conditions = hand_in, conditions
        self._clock, self._entropy = clock, entropy

    def check(self, mapping: EventSourceMapping, function: FunctionVersion) -> None:
        """Whether the destination is one, and the role may use it. Raises InvalidParameterValue."""
        arn = mapping.on_failure
        if arn is None:
            return
        action = _ACTIONS.get(arn.split(":")[2] if arn.count(":") >= 5 else "")
        if action is None or arn.endswith(".fifo"):  # developer guide: standard queues and topics
            raise InvalidParameterValue(f"Invalid destination ARN: {arn}")
        resource = f"{arn}/*" if action.startswith("s3") else arn
        if self._conditions.missing(function, (action,), resource) is not None:
            raise InvalidParameterValue(
                "The provided execution role does not have permissions to call "
                f"{action.partition(':')[2]} on {action.partition(':')[0].upper()}"
            )

    async def tell(self, mapping: EventSourceMapping, given: Discarded) -> None:
        """Returns when it is certain to be told, or nobody is to be. Raises Problem where the function is no
        more, whose role it is told with, and PlatformError."""
        _log.warning(
            "records_discarded uuid=%s shard=%s count=%d condition=%s",
            mapping.uuid,
            given.shard_id,
            len(given.records),
            given.why,
        )
        if mapping.on_failure is None:
            return
        role_arn = self._conditions.function(mapping).role_arn
        now_ms = self._clock.now_ms()
        request_id = self._entropy.request_id() if given.sent is None else given.sent.request_id
        has_payload = ":s3:" in mapping.on_failure
        event = AcceptedEvent(request_id, mapping.function, mapping.qualifier, now_ms, "")
        ending = Ending(
            _CONDITIONS[given.why],
            now_ms,
            role_arn,
            (Target(TargetKind.DISCARD, mapping.on_failure),),
            200,
            bucket_folder=f"aws/lambda/{mapping.uuid}/{given.shard_id}",
        )
        body = discard_record(mapping, given, request_id=request_id, now_ms=now_ms, has_payload=has_payload)
        await asyncio.shield(self._hand_in(event, body, ending))


def discard_record(
    mapping: EventSourceMapping, given: Discarded, *, request_id: str, now_ms: EpochMs, has_payload: bool
) -> bytes:
    """What a failure destination gets (developer guide, "Retain discarded batch records"). Pure."""
    first, last = given.records[0], given.records[-1]
    record: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id,
            "functionArn": mapping.function.arn(),
            "condition": str(given.why),
            "approximateInvokeCount": given.attempts,
        },
        "version": "1.0",
        "timestamp": timestamp(now_ms),
        _INFO[mapping.kind]: {
            "shardId": given.shard_id,
            "startSequenceNumber": first.sequence,
            "endSequenceNumber": last.sequence,
            "approximateArrivalOfFirstRecord": timestamp(EpochMs(int(first.arrived_at_ms))),
            "approximateArrivalOfLastRecord": timestamp(EpochMs(int(last.arrived_at_ms))),
            "batchSize": len(given.records),
            "streamArn": mapping.source_arn,
        },
    }
    if given.sent is not None:
        outcome = given.sent.outcome
        context: dict[str, Any] = {"statusCode": 200, "executedVersion": outcome.executed_version}
        context["functionError"] = outcome.handled if isinstance(outcome, FunctionFailed) else None
        record["responseContext"] = context
    if has_payload:
        record["payload"] = msgspec.json.encode({"Records": [one.record for one in given.records]}).decode()
    return msgspec.json.encode(record)
