"""Runs the Python runtime interface client in a process of its own: what a wrapper script is handed."""

import os
import sys

_VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_OWN = os.path.dirname(os.path.abspath(__file__))
_LAYERS = [f"/opt/python/lib/{_VERSION}/site-packages", "/opt/python"]

if __name__ == "__main__":
    rest = [path for path in sys.path if path and path != _OWN and path not in _LAYERS]
    task = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    sys.path[:] = [task, *_LAYERS, *rest]
    from awslambdaric.__main__ import main

    main([sys.argv[0], os.environ["_HANDLER"]])
