"""SIGKILL at any moment while a stream feeds a function: every record is worked on, shards keep their order,
and no checkpoint is beyond what was done."""

import functools
import json
import random
import threading
from typing import Any, Final

import pytest

from harness.machine import PATIENCE, eventually
from harness.moto import Moto
from harness.sources import Mapped, Queue
from harness.squib import Squib
from harness.stored import stored_checkpoints
from harness.streams import Stream, reader

pytestmark = pytest.mark.slow
RECORDS: Final = 1_000
KILLS: Final = 6
KEYS: Final = "abcdefgh"
WORKER: Final = """
import json, os, time, boto3
sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def handler(event, context):
    done = [one["eventID"] for one in event["Records"]]
    body = json.dumps({"at": time.time(), "done": done})
    sqs.send_message(QueueUrl=os.environ["RESULTS"], MessageBody=body)
"""


class Done:
    """What the function has told of, over the lives of a squib."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.told: dict[str, tuple[float, list[tuple[str, int]]]] = {}

    def read(self, squib: Squib, enough: int = 0) -> bool:
        """What is new; whether enough is done now."""
        client, named = squib.client("sqs"), {"QueueUrl": self.queue.url}
        while given := client.receive_message(**named, MaxNumberOfMessages=10).get("Messages"):
            for one in given:
                body = json.loads(one["Body"])
                pairs = [name.split(":") for name in body["done"]]
                self.told[one["MessageId"]] = (body["at"], [(shard, int(number)) for shard, number in pairs])
        return len(set(self.records())) >= enough

    def records(self) -> list[tuple[str, int]]:
        """Shard and sequence number of each, again where it was worked on again, in the order of time."""
        return [pair for _, pairs in sorted(self.told.values()) for pair in pairs]


class Producer(threading.Thread):
    """Puts all records, fifty in a call; remembers them by shard, in their order."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.put: dict[str, list[int]] = {}

    def run(self) -> None:
        for start in range(0, RECORDS, 50):
            records = [
                {"Data": b"%d" % number, "PartitionKey": KEYS[number % len(KEYS)]}
                for number in range(start, start + 50)
            ]
            answer: Any = self.stream.kinesis.put_records(StreamName=self.stream.name, Records=records)
            for one in answer["Records"]:
                self.put.setdefault(one["ShardId"], []).append(int(one["SequenceNumber"]))


@pytest.mark.timeout(180 * PATIENCE)
def test_every_record_is_worked_on_in_order_and_checkpoints_stay_behind() -> None:
    moments = random.Random(5)
    with Moto() as moto, moto.served("kinesis") as squib:
        stream = Stream(moto, "killed", shards=2)
        done, producer = Done(Queue(squib, VisibilityTimeout=43_200)), Producer(stream)
        mapping = Mapped(
            squib,
            reader(squib, done.queue, WORKER),
            stream.arn,
            StartingPosition="TRIM_HORIZON",
            BatchSize=10,
        )
        producer.start()
        for kill in range(KILLS):
            goal = RECORDS * kill // KILLS + 1
            eventually(functools.partial(done.read, squib, goal), within_s=60, what=f"{goal} records done")
            threading.Event().wait(moments.uniform(0, 0.1))  # squib at work, until some moment
            squib.kill(launcher_too=moments.random() < 0.5)
            checkpoints = {one.shard_id: int(one.sequence or 0) for one in stored_checkpoints(squib)}
            squib.start()
            done.read(squib)
            worked_on = set(done.records())
            for shard, sequences in producer.put.items():
                behind = {(shard, one) for one in tuple(sequences) if one <= checkpoints.get(shard, 0)}
                assert behind <= worked_on, "a checkpoint is beyond what was done"
        producer.join(60 * PATIENCE)
        expected = {(shard, one) for shard, sequences in producer.put.items() for one in sequences}
        assert len(expected) == RECORDS
        eventually(lambda: done.read(squib, RECORDS), within_s=60, what="all records are done")
        assert set(done.records()) == expected
        records = done.records()
        for shard, sequences in producer.put.items():
            first_times = list(dict.fromkeys(one for of, one in records if of == shard))
            assert first_times == sequences, "a shard keeps its order"
        print(f"{RECORDS} records, {KILLS} kills, {len(records) - RECORDS} worked on again")
        assert squib.client().get_event_source_mapping(UUID=mapping.uuid)["State"] == "Enabled"
