"""Whether a function's execution role lets Lambda send its segments to X-Ray."""

from typing import Final

from squib.access.permissions import Permissions
from squib.model.function import FunctionVersion

ACTIONS: Final = ("PutTraceSegments", "PutTelemetryRecords")
"""What AWSXRayDaemonWriteAccess has of it."""


def may_trace(permissions: Permissions, function: FunctionVersion) -> bool:
    """As of now."""
    key = function.key
    return all(
        permissions.judge_role(
            function.role_arn, key.name, f"xray:{action}", "*", source_function_arn=key.arn()
        ).is_allowed
        for action in ACTIONS
    )
