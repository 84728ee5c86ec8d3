"""An invocation's way through AWS's Python client, gone for practice, with nobody at the other end.

The first time through a process's code costs more than later ones: the interpreter adapts what it runs, and
pages shared with a fork server are copied when they are first written. Gone in the fork server, all sandboxes
are spared most of it; gone in a sandbox that waits for calls anyway, its first call is spared the rest.
Standard library only, Python 3.9 syntax.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_MADV_POPULATE_READ = 22  # Linux 5.14; an older kernel refuses it, and all is as it was
TIMES = 64  # in a fork server: more than the interpreter needs to adapt its code
_EVENT = b'{"key": ["value", 1, 1.5, null, true]}'
_HEADERS = {
    "Content-Type": "application/json",
    "Lambda-Runtime-Aws-Request-Id": "00000000-0000-4000-8000-000000000000",
    "Lambda-Runtime-Deadline-Ms": "1000000000000",
    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:rehearsal",
    "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000",
}


class _Nobody:
    """Stands for the native part of the client, which speaks to the Runtime API."""

    @staticmethod
    def next() -> tuple[bytes, dict[str, str]]:
        return _EVENT, _HEADERS

    @staticmethod
    def post_invocation_result(*_: Any) -> None:
        return None


def rehearse(times: int) -> None:
    """Runs a function that gives back its event. Leaves nothing behind; a client that works otherwise than
    this expects is left alone."""
    bootstrap: Any = sys.modules["awslambdaric.bootstrap"]
    module: Any = sys.modules["awslambdaric.lambda_runtime_client"]
    native, module.runtime_client = module.runtime_client, _Nobody
    try:
        client = module.LambdaRuntimeClient("127.0.0.1:9001")
        for _ in range(times):
            request = client.wait_next_invocation()
            bootstrap.handle_event_request(
                client,
                lambda event, context: event,
                request.invoke_id,
                request.event_body,
                request.content_type,
                request.client_context,
                request.cognito_identity,
                request.invoked_function_arn,
                request.deadline_time_in_ms,
                request.tenant_id,
                None,
                request.invocation_id,
            )
    except (AttributeError, TypeError):
        return
    finally:
        module.runtime_client = native


def map_programs() -> None:
    """Has the kernel enter the pages of what is loaded, interpreter and libraries, into the tables of this
    process: a fork begins without, and would come upon them one by one."""
    madvise = ctypes.CDLL(None).madvise
    with open("/proc/self/maps") as maps:
        spans = [line.split() for line in maps]
    for span, mode, *_, name in spans:
        if mode == "r-xp" and name.startswith("/"):
            start, end = (int(address, 16) for address in span.split("-"))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_POPULATE_READ)
