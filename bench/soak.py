"""`python -m bench.soak [SECONDS]`: everything that functions can do to squib, at random; and what stays.

Threads create, update, publish, invoke (well, failing, crashing, hanging, out of memory, asynchronously) and
delete functions for ten minutes. Now and then all functions are deleted, and when their environments have
ended it is counted what squib holds: processes, descriptors, cgroups, mounts, namespaces, leases, memory.
That may not grow. After the end nothing may be left on the machine. The exit status is 0 when all is so.
"""

import argparse
import json
import os
import random
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the tools of the tests are used here

import botocore.exceptions

from harness.functions import ROLE, zip_of
from harness.machine import cgroup_directories, eventually
from harness.squib import Squib, unique_name

ROUNDS: Final = 5  # the first one warms up
THREADS: Final = 8
MAX_ENVIRONMENTS: Final = 24
IDLE_EXPIRY_S: Final = 5
QUIET_WITHIN_S: Final = 90.0
TOKEN: Final = "soak-soak-soak-soak"
SLACK: Final = {"daemon_mib": 0.15, "launcher_mib": 0.15}
"""By how much of itself a figure may be greater at the end than after the first round."""
SPARE: Final = {"processes": 2, "daemon_fds": 12, "launcher_fds": 8, "daemon_mib": 12, "launcher_mib": 4}
"""And by how much in any case: threads of pools, connections, blanks that are just being made."""

HANDLER: Final = """
import os, time
GROWN = []
def handler(event, context):
    match event.get("do"):
        case "fail":
            raise ValueError("wanted")
        case "crash":
            os._exit(3)
        case "hang":
            time.sleep(60)
        case "grow":
            while True:
                GROWN.append(bytearray(16 << 20))
        case "write":
            open(f"/tmp/{context.aws_request_id}", "wb").write(b"x" * 1_000_000)
        case "fork":
            os.fork() or time.sleep(60)
        case "sleep":
            time.sleep(event["s"])
    print("version", VERSION, event)
    return {"version": VERSION, "padding": "x" * event.get("size", 0)}
"""

DEEDS: Final = (
    *(("return", 40), ("fail", 8), ("crash", 5), ("hang", 2)),
    *(("grow", 2), ("write", 5), ("fork", 3), ("sleep", 12)),
)
"""What a function is asked for, and how often."""
EXPECTED: Final = frozenset(
    (
        *("ResourceNotFoundException", "ResourceConflictException", "TooManyRequestsException"),
        *("InvalidParameterValueException", "RequestTooLargeException"),
    )
)
"""What callers may be told who do things at the same time; anything else is a fault."""


@dataclass(frozen=True, slots=True)
class Held:
    """What squib holds while nothing runs."""

    processes: int
    daemon_fds: int
    launcher_fds: int
    cgroups: int
    mounts: int
    namespaces: int
    leases: int
    environments: int
    daemon_mib: float
    launcher_mib: float


