"""A function that runs, inside its sandbox, whatever Python function a test hands it."""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from harness.functions import Function, Result
from harness.squib import Squib

FUTURE: Final = "from __future__ import annotations\n"  # names in annotations are the test's
PROGRAM: Final = '''
import ctypes, errno, os

libc = ctypes.CDLL(None, use_errno=True)


def syscall(number, *arguments):
    """A raw system call; OSError when the kernel refuses."""
    ctypes.set_errno(0)
    passed = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *passed)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def handler(event, context):
    scope = {"syscall": syscall, "libc": libc, "context": context, "__name__": "probe"}
    exec(event["source"], scope)
    try:
        return {"value": scope[event["name"]](*event["arguments"])}
    except OSError as error:
        name = errno.errorcode.get(error.errno) if error.errno else None
        return {"refused": name or type(error).__name__, "text": str(error)}
'''


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe gave back: a value, or the error by which the kernel refused."""

    value: Any
    refused: str | None
    """The error's name, such as EPERM."""
    text: str
    result: Result


class Probe:
    """A deployed probe. Functions handed to it must bring their own imports; `syscall`, `libc` and `context`
    are there. What they give back must be JSON."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def attempt(self, attack: Callable[..., Any], *arguments: Any) -> Result:
        """Runs it; the answer as it is, function errors included."""
        source = FUTURE + textwrap.dedent(inspect.getsource(attack))
        return self.function.invoke({"source": source, "name": attack.__name__, "arguments": arguments})

    def ask(self, attack: Callable[..., Any], *arguments: Any) -> Answer:
        """Runs it; what came of it. Fails when the function itself did."""
        result = self.attempt(attack, *arguments)
        answer = result.value
        return Answer(answer.get("value"), answer.get("refused"), answer.get("text", ""), result)

    def value(self, attack: Callable[..., Any], *arguments: Any) -> Any:
        """Runs it; its value. Fails when the kernel refused something."""
        answer = self.ask(attack, *arguments)
        assert answer.refused is None, f"{answer.refused}: {answer.text}"
        return answer.value


def deploy_probe(squib: Squib, **configuration: Any) -> Probe:
    """Deploys a probe with a timeout that leaves room for slow attacks."""
    parameters = {"Timeout": 10, "MemorySize": 256, **configuration}
    return Probe(squib.deploy(PROGRAM, **parameters))
