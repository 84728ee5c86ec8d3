"""Shards that are split and merged, and where reading begins. Against moto's server."""

import time
from typing import Any

import pytest

from harness.machine import eventually
from harness.moto import Moto
from harness.sources import COLLECTOR, Mapped, Queue, events_of
from harness.streams import Stream, reader, taken, texts

pytestmark = pytest.mark.slow
KEYS = "abcdef"


class Reshaped:
    """A stream whose shards change while records are put."""

    def __init__(self, moto: Moto, name: str) -> None:
        self.stream = Stream(moto, name)
        self.kinesis, self.named = self.stream.kinesis, {"StreamName": name}
        self.count = 0

    def put(self) -> None:
        """Three records of each key."""
        for _ in range(3):
            for key in KEYS:
                self.stream.put(f"{key}{self.count}", key=key)
            self.count += 1

    def open_shards(self) -> list[dict[str, Any]]:
        found = self.kinesis.list_shards(**self.named)["Shards"]
        shards = [one for one in found if "EndingSequenceNumber" not in one["SequenceNumberRange"]]
        return sorted(shards, key=lambda one: int(one["HashKeyRange"]["StartingHashKey"]))

    def split(self) -> None:
        """The first shard in the middle."""
        shard = self.open_shards()[0]
        low, high = (int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
        self.kinesis.split_shard(
            **self.named, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((low + high) // 2)
        )

    def merge(self) -> None:
        """The first two shards."""
        first, second, *_ = self.open_shards()
        self.kinesis.merge_shards(
            **self.named, ShardToMerge=first["ShardId"], AdjacentShardToMerge=second["ShardId"]
        )

    def check(self, found: list[str]) -> None:
        """All records came, once, those of each key in order."""
        assert len(found) == self.count * len(KEYS)
        for key in KEYS:
            assert [one for one in found if one[0] == key] == [f"{key}{n}" for n in range(self.count)]


def test_keys_keep_their_order_over_splits_and_merges(moto: Moto) -> None:
    with moto.served("kinesis") as squib:
        results, shards = Queue(squib), Reshaped(moto, "reshaped")
        for change in (shards.split, shards.split, shards.merge, shards.merge):
            shards.put()
            change()
        shards.put()
        mapping = Mapped(
            squib, reader(squib, results, COLLECTOR), shards.stream.arn, StartingPosition="TRIM_HORIZON"
        )
        found = texts(taken(results, shards.count * len(KEYS)))
        shards.check(found)
        for change in (shards.split, shards.merge):
            change()
            shards.put()
            found += texts(taken(results, 3 * len(KEYS)))
        shards.check(found)
        squib.kill()
        squib.start()
        shards.split()
        shards.put()
        again = Queue(squib, results.name)
        while len(found) < shards.count * len(KEYS):  # what was not checkpointed yet may come again
            found = list(dict.fromkeys([*found, *texts(taken(again, 1))]))
        shards.check(found)
        assert mapping.uuid in str(squib.client().list_event_source_mappings()["EventSourceMappings"])


def test_what_comes_after_a_mapping_of_the_latest_is_not_missed_by_a_squib_that_was_down(moto: Moto) -> None:
    with moto.served("kinesis", "dynamodb") as squib:
        results, stream, table = Queue(squib), Stream(moto, "latest"), moto.client("dynamodb")
        made = table.create_table(
            TableName="latest",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
        )
        stream.put("before")
        table.put_item(TableName="latest", Item={"id": {"S": "before"}})
        put_at_s = int(time.time())
        eventually(
            lambda: time.time() > put_at_s + 1, what="the next second, in which changes are told apart"
        )
        function = reader(squib, results, COLLECTOR)
        arns = (stream.arn, made["TableDescription"]["LatestStreamArn"])
        for arn in arns:
            Mapped(squib, function, arn, StartingPosition="LATEST").wait("Enabled")
        squib.kill()
        stream.put("down")
        table.put_item(TableName="latest", Item={"id": {"S": "down"}})
        squib.start()
        again, found = Queue(squib, results.name), set()
        while len(found) < 2:
            for event in events_of(again.take()):
                found |= {data(record) for record in event["Records"]}
        assert found == {"down", "down of a table"}
        stream.put("after")
        table.put_item(TableName="latest", Item={"id": {"S": "after"}})
        while len(found) < 4:
            for event in events_of(again.take()):
                found |= {data(record) for record in event["Records"]}
        assert found == {"down", "down of a table", "after", "after of a table"}


def data(record: dict[str, Any]) -> str:
    """What a record of either kind says."""
    if "kinesis" in record:
        return texts([{"Records": [record]}])[0]
    return f"{record['dynamodb']['Keys']['id']['S']} of a table"
