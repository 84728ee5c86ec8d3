"""`python -m bench.environments`: many environments at once, and what their economics cost.

One squib, run as its user runs it: a burst of cold starts; a warm Invoke, with one environment and with a
thousand alive, frozen before and not; the first Invoke of environments that were initialized ahead of calls.
"""

import http.client
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import boto3
import botocore.config

from bench.client import BadAnswer, connect
from bench.contestants.base import ECHO, SLEEP
from bench.contestants.squib import Squib
from bench.process import memory
from bench.provision import OUT, runtime
from bench.signing import INVOKE_PATH, REGION, signed
from squib.environment.runtimes import RuntimeKind

PROVISIONED: Final = 870
FIRSTS: Final = 30
"""Together as many as an account may have, beside the hundred that stay for others."""
BURST: Final = 200
MORE: Final = 100
WARM: Final = 300
FROZEN_AFTER_S: Final = 0.03  # squib freezes after 10 ms


def main() -> int:
    """Measures and prints."""
    (OUT / "logs").mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}")
    arguments = f"--max-environments {PROVISIONED + MORE + BURST}"
    squib = Squib(python=runtime(RuntimeKind.PYTHON, "python3.11").name, node=None, arguments=arguments)
    squib.start()
    try:
        measure(squib)
    finally:
        squib.stop()
    return 0


def measure(squib: Squib) -> None:
    """Everything, in an order in which nothing disturbs what follows."""
    one_ms = report("warm, one environment", warm(squib, ECHO))
    frozen_ms = report("the same, frozen before each", warm(squib, ECHO, pause_s=FROZEN_AFTER_S))
    print(f"freezing and thawing: {frozen_ms - one_ms:.2f} ms")
    print(f"{BURST} cold starts in one burst, beside the handler's second: {burst(squib, BURST):.2f} s")
    provision(squib, SLEEP, FIRSTS)
    first_ms = report("first Invoke of provisioned environments", staggered(squib, f"{SLEEP}%3A1", FIRSTS))
    time.sleep(1)
    again_ms = report("the same environments again", staggered(squib, f"{SLEEP}%3A1", FIRSTS))
    print(f"first to warm: {first_ms / again_ms:.2f} x")
    started_s = time.perf_counter()
    provision(squib, ECHO, PROVISIONED)
    print(f"{PROVISIONED} more environments provisioned: {time.perf_counter() - started_s:.1f} s")
    burst(squib, MORE)
    report("a warm Invoke among them", warm(squib, f"{ECHO}%3A1"), against_ms=one_ms)
    used = memory(squib.processes())
    print(f"memory of all processes: {used.proportional_mib:,.0f} MiB (PSS)")


def report(name: str, samples_ms: Sequence[float], *, against_ms: float | None = None) -> float:
    """One line; gives the median."""
    median_ms = statistics.median(samples_ms)
    ratio = "" if against_ms is None else f", {median_ms / against_ms:.2f} x"
    p90_ms = statistics.quantiles(samples_ms, n=10)[-1]
    print(f"{name}: median {median_ms:.2f} ms, p90 {p90_ms:.2f} ms{ratio}", flush=True)
    return median_ms


def invoke(squib: Squib, connection: Any, name: str, event: bytes = b"{}") -> float:
    """How many milliseconds one Invoke takes on a connection that is open."""
    request = signed("POST", squib.port, INVOKE_PATH.format(name), event, squib.key)
    started_s = time.perf_counter()
    connection.sendall(request)
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.read()
    if response.status != 200:
        raise BadAnswer(f"Invoke of {name}: {response.status}")
    return (time.perf_counter() - started_s) * 1000


def warm(squib: Squib, name: str, *, pause_s: float = 0.0) -> list[float]:
    """One client, one Invoke after the other."""
    with connect(squib.port) as connection:
        invoke(squib, connection, name)
        samples = []
        for _ in range(WARM):
            if pause_s:
                time.sleep(pause_s)
            samples.append(invoke(squib, connection, name))
        return samples


def together(count: int, work: Callable[[int], float]) -> list[float]:
    """What as many threads give that begin at the same moment."""
    barrier = threading.Barrier(count)

    def one(number: int) -> float:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def burst(squib: Squib, count: int) -> float:
    """Seconds until so many Invokes at once are answered, each in an environment of its own that is started
    for it, without the second that the handler sleeps."""
    squib.refresh(SLEEP)

    def one(number: int) -> float:
        with connect(squib.port) as connection:
            return invoke(squib, connection, SLEEP)

    return max(together(count, one)) / 1000 - 1.0


def provision(squib: Squib, function: str, count: int) -> None:
    """Publishes a version, and waits until so many environments of it are ready."""
    api = boto3.client(
        "lambda",
        endpoint_url=f"http://127.0.0.1:{squib.port}",
        region_name=REGION,
        aws_access_key_id=squib.key.access_key_id,
        aws_secret_access_key=squib.key.secret_access_key,
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    api.publish_version(FunctionName=function)
    version = {"FunctionName": function, "Qualifier": "1"}
    api.put_provisioned_concurrency_config(**version, ProvisionedConcurrentExecutions=count)
    while (found := api.get_provisioned_concurrency_config(**version))["Status"] != "READY":
        if found["Status"] == "FAILED":
            raise BadAnswer(f"provisioned concurrency: {found}")
        time.sleep(0.05)


def staggered(squib: Squib, name: str, count: int) -> list[float]:
    """Milliseconds beside the handler's second of Invokes that begin shortly after each other, so that each
    gets another environment, and none disturbs the next."""
    begin_s = time.perf_counter() + 0.2

    def one(number: int) -> float:
        with connect(squib.port) as connection:
            time.sleep(max(0.0, begin_s + number * FROZEN_AFTER_S - time.perf_counter()))
            return invoke(squib, connection, name) - 1000

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


if __name__ == "__main__":
    raise SystemExit(main())
