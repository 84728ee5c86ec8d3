"""`python -m bench.environments`: many environments at once, and what their economics cost.

Three squibs at once, used in turns, so that whatever else the machine does meets all alike: one as users run
it; two that may have one environment only, of which one never freezes it. What is compared is measured
sample beside sample; medians are printed.
"""

import argparse
import http.client
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any, Final

import boto3
import botocore.config

from bench.client import BadAnswer, connect
from bench.contestants.base import ECHO, SLEEP, Cell
from bench.contestants.lambda_api import COLD
from bench.contestants.squib import Squib
from bench.process import memory
from bench.provision import OUT, runtime
from bench.signing import INVOKE_PATH, REGION, signed
from squib.environment.runtimes import RuntimeKind

MANY: Final = 1_000
FIRSTS: Final = 100
"""Versions with one environment each that is initialized ahead of calls."""
BURST: Final = 200
BURSTS: Final = 3
WARM: Final = 300
WAITING_S: Final = 0.5
"""How long clients share one environment at a time."""
CLIENTS: Final = 4
WAITING_ROUNDS: Final = 10
FROZEN_AFTER_S: Final = 0.03  # squib freezes after 10 ms
COUNTING: Final = COLD[Cell.COLD_PYTHON]
"""A trivial function which says how often its environment was invoked."""


class Client:
    """Invokes functions of one squib over a connection of its own, one after the other."""

    def __init__(self, squib: Squib) -> None:
        self._squib = squib
        self._connection = connect(squib.port)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def invoke(self, name: str, *, count: int | None = None) -> float:
        """Milliseconds from the first byte sent to the last one received. With `count` the function must say
        that it was its environment's invocation of that number."""
        request = signed("POST", self._squib.port, INVOKE_PATH.format(name), b"{}", self._squib.key)
        started_s = time.perf_counter()
        self._connection.sendall(request)
        response = http.client.HTTPResponse(self._connection)
        response.begin()
        body = response.read()
        took_ms = (time.perf_counter() - started_s) * 1000
        if response.status != 200 or (count is not None and json.loads(body)["count"] != count):
            raise BadAnswer(f"Invoke of {name}: {response.status} {body[:200]!r}")
        return took_ms


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.environments", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--many", type=int, default=MANY, help="environments that are alive at once")
    many: int = parser.parse_args().many
    (OUT / "logs").mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}")
    python = runtime(RuntimeKind.PYTHON, "python3.11").name
    with ExitStack() as running:

        def start(arguments: str) -> Squib:
            squib = Squib(python=python, node=None, arguments=arguments)
            running.callback(squib.stop)
            squib.start()
            return squib

        usual = start("--max-environments 1")
        never = start("--max-environments 1 --freeze-after-ms 60000")
        great = start(f"--max-environments {many + FIRSTS + BURST}")
        freezing(usual, never)
        waiting(usual, never)
        bursts(great)
        firsts(great)
        crowd(great, usual, many)
    return 0


def report(name: str, samples_ms: Sequence[float]) -> float:
    """One line; gives the median."""
    median_ms = statistics.median(samples_ms)
    deciles = statistics.quantiles(samples_ms, n=10)
    print(f"{name}: median {median_ms:.3f} ms ({deciles[0]:.3f}..{deciles[-1]:.3f})", flush=True)
    return median_ms


def freezing(usual: Squib, never: Squib) -> None:
    """What freezing and thawing add: the same Invoke after the same pause, with and without."""
    with Client(usual) as freezes, Client(never) as does_not:
        for pause_s in (0.0, FROZEN_AFTER_S):
            with_ms, without_ms = [], []
            for _ in range(WARM):
                for client, samples in shuffled((freezes, with_ms), (does_not, without_ms)):
                    client.invoke(ECHO)  # the first after another squib's turn finds cold caches
                    time.sleep(pause_s)
                    samples.append(client.invoke(ECHO))
            what = f"after {pause_s * 1000:.0f} ms" if pause_s else "at once"
            frozen_ms = report(f"warm, {what}", with_ms)
            running_ms = report(f"warm, {what}, never frozen", without_ms)
            print(f"freezing and thawing, {what}: {frozen_ms - running_ms:+.3f} ms")


def shuffled(*things: Any) -> list[Any]:
    """In another order each time, so that neither profits from the place it has."""
    return random.sample(things, len(things))


def waiting(usual: Squib, never: Squib) -> None:
    """The same where the next request waits already: several clients, one environment."""
    rates: dict[str, list[float]] = {"usual": [], "never frozen": []}
    for _ in range(WAITING_ROUNDS):
        for squib, samples in shuffled((usual, rates["usual"]), (never, rates["never frozen"])):
            samples.append(sum(together(CLIENTS, lambda _, squib=squib: float(hammer(squib)))) / WAITING_S)
    usual_rate, never_rate = (statistics.median(samples) for samples in rates.values())
    print(
        f"{CLIENTS} clients at one environment: {usual_rate:,.0f} a second, never frozen {never_rate:,.0f}: "
        f"{usual_rate / never_rate:.2f} x",
        flush=True,
    )


