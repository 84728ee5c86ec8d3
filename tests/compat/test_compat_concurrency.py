"""Concurrency counted exactly while functions crash, time out, fail and are throttled, under many clients."""

import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError

from harness.functions import Function
from harness.squib import Squib

CLIENTS: Final = 500
CALLS: Final = 2_000
RESERVED: Final = 8
SOURCE: Final = """
import os, time
def handler(event, context):
    what = event["do"]
    if what == "crash":
        os._exit(3)
    if what == "hang":
        time.sleep(30)
    if what == "fail":
        raise ValueError("as asked")
    return what
"""
THROTTLES: Final = (
    "ReservedFunctionConcurrentInvocationLimitExceeded",
    "ReservedFunctionInvocationRateLimitExceeded",
)
EXPECTED: Final = {"crash": "Runtime.ExitError", "hang": "Sandbox.Timedout", "fail": "ValueError", "echo": ""}


def test_leases_are_exact_under_many_clients_crashes_and_timeouts(squib: Squib) -> None:
    function = squib.deploy(SOURCE, Timeout=3, MemorySize=128)
    own = squib.client()
    own.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=RESERVED)
    client = squib.client(
        "lambda", config=Config(max_pool_connections=CLIENTS, retries={"total_max_attempts": 1})
    )
    chance = random.Random(7)
    asked = [chance.choices(list(EXPECTED), [4, 1, 10, 85])[0] for _ in range(CALLS)]
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def call(what: str) -> None:
        try:
            answer: Any = client.invoke(FunctionName=function.name, Payload=json.dumps({"do": what}))
        except ClientError as error:
            outcome = str(error.response.get("Reason", error.response["Error"]["Code"]))
        else:
            body = json.loads(answer["Payload"].read())
            error_type = body["errorType"] if "FunctionError" in answer else ""
            assert error_type == EXPECTED[what], body
            outcome = what
        with lock:
            seen[outcome] += 1

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(call, asked))
    reasons = (
        "ReservedFunctionConcurrentInvocationLimitExceeded",
        "ReservedFunctionInvocationRateLimitExceeded",  # on a fast machine: ten calls a second for each
    )
    throttled = sum(seen.pop(reason, 0) for reason in reasons)
    assert set(seen) <= set(EXPECTED)
    assert sum(seen.values()) + throttled == CALLS
    assert throttled > 0, "eight were too many to be short of"
    _fill(client, function)


def _fill(client: Any, function: Function) -> None:
    """All leases are there again: exactly as many calls run at once as are reserved, no more and no less."""
    function.update_code(
        "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'slept'\n"
    )
    client.invoke(FunctionName=function.name, Payload=b"1.1")  # a second in which calls are counted anew
    started = threading.Barrier(RESERVED + 4)

    def sleep(_: int) -> str:
        started.wait()
        try:
            answer = client.invoke(FunctionName=function.name, Payload=b"2")
        except ClientError as error:
            return str(error.response.get("Reason"))
        return str(json.loads(answer["Payload"].read()))

    with ThreadPoolExecutor(RESERVED + 4) as clients:
        outcomes = Counter(clients.map(sleep, range(RESERVED + 4)))
    assert outcomes == {"slept": RESERVED, THROTTLES[0]: 4}
