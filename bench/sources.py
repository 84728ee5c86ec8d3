"""`python -m bench.sources`: what queues that feed a function take, with the real sandbox.

How long after SendMessage begins the function begins, while nothing else happens; how many messages a second
leave a backlog through a function that does nothing, ten in a batch.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from bench.contestants.environ import plain_environ
from bench.process import Server
from bench.provision import OUT
from bench.queues import ACCOUNT, folder
from bench.signing import REGION

WAKES: Final = 100
BACKLOG: Final = 20_000
WARM_UP: Final = 1_000
BODY: Final = "x" * 200
SOURCE: Final = (
    "import time\n"
    "def wake(event, context):\n"
    "    at = time.time()\n"
    "    print('WOKEN', event['Records'][0]['body'], at)\n"
    "def nothing(event, context):\n"
    "    pass\n"
)
TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}


def main() -> int:
    """Measures and prints."""
    OUT.mkdir(exist_ok=True)
    (OUT / "logs").mkdir(exist_ok=True)
    print(f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}")
    with folder() as data_dir, served(data_dir) as clients:
        bench = Bench(clients)
        bench.wakes()
        bench.drains()
    return 0


@contextmanager
def served(data_dir: Path) -> Iterator[dict[str, Any]]:
    """Clients of a squib of its own, by service."""
    squib = str(Path(sys.executable).parent / "squib")
    command = [squib, "serve", "--port", "0", "--data-dir", str(data_dir)]
    server = Server(command, log=OUT / "logs" / "sources.log", environ=plain_environ())
    try:
        url = server.wait_for_line(r"squib ready on (http://\S+)", 60)[1]
        stored = json.loads((data_dir / "credentials.json").read_text())["accounts"][ACCOUNT]
        yield {
            service: boto3.client(
                service,
                region_name=REGION,
                endpoint_url=url,
                aws_access_key_id=stored["access_key_id"],
                aws_secret_access_key=stored["secret_access_key"],
                config=Config(retries={"total_max_attempts": 1}),
            )
            for service in ("iam", "lambda", "logs", "sqs")
        }
    finally:
        server.end()


class Bench:
    """Queues and functions on one squib."""

    def __init__(self, clients: dict[str, Any]) -> None:
        self._lambda, self._logs, self._sqs = clients["lambda"], clients["logs"], clients["sqs"]
        iam = clients["iam"]
        self._role = iam.create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"][
            "Arn"
        ]
        policy = "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"
        iam.attach_role_policy(RoleName="bench", PolicyArn=policy)

    def wakes(self) -> None:
        """Latency while idle; the function is warm but frozen."""
        url, uuid = self._mapped("wake")
        before = {}
        for number in range(WAKES + 5):
            before[str(number)] = time.time()
            self._sqs.send_message(QueueUrl=url, MessageBody=str(number))
            time.sleep(0.05)
        found: dict[str, float] = {}
        while len(found) < len(before):
            pages = self._logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/wake")
            for page in pages:
                for event in page["events"]:
                    words = event["message"].split()
                    if words[0] == "WOKEN":
                        found[words[1]] = float(words[2])
            time.sleep(0.2)
        waits_ms = sorted((found[name] - before[name]) * 1000 for name in before if int(name) >= 5)
        print(
            f"SendMessage to function started, idle queue: median {statistics.median(waits_ms):.1f} ms, "
            f"p99 {waits_ms[int(len(waits_ms) * 0.99)]:.1f} ms",
            flush=True,
        )
        self._lambda.delete_event_source_mapping(UUID=uuid)

    def drains(self) -> None:
        """Throughput of a backlog."""
        url, uuid = self._mapped("nothing")
        self._send(url, WARM_UP)
        self._wait_empty(url)
        self._switch(uuid, False)
        self._send(url, BACKLOG)
        started_s = time.perf_counter()
        self._switch(uuid, True)
        self._wait_empty(url)
        elapsed_s = time.perf_counter() - started_s
        print(f"backlog of {BACKLOG:,} in batches of 10: {BACKLOG / elapsed_s:,.0f} messages/s", flush=True)

    def _mapped(self, name: str) -> tuple[str, str]:
        """A queue's URL and the UUID of its mapping to the handler of that name."""
        import io
        import zipfile

        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("app.py", SOURCE)
        self._lambda.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler=f"app.{name}",
            Role=self._role,
            Code={"ZipFile": content.getvalue()},
            MemorySize=1769,
        )
        self._lambda.get_waiter("function_active_v2").wait(FunctionName=name)
        url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        uuid = self._lambda.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)["UUID"]
        self._wait_state(uuid, "Enabled")
        return url, uuid

    def _switch(self, uuid: str, is_enabled: bool) -> None:
        self._lambda.update_event_source_mapping(UUID=uuid, Enabled=is_enabled)
        self._wait_state(uuid, "Enabled" if is_enabled else "Disabled")

    def _wait_state(self, uuid: str, state: str) -> None:
        while self._lambda.get_event_source_mapping(UUID=uuid)["State"] != state:
            time.sleep(0.01)

    def _send(self, url: str, count: int) -> None:
        entries = [{"Id": str(number), "MessageBody": BODY} for number in range(10)]
        for _ in range(count // 10):
            self._sqs.send_message_batch(QueueUrl=url, Entries=entries)

    def _wait_empty(self, url: str) -> None:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        while True:
            found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            if all(found[name] == "0" for name in names):
                return
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
