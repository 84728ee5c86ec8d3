"""The Python runtime interface client in a fork server: imported before the fork, run after it.

Standard library only, Python 3.9 syntax.
"""

from __future__ import annotations

import importlib
import os
import sys

from squib.environment.isolation.rehearsal import TIMES, map_programs, rehearse

TASK_ROOT = "/var/task"
LAYERS_ROOT = "/opt"
RUNTIME_DIR = "/var/runtime"
RUNTIME_API = "127.0.0.1:9001"
STAGE = "/stage"  # what sandboxes are made from; gone inside them

# None of these may draw random bytes from OpenSSL when imported: it tells a fork by the process id, and the
# runtime's can be the fork server's own, so that all sandboxes would go on with the same ones.
COMMON_MODULES = (
    "base64",
    "datetime",
    "decimal",
    "http.client",
    "logging",
    "random",
    "traceback",
    "urllib.request",
    "uuid",
    "awslambdaric.__main__",
)


def python_paths(version: tuple[int, int], standard: list[str]) -> list[str]:
    """sys.path as on Lambda: the function, layers, the runtime's own packages, the standard library."""
    layers = [f"/opt/python/lib/python{version[0]}.{version[1]}/site-packages", "/opt/python"]
    return [TASK_ROOT, *layers, RUNTIME_DIR, *standard]


def with_own_paths(paths: list[str], own: str) -> list[str]:
    """sys.path with what a function's own PYTHONPATH adds: before the runtime's packages, as Python does."""
    more = [path for path in own.split(":") if path and path not in paths]
    at = paths.index(RUNTIME_DIR)
    return [*paths[:at], *more, *paths[at:]]


def preload_client() -> None:
    """Imports the client and what nearly every function imports anyway, once, before any fork."""
    # The native client reads its address once, when imported: the same in every sandbox.
    os.environ["AWS_LAMBDA_RUNTIME_API"] = RUNTIME_API
    standard = [path for path in sys.path if path and not path.startswith(STAGE)]
    sys.path[:] = [RUNTIME_DIR, *standard]
    import site

    site.setquit()
    site.setcopyright()
    site.sethelper()
    for name in COMMON_MODULES:
        importlib.import_module(name)
    rehearse(TIMES)

    sys.path[:] = python_paths((sys.version_info[0], sys.version_info[1]), standard)


def run_client(handler: str) -> None:
    """Hands over to the client, as `python -m awslambdaric HANDLER` would."""
    if "AWS_LAMBDA_LOG_FORMAT" in os.environ or "AWS_LAMBDA_LOG_LEVEL" in os.environ:
        # Both are read when the module is imported, which was before this function's were known.
        importlib.reload(sys.modules["awslambdaric.bootstrap"])
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "provisioned-concurrency":
        rehearse(1)  # nobody waits yet
        map_programs()
    sys.argv = ["/var/runtime/bootstrap.py", handler]
    sys.modules["__main__"].__dict__.pop("__file__", None)
    main = sys.modules["awslambdaric.__main__"].main
    main(sys.argv)
