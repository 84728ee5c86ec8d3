"""SIGKILL at any moment while queues feed functions: every message is worked on, groups keep their order."""

import json
import random
import threading
from collections import Counter
from typing import Any, Final

import botocore.exceptions
import pytest

from harness.machine import eventually
from harness.sources import QUEUE_ROLE, Mapped, Queue
from harness.squib import Squib, new_data_dir

pytestmark = pytest.mark.slow
STANDARD: Final = 4_000
GROUPS: Final = ("a", "b", "c", "d", "e")
PER_GROUP: Final = 200
KILLS: Final = 10
WORKER: Final = """
import json, os, time, boto3
sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def handler(event, context):
    body = {"at": time.time(), "bodies": [one["body"] for one in event["Records"]]}
    sqs.send_message(QueueUrl=os.environ["RESULTS"], MessageBody=json.dumps(body))
"""


class Producer(threading.Thread):
    """Sends everything, in order, whatever becomes of squib; what is not known to be sent, again."""

    def __init__(self, squib: Squib, queue: Queue, entries: list[dict[str, str]]) -> None:
        super().__init__(daemon=True)
        self.squib, self.queue, self.entries = squib, queue, entries
        self.sent = 0
        self.up = threading.Event()

    def run(self) -> None:
        while self.sent < len(self.entries):
            self.up.wait()
            part = self.entries[self.sent : self.sent + 10]
            numbered = [{"Id": str(number), **entry} for number, entry in enumerate(part)]
            try:
                client = self.squib.client("sqs")
                answer = client.send_message_batch(QueueUrl=self.queue.url, Entries=numbered)
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                continue
            assert not answer.get("Failed")
            self.sent += len(part)


def drained(squib: Squib, queue: Queue) -> list[dict[str, Any]]:
    """Everything the results queue has."""
    client = squib.client("sqs")
    found: list[dict[str, Any]] = []
    while True:
        answer = client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10)
        messages = answer.get("Messages", [])
        if not messages:
            return found
        found += [json.loads(one["Body"]) for one in messages]
        handles = [
            {"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]} for number, one in enumerate(messages)
        ]
        client.delete_message_batch(QueueUrl=queue.url, Entries=handles)


@pytest.mark.timeout(180)
def test_no_message_is_lost_and_groups_keep_their_order(request: pytest.FixtureRequest) -> None:
    moments = random.Random(11)
    squib = Squib(data_dir=new_data_dir()).start()
    squib.owns_data = True
    request.addfinalizer(squib._forget)
    results = Queue(squib)
    standard = Queue(squib, VisibilityTimeout=3)
    fifo = Queue(squib, fifo=True, VisibilityTimeout=3)
    role = squib.role(
        "worker", managed=(QUEUE_ROLE,), allow=({"Action": "sqs:SendMessage", "Resource": "*"},)
    )
    function = squib.deploy(WORKER, Timeout=3, Role=role, variables={"RESULTS": results.url})
    mappings = [
        Mapped(squib, function, queue.arn, ScalingConfig={"MaximumConcurrency": 2})
        for queue in (standard, fifo)
    ]
    for mapping in mappings:
        mapping.wait("Enabled")
    ordered = [
        {
            "MessageBody": f"{group}{number}",
            "MessageGroupId": group,
            "MessageDeduplicationId": f"{group}{number}",
        }
        for number in range(PER_GROUP)
        for group in GROUPS
    ]
    producers = [
        Producer(squib, standard, [{"MessageBody": str(number)} for number in range(STANDARD)]),
        Producer(squib, fifo, ordered),
    ]
    for producer in producers:
        producer.start()
    for kill in range(KILLS):
        if kill:
            squib.start()
        for producer in producers:
            producer.up.set()
        threading.Event().wait(moments.uniform(0.2, 1.0))  # squib at work, until some moment
        for producer in producers:
            producer.up.clear()
        squib.kill(launcher_too=moments.random() < 0.5)
    with squib:
        for producer in producers:
            producer.up.set()
            producer.join(60)
            assert producer.sent == len(producer.entries)
        depths = [
            Queue(squib, standard.name, VisibilityTimeout=3),
            Queue(squib, fifo.name.removesuffix(".fifo"), fifo=True, VisibilityTimeout=3),
        ]
        eventually(
            lambda: all(queue.depth() == (0, 0) for queue in depths), within_s=60, what="queues are empty"
        )
        told = sorted(drained(squib, results), key=lambda one: float(one["at"]))
        counts = Counter(body for one in told for body in one["bodies"])
        expected = {str(number) for number in range(STANDARD)} | {one["MessageBody"] for one in ordered}
        assert expected == set(counts)
        for group in GROUPS:
            of_group = [body for one in told for body in one["bodies"] if body.startswith(group)]
            assert list(dict.fromkeys(of_group)) == [f"{group}{number}" for number in range(PER_GROUP)]
        doubled = sum(count - 1 for count in counts.values())
        print(f"{len(counts)} messages, {KILLS} kills, {doubled} worked on again")
        for mapping in mappings:
            client = squib.client()
            assert client.get_event_source_mapping(UUID=mapping.uuid)["State"] == "Enabled"
