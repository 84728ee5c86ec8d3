"""The measurements: each takes one contestant, checks that its answers are right, and gives one sample."""

import json
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from bench.client import BadAnswer, connect, exchange
from bench.contestants.base import ECHO, SLEEP, Cell, Contestant, StartsBursts, StartsCold
from bench.contestants.reference import ENVIRONMENTS, Bare
from bench.load import Expect, Generator, Outcome, Shape
from bench.process import memory, memory_cgroup

EVENT: Final = json.dumps({"key1": "value1", "key2": "value2", "key3": "value3"}).encode()
PAYLOAD_BYTES: Final = 6_000_000
CLIENTS: Final = 32
BURST: Final = 50
BURST_GRACE_S: Final = 25.0
FOLLOWING_REQUESTS: Final = 200
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long and how often; one for full runs and one for quick ones."""

    rounds: int
    warm_s: float
    throughput_s: float
    ramp_s: float  # before throughput: until a contestant that scales has its size
    cold_starts: int  # a round
    payloads: int  # a round
    vanishing_clients: int  # a round, each in one of five ways
    peer_bursts: int  # a peer takes many seconds for one: more of them would tell nothing new
    budget_s: float  # for the whole run


FULL: Final = Effort(
    rounds=5,
    warm_s=2.0,
    throughput_s=3.0,
    ramp_s=1.5,
    cold_starts=6,
    payloads=4,
    vanishing_clients=25,
    peer_bursts=2,
    budget_s=540,
)
QUICK: Final = Effort(
    rounds=3,
    warm_s=1.0,
    throughput_s=1.0,
    ramp_s=1.0,
    cold_starts=3,
    payloads=2,
    vanishing_clients=10,
    peer_bursts=1,
    budget_s=100,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement. `values` have their unit in the name."""

    values: dict[str, float]
    ok: int = 0
    failed: int = 0
    first_failure: str = ""
    raw: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a cell needs besides the contestant."""

    effort: Effort
    generator: Generator


def _echo_expectation(contestant: Contestant, event: bytes) -> Expect:
    """Invokes once, checks that the event came back, and wants the very same bytes from then on."""
    answer = exchange(contestant.port, contestant.request(ECHO, event))
    if answer.status != 200 or answer.function_error or json.loads(answer.body) != json.loads(event):
        raise BadAnswer(f"not an echo: {answer.status} {answer.body[:200]!r}")
    return Expect(body=answer.body)


def _sample(outcome: Outcome) -> Sample:
    values = {"rate_per_s": outcome.rate}
    if outcome.ok:
        values |= {"p50_ms": outcome.p50_us / 1000, "p99_ms": outcome.p99_us / 1000}
    return Sample(values=values, ok=outcome.ok, failed=outcome.failed, first_failure=outcome.first_failure)


def warm(contestant: Contestant, bench: Bench) -> Sample:
    """One client, one invocation after the other."""
    if isinstance(contestant, Bare):
        return _sample(contestant.flood(EVENT, 1, bench.effort.warm_s))
    expect, request = _echo_expectation(contestant, EVENT), contestant.request(ECHO, EVENT)
    warm_up = Shape(seconds=0.2)
    bench.generator.run(contestant.port, request, warm_up, expect)
    return _sample(bench.generator.run(contestant.port, request, Shape(seconds=bench.effort.warm_s), expect))


def throughput(contestant: Contestant, bench: Bench) -> Sample:
    """32 clients; the warm-up lets a contestant that scales reach its size."""
    if isinstance(contestant, Bare):
        return _sample(contestant.flood(EVENT, ENVIRONMENTS, bench.effort.throughput_s))
    expect, request = _echo_expectation(contestant, EVENT), contestant.request(ECHO, EVENT)
    bench.generator.run(
        contestant.port, request, Shape(connections=CLIENTS, seconds=bench.effort.ramp_s), expect
    )
    shape = Shape(connections=CLIENTS, seconds=bench.effort.throughput_s)
    return _sample(bench.generator.run(contestant.port, request, shape, expect))


def _cold(cell: Cell) -> Callable[[Contestant, Bench], Sample]:
    def measure(contestant: Contestant, bench: Bench) -> Sample:
        answers = [cast(StartsCold, contestant).cold(cell) for _ in range(bench.effort.cold_starts)]
        for answer in answers:
            if answer.count != 1 or answer.generation != answer.expected_generation:
                raise BadAnswer(f"that was not a cold start: {answer}")
        elapsed_ms = [answer.elapsed_ms for answer in answers]
        return Sample(
            values={"p50_ms": statistics.median(elapsed_ms), "max_ms": max(elapsed_ms)},
            ok=len(answers),
            raw={"elapsed_ms": elapsed_ms},
        )

    return measure


def burst(contestant: Contestant, bench: Bench) -> Sample:
    """50 requests at once for a function that sleeps a second, with no environment that may answer."""
    generation = cast(StartsBursts, contestant).refresh(SLEEP)
    shape = Shape(connections=BURST, each=1, grace_s=BURST_GRACE_S)
    expect = Expect(contains=f'"{generation}"')
    outcome = bench.generator.run(contestant.port, contestant.request(SLEEP, b"{}"), shape, expect)
    wall_ms = outcome.elapsed_us / 1000
    return Sample(
        values={"wall_ms": wall_ms, "p50_ms": outcome.p50_us / 1000},
        ok=outcome.ok,
        failed=outcome.failed,
        first_failure=outcome.first_failure,
    )


def payload(contestant: Contestant, bench: Bench) -> Sample:
    """6 MB to the function and back."""
    event = json.dumps({"data": "x" * PAYLOAD_BYTES}).encode()
    expect, request = _echo_expectation(contestant, event), contestant.request(ECHO, event)
    return _sample(
        bench.generator.run(contestant.port, request, Shape(each=bench.effort.payloads), expect),
    )


def disconnect(contestant: Contestant, bench: Bench) -> Sample:
    """Clients go away in the middle, in five ways; every request after them must succeed."""
    expect, request = _echo_expectation(contestant, EVENT), contestant.request(ECHO, EVENT)
    for number in range(bench.effort.vanishing_clients):
        _vanish(contestant.port, request, number % 5)
    clients = min(4, contestant.max_connections)
    shape = Shape(connections=clients, each=FOLLOWING_REQUESTS // clients)
    return _sample(bench.generator.run(contestant.port, request, shape, expect))


def _vanish(port: int, request: bytes, way: int) -> None:
    head_bytes = request.index(b"\r\n\r\n") + 4
    sent = {0: request[: head_bytes // 2], 1: request[: head_bytes + 10]}.get(way, request)
    with connect(port) as connection:
        connection.sendall(sent)
        if way == 4:
            time.sleep(0.001)  # the function may be running, or its answer on the way
        if way in (1, 3, 4):  # reset instead of an orderly end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def memory_use(contestant: Contestant, bench: Bench) -> Sample:
    """Memory of the idle server, and of a warm idle Python environment."""
    idle = contestant.idle_memory
    assert idle is not None
    found = [processes for processes in contestant.environments() if processes]
    values = {"idle_rss_mib": idle.resident_mib, "idle_pss_mib": idle.proportional_mib}
    if serving := contestant.serving_memory():
        values |= {"serving_rss_mib": serving.resident_mib, "serving_pss_mib": serving.proportional_mib}
    if found:
        uses = [memory(processes) for processes in found]
        values["environment_own_mib"] = statistics.median(use.own_mib for use in uses)
        values["environment_anonymous_mib"] = statistics.median(use.anonymous_mib for use in uses)
        values["environment_pss_mib"] = statistics.median(use.proportional_mib for use in uses)
        files = {memory_cgroup(processes[-1]) for processes in found} - {None, memory_cgroup(os.getpid())}
        if len(files) == len(found):  # each environment has a group of its own
            values["environment_cgroup_mib"] = statistics.median(
                int(file.read_text()) / MIB for file in files if file
            )
    return Sample(values=values, ok=len(found))


MEASURES: Final[dict[Cell, Callable[[Contestant, Bench], Sample]]] = {
    Cell.WARM: warm,
    Cell.THROUGHPUT: throughput,
    Cell.COLD_PYTHON: _cold(Cell.COLD_PYTHON),
    Cell.COLD_NODE: _cold(Cell.COLD_NODE),
    Cell.BURST: burst,
    Cell.PAYLOAD: payload,
    Cell.DISCONNECT: disconnect,
    Cell.MEMORY: memory_use,
}
