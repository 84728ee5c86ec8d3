"""Opens the log streams of environments, as far as the roles of functions allow it."""

from collections.abc import Callable

from squib.access.log_rights import LogPermit
from squib.clock import Clock
from squib.environment.log.application_level import least_level
from squib.environment.log.log_lines import JsonLines, SystemLines, TextLines
from squib.environment.log.log_stream import EnvironmentLog
from squib.environment.log.permitted_log import PermittedLog
from squib.environment.variables import runtime_version
from squib.model.function import FunctionVersion
from squib.model.log import LogGroupKey
from squib.model.runtime import runtime_version_arn
from squib.scheduler.lifetime import Initialization
from squib.store.base import Logs, LogWriter


class LogOpener:
    """Calls make log streams."""

    def __init__(self, logs: Logs, clock: Clock, permit: Callable[[FunctionVersion, str], LogPermit]) -> None:
        """`permit` tells what may be written to a function's log stream."""
        self._logs, self._clock, self._permit = logs, clock, permit

    def __call__(self, function: FunctionVersion, stream: str) -> EnvironmentLog:
        """The stream of that name, for an environment of the function."""
        group = LogGroupKey(function.key.account_id, function.key.region, function.logging.log_group)

        def open_stream(makes_group: bool) -> LogWriter:
            now_ms = self._clock.now_ms()
            return self._logs.open_stream(group, stream, now_ms=now_ms, makes_group=makes_group)

        writer = PermittedLog(self._permit(function, stream), open_stream)
        return EnvironmentLog(writer, system_lines(function), least_level(function.logging))


def system_lines(function: FunctionVersion) -> SystemLines:
    """What Lambda writes to the function's log, in its format."""
    version = runtime_version(function.runtime)
    arn = runtime_version_arn(function.runtime, function.key.region)
    kind = Initialization.SNAP_START if function.has_snapshot else Initialization.ON_DEMAND
    if function.logging.log_format == "JSON":
        return JsonLines(
            version=function.version,
            runtime_version=version,
            runtime_version_arn=arn,
            level=function.logging.system_log_level or "INFO",
            name=function.key.name,
            initialization=kind.value,
        )
    return TextLines(
        version=function.version,
        runtime_version=version,
        runtime_version_arn=arn,
        initialization=kind.value,
    )
