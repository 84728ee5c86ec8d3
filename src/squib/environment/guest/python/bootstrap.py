"""Runs the Python runtime interface client in a process of its own: what a wrapper script is handed, and what
a function gets that sets LD_LIBRARY_PATH, which the loader reads at a program's start only."""

import os
import sys

_VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_OWN = os.path.dirname(os.path.abspath(__file__))
_LAYERS = [f"/opt/python/lib/{_VERSION}/site-packages", "/opt/python"]

if __name__ == "__main__":
    task = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    runtime = os.environ.get("LAMBDA_RUNTIME_DIR", "/var/runtime")
    placed = ["", _OWN, task, runtime, *_LAYERS]
    own = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path not in placed]
    standard = [path for path in sys.path if path not in placed and path not in own]
    sys.path[:] = [task, *_LAYERS, *own, runtime, *standard]
    from awslambdaric.__main__ import main

    main([sys.argv[0], os.environ["_HANDLER"]])
