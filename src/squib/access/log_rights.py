"""What a function's execution role lets its environments write to CloudWatch Logs, as of now."""

from typing import Final, NamedTuple, Protocol

from squib.access.permissions import Permissions
from squib.clock import Clock
from squib.model.function import FunctionVersion

_LASTS_MS: Final = 60_000  # our own choice: policies may have conditions on the time


class LogRights(NamedTuple):
    """What may be done at a moment."""

    may_write: bool
    """It may make its stream and put events into it."""
    makes_group: bool
    """It may make the group where there is none."""


ALL_LOG_RIGHTS: Final = LogRights(may_write=True, makes_group=True)


class LogPermit(Protocol):
    """The rights of one environment to its log stream."""

    def rights(self) -> LogRights:
        """As of now. Asked before each line is written."""


class FullPermit:
    """Of a squib in which nobody asks."""

    def rights(self) -> LogRights:
        """All of them."""
        return ALL_LOG_RIGHTS


class RolePermit:
    """What the role allows. Asked of its policies when IAM has been written to, and once a minute."""

    __slots__ = ("_asked_at_ms", "_clock", "_function", "_generation", "_permissions", "_rights", "_stream")

    def __init__(
        self, permissions: Permissions, clock: Clock, function: FunctionVersion, stream: str
    ) -> None:
        self._permissions, self._clock = permissions, clock
        self._function, self._stream = function, stream
        self._generation = -1
        self._asked_at_ms = 0.0
        self._rights = LogRights(may_write=False, makes_group=False)

    def rights(self) -> LogRights:
        """See `LogPermit`."""
        generation, now_ms = self._permissions.generation, self._clock.monotonic_ms()
        if generation != self._generation or now_ms - self._asked_at_ms >= _LASTS_MS:
            self._generation, self._asked_at_ms = generation, now_ms
            self._rights = self._ask()
        return self._rights

    def _ask(self) -> LogRights:
        """For what is done on the role's behalf: CreateLogGroup, CreateLogStream, PutLogEvents."""
        function, key = self._function, self._function.key
        group = f"arn:aws:logs:{key.region}:{key.account_id}:log-group:{function.logging.log_group}"

        def may(action: str, name: str) -> bool:
            return self._permissions.judge_role(
                function.role_arn,
                key.name,
                action,
                f"{group}:log-stream:{name}",
                source_function_arn=key.arn(),
            ).is_allowed

        stream = self._stream
        may_write = may("logs:CreateLogStream", stream) and may("logs:PutLogEvents", stream)
        return LogRights(may_write, may_write and may("logs:CreateLogGroup", ""))
