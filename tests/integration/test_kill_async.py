"""SIGKILL while events come in and are run: each that was accepted is processed, and nothing stays behind."""

import functools
import json
import random
import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import botocore.exceptions
import pytest

from harness.machine import eventually
from harness.squib import Squib, new_data_dir, unique_name
from squib.store.queries import QUERIES

pytestmark = pytest.mark.slow
EVENTS = 2_000
LIVES = 10
PRODUCERS = 4
REGION = "eu-west-1"
# Every seventh event fails when it is run for the first time in an environment: there are retries, too, and
# some events fail to the end.
SOURCE = """
seen = set()
def handler(event, context):
    if event % 7 == 0 and event not in seen:
        seen.add(event)
        raise ValueError("not yet")
    return event
"""


class Producer:
    """Hands in its share of the events, and remembers which were accepted."""

    def __init__(self, first: int) -> None:
        self.left = list(range(first, EVENTS, PRODUCERS))
        self.accepted: set[int] = set()
        self.wrong: list[str] = []

    def work(self, squib: Squib, name: str) -> None:
        """Until squib is gone, or all are handed in."""
        client = squib.client()
        while self.left:
            number = self.left.pop()
            try:
                client.invoke(FunctionName=name, InvocationType="Event", Payload=b"%d" % number)
            except botocore.exceptions.ClientError as error:
                self.wrong.append(str(error))
                return
            except botocore.exceptions.BotoCoreError:  # no answer: it may be accepted, or not
                return
            self.accepted.add(number)


def stored_events(squib: Squib) -> int:
    """Events that squib still has, by its database."""
    connection = sqlite3.connect(f"file:{squib.data_dir / 'squib.db'}?mode=ro", uri=True, timeout=10)
    try:
        found: int = connection.execute(QUERIES["count_async_events"]).fetchone()[0]
        found += connection.execute(QUERIES["count_async_event_progress"]).fetchone()[0]
        return found
    finally:
        connection.close()


def told(squib: Squib, url: str) -> Counter[int]:
    """How often each event's end was told."""
    client = squib.client("sqs", REGION)
    found: Counter[int] = Counter()
    lock = threading.Lock()

    def drain() -> None:
        while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            with lock:
                found.update(json.loads(message["Body"])["requestPayload"] for message in messages)

    with ThreadPoolExecutor(4) as threads:
        for work in [threads.submit(drain) for _ in range(4)]:
            work.result()
    return found


def is_past(producer: Producer, goal: int) -> bool:
    return len(producer.left) <= goal


@pytest.mark.timeout(240)
def test_accepted_events_survive_sigkill(request: pytest.FixtureRequest) -> None:
    squib = Squib("--async-retry-delays", "0.3,0.6", data_dir=new_data_dir())
    squib.owns_data = True
    request.addfinalizer(squib._forget)
    squib.start()
    sqs = squib.client("sqs", REGION)
    queue = unique_name("done")
    sqs.create_queue(QueueName=queue, Attributes={"VisibilityTimeout": "3600"})
    arn = f"arn:aws:sqs:{REGION}:000000000000:{queue}"
    role = squib.role(unique_name("killed"), allow=[{"Action": "sqs:SendMessage", "Resource": arn}])
    function = squib.deploy(SOURCE, Role=role, MemorySize=128)
    function.client.put_function_event_invoke_config(
        FunctionName=function.name,
        DestinationConfig={side: {"Destination": arn} for side in ("OnSuccess", "OnFailure")},
    )
    moments = random.Random(11)
    producers = [Producer(first) for first in range(PRODUCERS)]
    for life in range(LIVES):
        threads = [
            threading.Thread(target=producer.work, args=(squib, function.name)) for producer in producers
        ]
        for thread in threads:
            thread.start()
        if life < LIVES - 1:
            left = len(producers[0].left)
            step = max(1, round(left / (LIVES - life) * moments.uniform(0.5, 1.5)))
            goal = max(0, left - step)  # a fast machine may have sent all before the last life
            eventually(functools.partial(is_past, producers[0], goal), within_s=60)
            squib.kill(launcher_too=life % 2 == 1)
        for thread in threads:
            thread.join(60)
        assert [producer.wrong for producer in producers] == [[]] * PRODUCERS, squib.output[-3000:]
        if life < LIVES - 1:
            squib.start()
    eventually(lambda: stored_events(squib) == 0, within_s=60, what="every event has ended")
    url = squib.client("sqs", REGION).get_queue_url(QueueName=queue)["QueueUrl"]
    found = told(squib, url)
    accepted = set().union(*(producer.accepted for producer in producers))
    assert len(accepted) > EVENTS * 0.9
    assert accepted - found.keys() == set(), "lost"
    doubles = sum(found.values()) - len(found)
    print(f"{len(accepted)} accepted, {len(found)} processed, {doubles} more than once")
    assert "IllegalTransition" not in squib.output
    assert squib.stop() == 0
    squib.assert_nothing_left()


def test_what_runs_at_sigterm_ends_and_what_waits_stays(request: pytest.FixtureRequest) -> None:
    source = """
import time
def handler(event, context):
    print("begins", event)
    time.sleep(4)
    print("ends", event)
"""
    squib = Squib(data_dir=new_data_dir())
    squib.owns_data = True
    request.addfinalizer(squib._forget)
    squib.start()
    function = squib.deploy(source)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    for number in range(2):
        function.client.invoke(FunctionName=function.name, InvocationType="Event", Payload=b"%d" % number)

    def said(word: str) -> list[str]:
        try:
            events = squib.client("logs", REGION).filter_log_events(
                logGroupName=f"/aws/lambda/{function.name}", filterPattern=word
            )
        except botocore.exceptions.ClientError:  # no log yet
            return []
        return [event["message"].strip() for event in events["events"]]

    eventually(lambda: said("begins"))
    assert squib.stop() == 0
    assert stored_events(squib) == 1
    squib.start()
    eventually(lambda: stored_events(squib) == 0, within_s=20)
    assert said("begins") == ["begins 0", "begins 1"]
    assert said("ends") == ["ends 0", "ends 1"]
    assert squib.stop() == 0
