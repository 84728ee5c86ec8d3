"""Streams of Kinesis, at the endpoint that squib was told of."""

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

_MAX_READ: Final = 10_000  # GetRecords reference, Limit


def kinesis_source(tools: Tools, store: Store, discards: Discards, upstream: Upstream) -> StreamSource:
    """The source; `upstream` knows where it is."""
    return StreamSource(
        tools,
        store,
        discards,
        upstream,
        service="kinesis",
        needs="GetRecords, GetShardIterator, DescribeStream, ListShards, and ListStreams",
        access=lambda mapping, role_arn: KinesisStream(upstream, mapping, role_arn),
    )


class KinesisStream:
    """Implements `StreamAccess`."""

    actions: tuple[str, ...] = ("kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards")
    pause_s = 1.0  # developer guide: once a second for each shard

    def __init__(self, upstream: Upstream, mapping: EventSourceMapping, role_arn: str) -> None:
        self._upstream, self._mapping, self._role_arn = upstream, mapping, role_arn
        self._arn = mapping.source_arn or ""
        self._filters = Filters(mapping.filter_patterns, data_key="data")

    async def shards(self) -> Sequence[Shard]:
        found: list[Shard] = []
        asked: dict[str, Any] = {"StreamARN": self._arn}
        while True:
            answer = await self._call("list_shards", **asked)
            for one in answer["Shards"]:
                parents = (one.get("ParentShardId"), one.get("AdjacentParentShardId"))
                found.append(Shard(one["ShardId"], tuple(name for name in parents if name)))
            if not answer.get("NextToken"):
                return found
            asked = {"NextToken": answer["NextToken"]}

    async def iterator(self, shard_id: str, position: Position) -> str:
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if position.after is not None:
            where = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": position.after,
            }
        elif position.at_ms is not None:
            where = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": position.at_ms / 1000}
        answer = await self._call("get_shard_iterator", StreamARN=self._arn, ShardId=shard_id, **where)
        return str(answer["ShardIterator"])

    async def read(
        self, iterator: str, limit: int, shard_id: str
    ) -> tuple[Sequence[StreamRecord], str | None]:
        answer = await self._call(
            "get_records", StreamARN=self._arn, ShardIterator=iterator, Limit=min(limit, _MAX_READ)
        )
        records = [self._record(one, shard_id) for one in answer["Records"]]
        return records, answer.get("NextShardIterator")

    def _record(self, given: Mapping[str, Any], shard_id: str) -> StreamRecord:
        data: bytes = given["Data"]
        sequence = given["SequenceNumber"]
        arrived_s = given["ApproximateArrivalTimestamp"].timestamp()
        kinesis = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": given["PartitionKey"],
            "sequenceNumber": sequence,
            "data": b64encode(data).decode(),
            "approximateArrivalTimestamp": round(arrived_s, 3),
        }
        return StreamRecord(
            sequence=sequence,
            lane_key=given["PartitionKey"],
            arrived_at_ms=arrived_s * 1000,
            is_wanted=not self._filters or self._filters.wants(kinesis, _text(data)),
            record={
                "kinesis": kinesis,
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{shard_id}:{sequence}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": self._role_arn,
                "awsRegion": self._mapping.region,
                "eventSourceARN": self._arn,
            },
        )

    async def _call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        try:
            return await self._upstream.call(
                self._mapping.account_id, "kinesis", self._mapping.region, operation, **parameters
            )
        except UpstreamError as error:
            if error.code == "ResourceNotFoundException":
                raise StreamGone(f"Stream not found: {self._arn}") from error
            if error.code == "ExpiredIteratorException":
                raise IteratorExpired() from error
            raise StreamFailed(str(error)) from error


def _text(data: bytes) -> str | None:
    """Data that filters may look into: JSON objects, as the developer guide says of Kinesis."""
    if data.lstrip()[:1] != b"{":
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