def hammer(squib: Squib) -> int:
    """How many Invokes one client makes in the time there is."""
    until_s, count = time.perf_counter() + WAITING_S, 0
    with Client(squib) as client:
        while time.perf_counter() < until_s:
            client.invoke(ECHO)
            count += 1
    return count


def together(count: int, work: Callable[[int], float]) -> list[float]:
    """What as many threads give that begin at the same moment."""
    barrier = Barrier(count)

    def one(number: int) -> float:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def bursts(squib: Squib) -> None:
    """Invokes at once, each in an environment of its own that is started for it."""
    seconds = [burst(squib) for _ in range(BURSTS)]
    rounds = ", ".join(f"{one:.2f}" for one in seconds)
    print(f"{BURST} cold starts in one burst, beside the handler's second: {rounds} s", flush=True)


def burst(squib: Squib) -> float:
    """Seconds until all are answered, without the second that the handler sleeps."""
    squib.refresh(SLEEP)
    settle(squib)

    def one(number: int) -> float:
        with Client(squib) as client:
            return client.invoke(SLEEP)

    return max(together(BURST, one)) / 1000 - 1.0


def settle(squib: Squib) -> None:
    """Waits until environments that are wanted no more have ended, and blank ones are there again."""
    before = -1
    while (now := len(squib.processes())) != before:
        before = now
        time.sleep(1)


def firsts(squib: Squib) -> None:
    """The first Invoke of environments that were initialized ahead of calls, beside later ones: of
    environments that have rested as long, while all others had their turn, and of such as were used just
    now."""
    versions = publish(squib, FIRSTS)
    provision(squib, versions)
    names = [f"{COUNTING}%3A{version}" for version in versions]
    with Client(squib) as client:

        def invoke(name: str, count: int) -> float:
            time.sleep(FROZEN_AFTER_S)
            client.invoke(ECHO)  # so that the client's own caches are as warm for each
            return client.invoke(name, count=count)

        first_ms = [invoke(name, 1) for name in names]
        rested_ms = [invoke(name, 2) for name in names]
        used_ms = []
        for name in names:
            invoke(name, 3)
            used_ms.append(invoke(name, 4))
    first = report("first Invoke of environments initialized ahead of calls", first_ms)
    for what, samples in (("rested as long", rested_ms), ("were used just now", used_ms)):
        print(f"to a warm one of those that {what}: {first / report(what, samples):.2f} x", flush=True)


def crowd(squib: Squib, one: Squib, many: int) -> None:
    """A warm Invoke into any of many environments, the one longest unused included, beside one into an only
    environment that was used just now."""
    versions = publish(squib, many)
    names = [f"{COUNTING}%3A{version}" for version in versions]
    with Client(squib) as client:
        began_s = time.perf_counter()
        for name in names:
            client.invoke(name, count=1)
        print(f"{many} environments started one by one: {time.perf_counter() - began_s:.1f} s", flush=True)
    any_ms, one_ms, again_ms = [], [], []
    with Client(squib) as client, Client(one) as other:
        for name in shuffled(*names):
            other.invoke(ECHO)
            one_ms.append(other.invoke(ECHO))
            any_ms.append(client.invoke(name, count=2))
            again_ms.append(client.invoke(name, count=3))
    only = report("an only environment", one_ms)
    for what, samples in ((f"any of {many}", any_ms), ("the same at once again", again_ms)):
        print(f"to an only one: {report(what, samples) / only:.2f} x")
    used = memory(squib.processes())
    print(f"memory of all its processes: {used.proportional_mib:,.0f} MiB (PSS)")


def publish(squib: Squib, count: int) -> list[str]:
    """Publishes so many versions."""
    versions = []
    for _ in range(count):
        squib.refresh(COUNTING)
        versions.append(squib.api.publish(COUNTING))
    return versions


def provision(squib: Squib, versions: Sequence[str]) -> None:
    """Waits until each has an environment that is initialized."""
    api = boto3.client(
        "lambda",
        endpoint_url=f"http://127.0.0.1:{squib.port}",
        region_name=REGION,
        aws_access_key_id=squib.key.access_key_id,
        aws_secret_access_key=squib.key.secret_access_key,
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    for version in versions:
        given = {"FunctionName": COUNTING, "Qualifier": version}
        api.put_provisioned_concurrency_config(**given, ProvisionedConcurrentExecutions=1)
    for version in versions:
        given = {"FunctionName": COUNTING, "Qualifier": version}
        while (found := api.get_provisioned_concurrency_config(**given))["Status"] != "READY":
            if found["Status"] == "FAILED":
                raise BadAnswer(f"provisioned concurrency: {found}")
            time.sleep(0.05)


if __name__ == "__main__":
    raise SystemExit(main())
