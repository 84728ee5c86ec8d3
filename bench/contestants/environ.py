"""Environment variables: none of the caller's AWS or tool settings reach a contestant."""

import os
from collections.abc import Mapping

from bench.contestants.base import ECHO
from bench.provision import FUNCTIONS
from squib.environment.runtimes import Runtime


def plain_environ() -> dict[str, str]:
    """What any server gets."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def function_environ(handler: str, runtime: Runtime, **more: str) -> Mapping[str, str]:
    """What Lambda sets for a runtime interface client that runs outside any platform."""
    return {
        **plain_environ(),
        "_HANDLER": handler,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime.name}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_NAME": ECHO,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{ECHO}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
        "AWS_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": str(FUNCTIONS),
        "PYTHONPATH": str(runtime.client_dir),
        **more,
    }
