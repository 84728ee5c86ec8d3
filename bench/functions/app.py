"""What every contestant runs under Python. Each handler logs one line."""

import os
import time

COUNT = 0


def echo(event: object, context: object) -> object:
    """Returns the event."""
    print("echo")
    return event


def cold(event: object, context: object) -> object:
    """Proves that the environment is a fresh one with the configuration just written."""
    global COUNT
    COUNT += 1
    print("cold", COUNT)
    return {"count": COUNT, "generation": os.environ.get("BENCH_GENERATION")}


def whoami(event: object, context: object) -> object:
    """Says which processes are this environment's."""
    print("whoami")
    return {"namespace": os.readlink("/proc/self/ns/pid"), "pid": os.getpid()}


def sleep(event: object, context: object) -> object:
    """Takes a second."""
    print("sleep")
    time.sleep(1)
    return {"generation": os.environ.get("BENCH_GENERATION")}
