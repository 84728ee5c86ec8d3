"""What a function's execution role lets its environments write to CloudWatch Logs."""

from typing import NamedTuple

from squib.access.permissions import Permissions
from squib.model.function import FunctionVersion


class LogRights(NamedTuple):
    """As of the start of an environment."""

    may_write: bool
    """It may make its stream and put events into it."""
    makes_group: bool
    """It may make the group where there is none."""


ALL_LOG_RIGHTS = LogRights(may_write=True, makes_group=True)


def log_rights(permissions: Permissions, function: FunctionVersion, stream: str) -> LogRights:
    """Whether the role allows what is done on its behalf: CreateLogGroup, CreateLogStream, PutLogEvents."""
    key = function.key
    group = f"arn:aws:logs:{key.region}:{key.account_id}:log-group:{function.logging.log_group}"

    def may(action: str, name: str) -> bool:
        return permissions.judge_role(
            function.role_arn,
            key.name,
            action,
            f"{group}:log-stream:{name}",
            source_function_arn=key.arn(),
        ).is_allowed

    may_write = may("logs:CreateLogStream", stream) and may("logs:PutLogEvents", stream)
    return LogRights(may_write, may_write and may("logs:CreateLogGroup", ""))
