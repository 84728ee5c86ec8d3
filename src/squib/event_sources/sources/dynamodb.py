"""Streams of DynamoDB tables, at the endpoint that squib was told of."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from squib.event_sources.base import Tools
from squib.event_sources.discards import Discards
from squib.event_sources.stream_access import (
    IteratorExpired,
    Position,
    Shard,
    StreamFailed,
    StreamGone,
    StreamRecord,
)
from squib.event_sources.stream_source import StreamSource
from squib.invoke.upstream import Upstream, UpstreamError
from squib.model.event_source import EventSourceMapping
from squib.scheduler.filtering import Filters
from squib.store.base import Store

_MAX_READ: Final = 1_000  # GetRecords reference of DynamoDB Streams, Limit
_MAX_PASSED: Final = 50  # squib's choice: reads in a row, while what they give is too old


def dynamodb_source(tools: Tools, store: Store, discards: Discards, upstream: Upstream) -> StreamSource:
    """The source; `upstream` knows where it is."""
    return StreamSource(
        tools,
        store,
        discards,
        upstream,
        service="dynamodbstreams",
        needs="GetRecords, GetShardIterator, DescribeStream, and ListStreams",
        access=lambda mapping, role_arn: DynamoDbStream(upstream, mapping),
    )


class DynamoDbStream:
    """Implements `StreamAccess`."""

    actions: tuple[str, ...] = ("dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:DescribeStream")
    pause_s = 0.25  # developer guide: four times a second

    def __init__(self, upstream: Upstream, mapping: EventSourceMapping) -> None:
        self._upstream, self._mapping = upstream, mapping
        self._arn = mapping.source_arn or ""
        self._filters = Filters(mapping.filter_patterns, data_key="dynamodb")
        self._view_type: str | None = None
        self._from_s: dict[str, int] = {}

    async def shards(self) -> Sequence[Shard]:
        found: list[Shard] = []
        asked: dict[str, Any] = {}
        while True:
            answer = await self._call("describe_stream", StreamArn=self._arn, **asked)
            described = answer["StreamDescription"]
            self._view_type = described.get("StreamViewType")
            for one in described["Shards"]:
                parent = one.get("ParentShardId")
                found.append(Shard(one["ShardId"], (parent,) if parent else ()))
            if not described.get("LastEvaluatedShardId"):
                return found
            asked = {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}

    async def iterator(self, shard_id: str, position: Position) -> str:
        """These streams know no times: reading begins before one, and what is older is passed over."""
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        self._from_s.pop(shard_id, None)
        if position.after is not None:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": position.after}
        elif position.is_now:
            where = {"ShardIteratorType": "LATEST"}
        elif position.at_ms is not None:
            self._from_s[shard_id] = position.at_ms // 1000  # records tell the second of their making
        answer = await self._call("get_shard_iterator", StreamArn=self._arn, ShardId=shard_id, **where)
        return str(answer["ShardIterator"])

    async def read(
        self, iterator: str, limit: int, shard_id: str
    ) -> tuple[Sequence[StreamRecord], str | None]:
        from_s = self._from_s.get(shard_id, 0)
        for _ in range(_MAX_PASSED):
            answer = await self._call("get_records", ShardIterator=iterator, Limit=min(limit, _MAX_READ))
            given, following = answer["Records"], answer.get("NextShardIterator")
            found = [self._record(one) for one in given if _made_s(one) >= from_s]
            if found or not given or following is None:
                break
            iterator = following
        return found, following

    def _record(self, given: Mapping[str, Any]) -> StreamRecord:
        change = given["dynamodb"]
        created_s = _made_s(given)
        dynamodb: dict[str, Any] = {"ApproximateCreationDateTime": float(int(created_s))}
        for name in ("Keys", "NewImage", "OldImage"):
            if name in change:
                dynamodb[name] = _plain(change[name])
        for name in ("SequenceNumber", "SizeBytes", "StreamViewType"):
            if name in change:
                dynamodb[name] = change[name]
        record = {
            "eventID": given["eventID"],
            "eventName": given["eventName"],
            "eventVersion": given.get("eventVersion", "1.1"),
            "eventSource": "aws:dynamodb",
            "awsRegion": given.get("awsRegion", self._mapping.region),
            "dynamodb": dynamodb,
        }
        if "userIdentity" in given:
            who = given["userIdentity"]
            record["userIdentity"] = {"type": who.get("Type"), "principalId": who.get("PrincipalId")}
        record["eventSourceARN"] = self._arn
        return StreamRecord(
            sequence=change["SequenceNumber"],
            lane_key=str(change.get("Keys")),
            arrived_at_ms=created_s * 1000,
            is_wanted=self._filters.wants_whole(record),
            record=record,
        )

    async def _call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        try:
            return await self._upstream.call(
                self._mapping.account_id, "dynamodbstreams", self._mapping.region, operation, **parameters
            )
        except UpstreamError as error:
            if error.code == "ResourceNotFoundException":
                raise StreamGone(f"Stream not found: {self._arn}") from error
            if error.code == "ExpiredIteratorException":
                raise IteratorExpired() from error
            raise StreamFailed(str(error)) from error


def _made_s(given: Mapping[str, Any]) -> float:
    made_s: float = given["dynamodb"]["ApproximateCreationDateTime"].timestamp()
    return made_s


def _plain(value: Any) -> Any:
    """Attribute values as JSON has them: bytes in base64, sets as lists."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | set | tuple):
        return [_plain(one) for one in value]
    return value
