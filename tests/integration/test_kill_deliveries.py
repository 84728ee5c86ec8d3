"""SIGKILL at any moment while messages feed a function and events are handed in: each is worked on, groups
keep their order."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import botocore.exceptions
import pytest

from harness.machine import PATIENCE, eventually
from harness.sources import QUEUE_ROLE, REGION, Mapped, Queue
from harness.squib import Squib, new_data_dir
from harness.stored import stored_events

pytestmark = pytest.mark.slow
STANDARD: Final = 4_000
GROUPS: Final = ("a", "b", "c", "d", "e")
PER_GROUP: Final = 200
EVENTS: Final = 2_000
EVENT_PRODUCERS: Final = 4
KILLS: Final = 10
WORKER: Final = """
import json, os, time, boto3
sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def handler(event, context):
    body = {"at": time.time(), "bodies": [one["body"] for one in event["Records"]]}
    sqs.send_message(QueueUrl=os.environ["RESULTS"], MessageBody=json.dumps(body))
"""
# Every seventh event fails when it is run for the first time in an environment: there are retries, too, and
# some events fail to the end.
EVENT_WORKER: Final = """
seen = set()


def handler(event, context):
    if event % 7 == 0 and event not in seen:
        seen.add(event)
        raise ValueError("not yet")
    return event
"""


class Producer(threading.Thread):
    """Sends everything, in order, whatever becomes of squib; what is not known to be sent, again."""

    def __init__(self, count: int, send: Callable[[int], int]) -> None:
        """`send` sends from that number on, and gives how many it has sent."""
        super().__init__(daemon=True)
        self.count, self.send = count, send
        self.sent = 0
        self.up = threading.Event()

    def run(self) -> None:
        while self.sent < self.count:
            self.up.wait()
            try:
                self.sent += self.send(self.sent)
            except botocore.exceptions.BotoCoreError:  # no answer: it may be sent, or not
                continue


def messages(squib: Squib, queue: Queue, entries: Sequence[Mapping[str, str]]) -> Producer:
    """Sends these, ten in a call."""

    def send(start: int) -> int:
        part = [{"Id": str(n), **entry} for n, entry in enumerate(entries[start : start + 10])]
        answer = squib.client("sqs").send_message_batch(QueueUrl=queue.url, Entries=part)
        assert not answer.get("Failed")
        return len(part)

    return Producer(len(entries), send)


def events(squib: Squib, name: str, numbers: Sequence[int]) -> Producer:
    """Hands these in, one in a call."""

    def send(start: int) -> int:
        payload = b"%d" % numbers[start]
        squib.client().invoke(FunctionName=name, InvocationType="Event", Payload=payload)
        return 1

    return Producer(len(numbers), send)


def drained(squib: Squib, queue: Queue) -> list[Any]:
    """Everything that a queue has, as JSON."""
    client, found = squib.client("sqs", REGION), []
    named = {"QueueUrl": queue.url}

    def drain() -> None:
        while given := client.receive_message(**named, MaxNumberOfMessages=10).get("Messages"):
            found.extend(json.loads(one["Body"]) for one in given)
            handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(given)]
            client.delete_message_batch(**named, Entries=handles)

    with ThreadPoolExecutor(4) as threads:
        for work in [threads.submit(drain) for _ in range(4)]:
            work.result()
    return found


def keep_killing(squib: Squib, producers: Sequence[Producer]) -> None:
    """Lets squib work until some moment, ten times, in which about as much is sent each time."""
    moments, whole = random.Random(11), sum(producer.count for producer in producers)
    for kill in range(KILLS):
        if kill:
            squib.start()
        for producer in producers:
            producer.up.set()
        goal = whole * (kill + moments.random()) / KILLS
        eventually(lambda: sum(one.sent for one in producers) >= goal, within_s=60)  # noqa: B023
        threading.Event().wait(moments.uniform(0, 0.1))  # squib at work, until some moment
        for producer in producers:
            producer.up.clear()
        squib.kill(launcher_too=moments.random() < 0.5)


@pytest.mark.timeout(240 * PATIENCE)
def test_nothing_is_lost_and_groups_keep_their_order(request: pytest.FixtureRequest) -> None:
    squib = Squib("--async-retry-delays", "0.3,0.6", data_dir=new_data_dir()).start()
    squib.owns_data = True
    request.addfinalizer(squib._forget)
    results, ended = Queue(squib), Queue(squib)
    standard = Queue(squib, VisibilityTimeout=3)
    fifo = Queue(squib, fifo=True, VisibilityTimeout=3)
    role = squib.role(
        "worker", managed=(QUEUE_ROLE,), allow=({"Action": "sqs:SendMessage", "Resource": "*"},)
    )
    worker = squib.deploy(WORKER, Timeout=3, Role=role, variables={"RESULTS": results.url})
    later = squib.deploy(EVENT_WORKER, Role=role, MemorySize=128)
    later.client.put_function_event_invoke_config(
        FunctionName=later.name,
        DestinationConfig={side: {"Destination": ended.arn} for side in ("OnSuccess", "OnFailure")},
    )
    mappings = [
        Mapped(squib, worker, queue.arn, ScalingConfig={"MaximumConcurrency": 2})
        for queue in (standard, fifo)
    ]
    for mapping in mappings:
        mapping.wait("Enabled")
    ordered = [
        {"MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": body}
        for number in range(PER_GROUP)
        for group in GROUPS
        for body in (f"{group}{number}",)
    ]
    producers = [
        messages(squib, standard, [{"MessageBody": str(number)} for number in range(STANDARD)]),
        messages(squib, fifo, ordered),
        *(events(squib, later.name, range(n, EVENTS, EVENT_PRODUCERS)) for n in range(EVENT_PRODUCERS)),
    ]
    for producer in producers:
        producer.start()
    keep_killing(squib, producers)
    with squib:
        for producer in producers:
            producer.up.set()
            producer.join(60 * PATIENCE)
            assert producer.sent == producer.count
        depths = [
            Queue(squib, standard.name, VisibilityTimeout=3),
            Queue(squib, fifo.name.removesuffix(".fifo"), fifo=True, VisibilityTimeout=3),
        ]
        eventually(
            lambda: all(queue.depth() == (0, 0) for queue in depths), within_s=60, what="queues are empty"
        )
        eventually(lambda: stored_events(squib) == 0, within_s=60, what="every event has ended")
        told = sorted(drained(squib, results), key=lambda one: float(one["at"]))
        check_messages(told, [one["MessageBody"] for one in ordered])
        counts = Counter(one["requestPayload"] for one in drained(squib, ended))
        assert counts.keys() == set(range(EVENTS))
        print(f"{EVENTS} events, {counts.total() - EVENTS} more than once")
        for mapping in mappings:
            state = squib.client().get_event_source_mapping(UUID=mapping.uuid)["State"]
            assert state == "Enabled"
        assert "IllegalTransition" not in squib.output


def check_messages(told: Sequence[Mapping[str, Any]], ordered: Sequence[str]) -> None:
    """All were worked on, and those of a group in their order."""
    counts = Counter(body for one in told for body in one["bodies"])
    assert counts.keys() == {str(number) for number in range(STANDARD)} | set(ordered)
    for group in GROUPS:
        of_group = [body for one in told for body in one["bodies"] if body.startswith(group)]
        assert list(dict.fromkeys(of_group)) == [f"{group}{number}" for number in range(PER_GROUP)]
    print(f"{len(counts)} messages, {KILLS} kills, {counts.total() - len(counts)} worked on again")