class Soak:
    """One run against one squib."""

    def __init__(self, squib: Squib, seed: int) -> None:
        self.squib = squib
        self.client = squib.client()
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._seed = seed
        self._lock = Lock()
        self._names: list[str] = []

    def work(self, until_s: float, round_number: int) -> None:
        """All threads, until then."""
        with ThreadPoolExecutor(THREADS) as threads:
            for number in range(THREADS):
                threads.submit(self._thread, until_s, random.Random(f"{self._seed}-{round_number}-{number}"))

    def _thread(self, until_s: float, chance: random.Random) -> None:
        acts: list[tuple[Callable[[random.Random], None], int]] = [
            (self._create, 6),
            (self._update_code, 4),
            (self._configure, 4),
            (self._publish, 3),
            (self._limit, 2),
            (self._delete, 5),
            (self._invoke, 70),
            (self._invoke_later, 6),
        ]
        self._try(self._create, chance)
        while time.monotonic() < until_s:
            (act,) = chance.choices([act for act, _ in acts], [weight for _, weight in acts])
            self._try(act, chance)

    def _try(self, act: Callable[[random.Random], None], chance: random.Random) -> None:
        name = act.__name__.strip("_")
        try:
            act(chance)
        except botocore.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            self.counts[f"{name}: {code}"] += 1
            if code not in EXPECTED:
                self.faults.append(f"{name}: {error}")
        except Exception as error:
            self.faults.append(f"{name}: {type(error).__name__}: {error}")
        else:
            self.counts[name] += 1

    # --- what a thread does

    def _some(self, chance: random.Random) -> str:
        with self._lock:
            return chance.choice(self._names) if self._names else "none"

    def _create(self, chance: random.Random) -> None:
        if len(self._names) >= 3 * THREADS:
            return
        name = unique_name("soak")
        self.client.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": _code(chance)},
            MemorySize=chance.choice((128, 192, 256)),
            Timeout=1,
        )
        self.client.get_waiter("function_active_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 600}
        )
        with self._lock:
            self._names.append(name)

    def _update_code(self, chance: random.Random) -> None:
        self.client.update_function_code(FunctionName=self._some(chance), ZipFile=_code(chance))

    def _configure(self, chance: random.Random) -> None:
        self.client.update_function_configuration(
            FunctionName=self._some(chance), MemorySize=chance.choice((128, 192, 256))
        )

    def _publish(self, chance: random.Random) -> None:
        self.client.publish_version(FunctionName=self._some(chance))

    def _limit(self, chance: random.Random) -> None:
        name = self._some(chance)
        if chance.random() < 0.5:
            self.client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
        else:
            self.client.delete_function_concurrency(FunctionName=name)

    def _delete(self, chance: random.Random) -> None:
        with self._lock:
            if len(self._names) <= THREADS:
                return
            name = self._names.pop(chance.randrange(len(self._names)))
        self.client.delete_function(FunctionName=name)

    def _invoke(self, chance: random.Random) -> None:
        answer = self.client.invoke(
            FunctionName=self._some(chance),
            Payload=json.dumps(_event(chance)).encode(),
            LogType=chance.choice(("None", "Tail")),
        )
        answer["Payload"].read()
        if "FunctionError" in answer:
            self.counts["function errors"] += 1

    def _invoke_later(self, chance: random.Random) -> None:
        payload = json.dumps(_event(chance)).encode()
        self.client.invoke(FunctionName=self._some(chance), InvocationType="Event", Payload=payload)

    # --- afterwards

    def quieten(self) -> None:
        """Deletes every function and waits until their environments have ended."""
        names, self._names = self._names, []
        for name in names:
            self.client.delete_function(FunctionName=name)
        eventually(self._is_quiet, within_s=QUIET_WITHIN_S, what="all environments and leases have ended")
        time.sleep(1)  # the launcher cleans slots, and makes blanks anew

    def _is_quiet(self) -> bool:
        metrics = self._metrics()
        return metrics["environments"] == metrics["leases"] == 0

    def _metrics(self) -> dict[str, int]:
        request = urllib.request.Request(
            f"{self.squib.url}/_squib/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        found = {"environments": 0, "leases": 0}
        names = {"squib_environments": "environments", "squib_concurrent_executions": "leases"}
        with urllib.request.urlopen(request, timeout=30) as answer:
            for line in answer.read().decode().splitlines():
                name = names.get(line.partition("{")[0])
                if name is not None:
                    found[name] += int(line.rpartition(" ")[2])
        return found

    def held(self) -> Held:
        """What squib holds now."""
        below = self.squib.processes()
        daemon, launcher = self.squib.process.pid, self.squib.launcher().pid
        pids = [daemon, *(process.pid for process in below)]
        return Held(
            processes=len(pids),
            daemon_fds=len(os.listdir(f"/proc/{daemon}/fd")),
            launcher_fds=len(os.listdir(f"/proc/{launcher}/fd")),
            cgroups=sum(
                len(folders)
                for tag in self.squib.tags
                for top in cgroup_directories(tag)
                for _, folders, _ in os.walk(top)
            ),
            mounts=len(Path(f"/proc/{launcher}/mountinfo").read_text().splitlines()),
            namespaces=len(_namespaces(pids)),
            **self._metrics(),
            daemon_mib=_rss_mib(daemon),
            launcher_mib=_rss_mib(launcher),
        )


def _event(chance: random.Random) -> dict[str, Any]:
    (do,) = chance.choices([do for do, _ in DEEDS], [weight for _, weight in DEEDS])
    return {"do": do, "s": chance.random() / 4, "size": chance.choice((0, 0, 100, 100_000))}


def _code(chance: random.Random) -> bytes:
    return zip_of({"app.py": f"VERSION = {chance.random()}\n{HANDLER}"})


def _namespaces(pids: list[int]) -> set[str]:
    found = set()
    for pid in pids:
        for kind in ("net", "pid", "mnt", "ipc", "uts"):
            try:
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
            except OSError:
                continue  # gone since
    return found


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def grown(first: Held, last: Held) -> list[str]:
    """The figures that are greater than they may be."""
    found = []
    for name, before in asdict(first).items():
        after = getattr(last, name)
        if after > before * (1 + SLACK.get(name, 0)) + SPARE.get(name, 0):
            found.append(f"{name} grew from {before} to {after}")
    return found


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:.0f} s in {ROUNDS} rounds, {THREADS} threads", flush=True)
    arguments = ("--max-environments", str(MAX_ENVIRONMENTS), "--idle-expiry-s", str(IDLE_EXPIRY_S))
    seen: list[Held] = []
    with Squib(*arguments, variables={"SQUIB_METRICS_TOKEN": TOKEN}) as squib:
        soak = Soak(squib, options.seed)
        for number in range(ROUNDS):
            soak.work(time.monotonic() + options.seconds / ROUNDS, number)
            soak.quieten()
            seen.append(soak.held())
            figures = " ".join(f"{name}={value}" for name, value in asdict(seen[-1]).items())
            print(f"round {number}: {figures}", flush=True)
    print("nothing is left on the machine")  # or leaving the block would have raised
    print(", ".join(f"{count} {what}" for what, count in sorted(soak.counts.items())))
    wrong = [*soak.faults[:20], *grown(seen[0], seen[-1])]
    for line in wrong:
        print(f"WRONG: {line}")
    print("FAILED" if wrong else "ok")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
